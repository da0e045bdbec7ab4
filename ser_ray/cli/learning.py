"""Verbs that learn and measure: extract, train, fuse, evaluate."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from ser_ray.cli.options import (
    Address,
    Band,
    Features,
    Folds,
    InnerFolds,
    Json,
    Manifest,
    Normalise,
    Overwrite,
    Seed,
    Settings,
    Store,
    app,
    console,
    listing,
    pairs,
    print_json,
    stderr,
)
from ser_ray.errors import UsageError


def _features() -> dict[str, str]:
    from ser_ray.features import FEATURES
    from ser_ray.parameters import describe

    return describe(FEATURES)


@app.command(epilog="Example: ser-ray extract emodb.parquet -o store -f mfcc_stats -f 'mfcc(n=20)'")
def extract(
    manifest: Manifest,
    store: Annotated[str, typer.Option("--output", "-o", help="Feature store to fill.")],
    feature: Features = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try the ledger's utterances again.")
    ] = False,
    known: Annotated[
        bool, typer.Option("--list", callback=listing(_features), is_eager=True, help="Tell all and leave.")
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
        return print_json(done)
    console.print(
        f"{done['listed']} utterances: {done['before']} were there, {done['extracted']} extracted, "
        f"{sum(done['failed'].values())} in the ledger of failures; {done['wall_s']:.1f} s -> {done['store']}"
    )
    for kind, count in done["failed"].items():
        console.print(f"  {kind}: {count}", style="yellow")
    return None


def _families() -> dict[str, str]:
    from ser_ray.models import FAMILIES

    return {
        f"{f.name}({', '.join(f.defaults)})": f"{f.summary}; reads {', '.join(f.features)}"
        for f in FAMILIES.values()
    }


@app.command(epilog="Example: ser-ray train svm emodb.parquet --store store -o svm --set C=30")
def train(
    family: Annotated[str, typer.Argument(help="svm, random_forest, xgboost, gmm or a network (--list).")],
    manifest: Manifest,
    store: Store,
    out: Annotated[str, typer.Option("--output", "-o", help="Model directory to write.")],
    feature: Features = None,
    band: Band = None,
    settings: Settings = None,
    normalise: Normalise = "none",
    label: Annotated[
        Literal["emotion", "raw_label"],
        typer.Option(help="What it learns: emotions, or the corpus's own labels, such as classes of sounds."),
    ] = "emotion",
    seed: Seed = 0,
    inner_folds: InnerFolds = 5,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train one network by so many workers (Ray Train), a GPU each where there are."
        ),
    ] = None,
    checkpoints: Annotated[
        str | None,
        typer.Option(help="Of the workers, where all reach them; a broken run goes on from there."),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--in-memory", help="Read features anew in each epoch; by their size without."),
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="Figures of each epoch to tensorboard:FOLDER or mlflow:URI.")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="best.yaml of `ser-ray tune`; what is given beside it counts more.")
    ] = None,
    overwrite: Overwrite = False,
    known: Annotated[
        bool, typer.Option("--list", callback=listing(_families), is_eager=True, help="Tell all and leave.")
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train one family, calibrated on speakers that each fold left out. Its page: ser-ray report MODEL."""
    from ser_ray.pipelines.jobs import TrainJob
    from ser_ray.reports.progress import showing

    chosen = _read_config(config, family)
    job = TrainJob.of(
        family=family,
        manifest=manifest,
        store=store,
        out=out,
        features=feature or chosen.get("features", []),
        band=band,
        settings={**chosen.get("settings", {}), **pairs("--set", settings)},
        normalise=chosen.get("normalise", normalise) if normalise == "none" else normalise,
        seed=seed,
        inner_folds=inner_folds,
        workers=workers,
        checkpoints=checkpoints,
        stream=stream,
        log=log,
        label=label,
        overwrite=overwrite,
        address=address,
    )
    with showing(stderr) as progress:
        done = job.run(progress)
    if as_json:
        return print_json(done)
    low, high = done["ua_interval"]
    learned, what = done["trained_on"], "emotions" if label == "emotion" else "classes"
    console.print(
        f"{family}: UA {100 * done['metrics']['ua']:.1f} [{100 * low:.1f}, {100 * high:.1f}], "
        f"{done['metrics']['protocol']}; {learned['utterances']} utterances, {len(done['labels'])} {what}, "
        f"{done['band']} band -> {done['model']}"
    )
    for kind, count in learned["left_out"].items():
        console.print(f"  {count} utterances left out: {kind}", style="yellow")
    return None


