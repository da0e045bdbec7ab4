"""The command line: one verb a capability, on this machine or on a cluster."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ser_ray.errors import SerRayError, UsageError

app = typer.Typer(
    help="Speech emotion recognition at scale, on Ray. Begin with: ser-ray demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Manifest = Annotated[str, typer.Argument(help="Manifest, as `ser-ray index` writes it.")]
Store = Annotated[str, typer.Option("--store", help="Feature store; what it lacks is extracted.")]
Features = Annotated[
    list[str] | None, typer.Option("--feature", "-f", help="Feature, such as mfcc_stats or 'mfcc(n=20)'.")
]
Band = Annotated[
    Literal["wide", "telephone"] | None,
    typer.Option(help="telephone: learn from audio sent through an 8 kHz mu-law line."),
]
Seed = Annotated[int, typer.Option(help="Fixes folds and models.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to run on; this machine without it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, for machines.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output that is there.")]


@app.command(epilog="Example: ser-ray demo my-demo")
def demo(
    folder: Annotated[str, typer.Argument(help="Where everything goes.")] = "ser-ray-demo",
    calls: Annotated[int, typer.Option(min=10, help="Calls of the simulated archive.")] = 40,
    overwrite: Overwrite = False,
) -> None:
    """Make a corpus and a call archive, train, fuse, score and report, all in a few minutes."""
    from ser_ray.demo import run_demo

    run_demo(folder, calls, overwrite, console)


@app.command(epilog="Example: ser-ray index emodb ~/corpora/emodb -o emodb.parquet")
def index(
    corpus: Annotated[str, typer.Argument(help="emodb, ravdess, or csv for any table.")],
    root: Annotated[str, typer.Argument(help="The corpus's folder; for csv the CSV or Parquet file.")],
    out: Annotated[str, typer.Option("--output", "-o", help="Manifest to write.")],
    columns: Annotated[
        list[str] | None, typer.Option("--map", help="csv: our column=yours, such as speaker=who.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("--label", help="Your label=emotion; label=- leaves it out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read a labelled corpus into a manifest."""
    from ser_ray import corpora

    options = corpora.IndexOptions(_pairs("--map", columns), _pairs("--label", labels))
    table = corpora.index(corpus, root, options)
    corpora.write_manifest(table, out)
    counts = Counter(table["emotion"].to_pylist())
    speakers = len(set(table["speaker"].to_pylist()) - {None})
    summary = {"manifest": out, "utterances": len(table), "speakers": speakers, "emotions": dict(counts)}
    if as_json:
        return _print_json(summary)
    console.print(f"{len(table)} utterances of {speakers} speakers -> {out}")
    console.print(", ".join(f"{emotion} {n}" for emotion, n in counts.most_common()))
    return None