def _read_config(uri: str | None, family: str) -> dict[str, Any]:
    from ser_ray.pipelines.job import read_options

    chosen = read_options(uri, "configuration") if uri else {}
    if unknown := sorted(set(chosen) - {"family", "features", "settings", "normalise"}):
        raise UsageError(
            f"{uri} has {unknown[0]!r}; a configuration has family, features, settings, normalise."
        )
    if chosen.get("family", family) != family:
        raise UsageError(f"{uri} is of the family {chosen['family']}, not of {family}.")
    return chosen


@app.command(epilog="Example: ser-ray fuse svm random_forest xgboost -o ensemble --rule paper")
def fuse(
    models: Annotated[list[str], typer.Argument(help="Model directories.")],
    out: Annotated[str, typer.Option("--output", "-o", help="Ensemble directory to write.")],
    rule: Annotated[
        str, typer.Option(help="paper, classifier_sum, self_confidence, soft, max or stacking.")
    ] = "paper",
    calibration: Annotated[
        Literal["auto", "temperature", "isotonic"],
        typer.Option(help="auto: what does better on held-out speakers."),
    ] = "auto",
    precision: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1, help="Of certain segments, share that is to be right; all count without."
        ),
    ] = None,
    groups: Annotated[
        str, typer.Option(help="valence, arousal, or all groups: negative=anger+sadness,rest=calm+neutral.")
    ] = "valence",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Fuse trained models into an ensemble, calibrated on held-out speakers."""
    from ser_ray.fusion import check_rule, save_ensemble
    from ser_ray.pipelines import fuse as fusing
    from ser_ray.pipelines.job import check_vacant
    from ser_ray.reports.figures import print_fused, report_rows

    check_rule(rule)
    check_vacant(out, "ensemble.json", overwrite)
    members = fusing.load_members(models)
    ensemble, reports = fusing.fuse(members, rule, seed, calibration, precision, groups)
    save_ensemble(ensemble, out)
    if as_json:
        told = {"calibration": ensemble.fusion.calibration.kind, "certain_from": ensemble.certain_from}
        told |= {name: ensemble.card[name] for name in ("certain", "selections") if name in ensemble.card}
        return print_json({"ensemble": out, "rule": rule, **told, "reports": report_rows(reports)})
    print_fused(console, ensemble, reports)
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
            help="random, random70, kfold, twin_safe, speaker, loso, session, official (the corpus's own "
            "split), folds:FILE (columns fold and id or speaker); unseen: the saved model as it is, on "
            "utterances it never heard."
        ),
    ] = "loso",
    folds: Folds = 5,
    feature: Features = None,
    band: Band = None,
    normalise: Normalise = "none",
    settings: Settings = None,
    inner_folds: InnerFolds = 5,
    seed: Seed = 0,
    out: Annotated[str | None, typer.Option("--output", "-o", help="Folder for figures.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Measure members and every fusion rule side by side, trained anew in each fold."""
    from ser_ray.pipelines.jobs import EvaluateJob
    from ser_ray.reports.figures import print_evaluation
    from ser_ray.reports.progress import showing

    job = EvaluateJob.of(
        target=target,
        manifest=manifest,
        store=store,
        protocol=protocol,
        folds=folds,
        features=feature or [],
        band=band,
        normalise=normalise,
        settings=pairs("--set", settings),
        inner_folds=inner_folds,
        seed=seed,
        out=out,
        address=address,
    )
    with showing(stderr) as progress:
        result = job.measure(progress)
    if as_json:
        return print_json(result.to_dict())
    print_evaluation(console, result)
    return None