@app.command(epilog="Example: ser-ray extract emodb.parquet -o store -f mfcc_stats -f 'mfcc(n=20)'")
def extract(
    manifest: Manifest,
    store: Annotated[str, typer.Option("--output", "-o", help="Feature store to fill.")],
    feature: Features = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the ledger's utterances again.")
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Turn a manifest's audio into features; what is there already is not computed again."""
    from ser_ray.pipelines.jobs import ExtractJob
    from ser_ray.reports.progress import showing

    job = ExtractJob.of(
        manifest=manifest,
        store=store,
        features=feature or ["mfcc_stats"],
        retry_failed=retry_failed,
        address=address,
    )
    with showing(stderr) as progress:
        done = job.run(progress)
    if as_json:
        return _print_json(done)
    console.print(
        f"{done['listed']} utterances: {done['before']} were there, {done['extracted']} extracted, "
        f"{sum(done['failed'].values())} in the ledger of failures; {done['wall_s']:.1f} s -> {done['store']}"
    )
    for kind, count in done["failed"].items():
        console.print(f"  {kind}: {count}", style="yellow")
    return None


@app.command(epilog="Example: ser-ray train svm emodb.parquet --store store -o svm --set C=30")
def train(
    family: Annotated[str, typer.Argument(help="svm, random_forest or xgboost.")],
    manifest: Manifest,
    store: Store,
    out: Annotated[str, typer.Option("--output", "-o", help="Model directory to write.")],
    feature: Features = None,
    band: Band = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Hyperparameter=value.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train one family, calibrated on speakers that each fold left out."""
    from ser_ray.pipelines.jobs import TrainJob
    from ser_ray.reports.progress import showing

    job = TrainJob.of(
        family=family,
        manifest=manifest,
        store=store,
        out=out,
        features=feature or [],
        band=band,
        settings=_pairs("--set", settings),
        seed=seed,
        overwrite=overwrite,
        address=address,
    )
    with showing(stderr) as progress:
        done = job.run(progress)
    if as_json:
        return _print_json(done)
    low, high = done["ua_interval"]
    learned = done["trained_on"]
    console.print(
        f"{family}: UA {100 * done['metrics']['ua']:.1f} [{100 * low:.1f}, {100 * high:.1f}], "
        f"{done['metrics']['protocol']}; {learned['utterances']} utterances, {len(done['labels'])} emotions, "
        f"{done['band']} band -> {done['model']}"
    )
    for kind, count in learned["left_out"].items():
        console.print(f"  {count} utterances left out: {kind}", style="yellow")
    return None


@app.command(epilog="Example: ser-ray fuse svm random_forest xgboost -o ensemble --rule paper")
def fuse(
    models: Annotated[list[str], typer.Argument(help="Model directories.")],
    out: Annotated[str, typer.Option("--output", "-o", help="Ensemble directory to write.")],
    rule: Annotated[
        str, typer.Option(help="paper, classifier_sum, self_confidence, soft, max or stacking.")
    ] = "paper",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fuse trained models into an ensemble."""
    from ser_ray.fusion import check_rule, save_ensemble
    from ser_ray.pipelines import fuse as fusing
    from ser_ray.pipelines.jobs import check_vacant
    from ser_ray.reports.figures import print_reports, report_rows

    check_rule(rule)
    check_vacant(out, "ensemble.json", overwrite)
    ensemble, reports = fusing.fuse(fusing.load_members(models), rule, seed)
    save_ensemble(ensemble, out)
    if as_json:
        return _print_json({"ensemble": out, "rule": rule, "reports": report_rows(reports)})
    print_reports(console, f"{ensemble.card['metrics']['protocol']}, training corpus", reports, chosen=rule)
    console.print(f"{len(models)} members, rule {rule}, {ensemble.band} band -> {out}")
    return None


@app.command(
    epilog="Example: ser-ray evaluate svm,random_forest,xgboost emodb.parquet --store store --protocol loso"
)
def evaluate(
    target: Annotated[str, typer.Argument(help="Ensemble or model directory, or families a,b,c.")],
    manifest: Manifest,
    store: Store,
    protocol: Annotated[
        str,
        typer.Option(
            help="random, kfold, speaker, loso, folds:FILE (columns fold and id or speaker); "
            "unseen: the saved model as it is, on utterances it never heard."
        ),
    ] = "loso",
    folds: Annotated[int, typer.Option(min=2, help="Number of folds for kfold and speaker.")] = 5,
    feature: Features = None,
    band: Band = None,
    seed: Seed = 0,
    out: Annotated[str | None, typer.Option("--output", "-o", help="Folder for figures.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Measure members and every fusion rule side by side, trained anew in each fold."""
    from ser_ray.corpora import read_manifest
    from ser_ray.pipelines import evaluate as evaluating
    from ser_ray.pipelines.cluster import connect
    from ser_ray.reports.figures import print_evaluation
    from ser_ray.reports.progress import showing

    table = read_manifest(manifest)
    unseen = protocol == evaluating.UNSEEN
    if unseen:
        from ser_ray.fusion import load_ensemble

        ensemble, _ = load_ensemble(target)
    else:
        candidates = evaluating.candidates_of(target, feature or (), band)
    connect(address)
    with showing(stderr) as progress:
        if unseen:
            result = evaluating.evaluate_unseen(ensemble, table, store, progress)
        else:
            result = evaluating.evaluate(candidates, table, store, protocol, folds, seed, progress)
    if out:
        result.save(out)
    if as_json:
        return _print_json(result.to_dict())
    print_evaluation(console, result)
    return None


@app.command(epilog="Example: ser-ray score s3://calls/2026-11-22/ -m ensemble -o scores --max-errors 2%")
def score(
    archive: Annotated[str, typer.Argument(help="Folder, bucket prefix, or table with uri and call_id.")],
    ensemble: Annotated[str, typer.Option("--model", "-m", help="Ensemble or model directory.")],
    out: Annotated[str, typer.Option("--output", "-o", help="Scores folder; a killed run goes on in it.")],
    legs: Annotated[str, typer.Option(help="Names of the channels, in order.")] = "agent,customer",
    max_errors: Annotated[str, typer.Option(help="Exit 1 above this share of failed calls.")] = "5%",
    allow_band_mismatch: Annotated[
        bool, typer.Option("--allow-band-mismatch", help="Telephone audio with a wide-band model.")
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Score every call of an archive: one row a call, whatever happens."""
    from ser_ray.pipelines.jobs import ScoreJob
    from ser_ray.reports import print_summary, summarise
    from ser_ray.reports.progress import showing

    job = ScoreJob.of(
        archive=archive,
        ensemble=ensemble,
        out=out,
        legs=legs.split(","),
        max_errors=max_errors,
        allow_band_mismatch=allow_band_mismatch,
        address=address,
    )
    with showing(stderr) as progress:
        run = job.run(progress)
    if as_json:
        _print_json(run)
    else:
        print_summary(summarise(out), console)
        console.print(f"Rows in {out}/calls. Page: ser-ray report {out}")
    job.check(run)


@app.command(epilog="Example: ser-ray simulate emodb.parquet -o calls --calls 60 --damaged 10")
def simulate(
    manifest: Manifest,
    out: Annotated[str, typer.Option("--output", "-o", help="Folder of the archive.")],
    calls: Annotated[int, typer.Option(help="How many.")] = 20,
    seconds: Annotated[float, typer.Option(help="Mean length of a call, s.")] = 60.0,
    rate: Annotated[int, typer.Option(help="Sampling rate, Hz.")] = 8000,
    codec: Annotated[str, typer.Option(help="mulaw, alaw, pcm16, flac or mp3.")] = "mulaw",
    layout: Annotated[str, typer.Option(help="stereo, mono or dual_mono.")] = "stereo",
    noise_db: Annotated[float | None, typer.Option(help="Speech-to-noise ratio, dB.")] = None,
    negative: Annotated[float, typer.Option(help="Share of customers' moods that are negative.")] = 0.35,
    damaged: Annotated[int, typer.Option(help="Calls to damage, each in another way.")] = 0,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Build a call archive with truth.parquet from labelled utterances, to check a deployment with."""
    from ser_ray.corpora import read_manifest
    from ser_ray.corpora.simulate import SimulateOptions
    from ser_ray.corpora.simulate import simulate as build

    options = SimulateOptions(calls, seconds, rate, codec, layout, noise_db, negative, damaged, seed)
    truth = build(read_manifest(manifest), out, options)
    if as_json:
        return _print_json({"archive": out, "calls": calls, "damaged": damaged, "utterances": len(truth)})
    console.print(
        f"{calls} calls, {damaged} of them damaged, {len(truth)} utterances -> {out} (truth.parquet)"
    )
    return None


@app.command(epilog="Example: ser-ray report scores -o report.html")
def report(
    scores: Annotated[str, typer.Argument(help="Scores folder.")],
    out: Annotated[str | None, typer.Option("--output", "-o", help="Page to write.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Calls shown with a timeline.")] = 50,
    truth: Annotated[
        str | None, typer.Option(help="Table of turns, such as truth.parquet: print how well they were met.")
    ] = None,
) -> None:
    """Write the page of a scored archive: totals, calls that need a person, timelines, failures."""
    from ser_ray import storage
    from ser_ray.pipelines.truth import compare
    from ser_ray.reports import write_scores_page
    from ser_ray.reports.figures import print_comparison

    target = out or storage.join(scores, "report.html")
    write_scores_page(storage.require(scores, "scores folder"), target, top)
    console.print(f"page -> {target}")
    if truth:
        print_comparison(console, compare(scores, truth))


def main() -> None:
    """Run the command line; every failure is one line and an exit code: 1 failed, 2 asked wrongly."""
    try:
        code = app(standalone_mode=False)
    except SerRayError as error:
        _fail(str(error), error.exit_code)
    except typer.TyperException as error:  # what Typer itself raises for wrong usage
        _fail(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted. Run the same command again to go on.", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or []]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise UsageError(f"{option} takes NAME=VALUE, not {name + equals + value!r}.")
    return {name: value for name, _, value in pairs}


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str))


console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)

if __name__ == "__main__":
    main()
