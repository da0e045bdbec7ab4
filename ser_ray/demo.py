"""The demonstration: from nothing to a scored call archive, with the same pieces that users have."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from ser_ray import storage
from ser_ray.corpora import write_manifest
from ser_ray.corpora.damage import DAMAGES
from ser_ray.corpora.simulate import SimulateOptions, simulate
from ser_ray.corpora.synthetic import make_corpus
from ser_ray.fusion import save_ensemble
from ser_ray.models import CLASSICAL
from ser_ray.pipelines.cluster import connect
from ser_ray.pipelines.fuse import fuse, load_members
from ser_ray.pipelines.job import check_vacant
from ser_ray.pipelines.jobs import ExtractJob, ScoreJob, TrainJob
from ser_ray.reports import print_summary, summarise, write_scores_page
from ser_ray.reports.figures import print_reports
from ser_ray.reports.progress import showing

SPEAKERS, PER_EMOTION, SECONDS = 8, 6, 60.0
HELD_OUT = 4  # speakers of the calls, whom no model hears in training
DAMAGED = 6
FEATURE = "mfcc_stats(band=telephone)"
MARKER = "demo.json"


def run_demo(folder: str, calls: int, overwrite: bool, console: Console) -> None:
    """Make DIR/corpus, calls, store, models, ensemble, scores and report.html.

    Args:
        folder: local folder; one that holds something else than a demonstration is refused.
        calls: size of the archive.
        overwrite: replace an earlier demonstration.
        console: told what happens.

    Raises:
        OutputConflict: the folder holds something else, or an earlier demonstration that is kept.
    """
    root = storage.absolute(folder)
    check_vacant(root, MARKER, overwrite)
    storage.remove(root)
    storage.write_json(storage.join(root, MARKER), {"calls": calls})
    place = {name: storage.join(root, name) for name in ("store", "models", "ensemble", "scores", "calls")}
    manifest = storage.join(root, "corpus", "manifest.parquet")
    started = time.monotonic()

    with _step(
        console, 1, f"A corpus of synthetic speech: {SPEAKERS} speakers to train, {HELD_OUT} for the calls"
    ):
        corpus = make_corpus(storage.join(root, "corpus"), SPEAKERS + HELD_OUT, per_emotion=PER_EMOTION)
        held_out = {f"speaker{n + 1:02d}" for n in range(SPEAKERS, SPEAKERS + HELD_OUT)}
        apart = [s in held_out for s in corpus["speaker"].to_pylist()]
        write_manifest(corpus.filter([not a for a in apart]), manifest)
        console.print(f"   {len(corpus)} utterances of 4 emotions")

    with _step(console, 2, f"A call archive: {calls} stereo calls, 8 kHz mu-law, {DAMAGED} of them damaged"):
        options = SimulateOptions(calls=calls, seconds=SECONDS, damaged=DAMAGED)
        truth = simulate(corpus.filter(apart), place["calls"], options)
        console.print(f"   {len(truth)} turns; damaged by: {', '.join(list(DAMAGES)[:DAMAGED])}")

    with _step(console, 3, "Ray starts on this machine"):
        connect()

    with (
        _step(console, 4, f"Features: {FEATURE}, through a simulated telephone line"),
        showing(console) as progress,
    ):
        ExtractJob.of(manifest=manifest, store=place["store"], features=[FEATURE]).run(progress)

    models = [storage.join(place["models"], family) for family in CLASSICAL]
    with _step(
        console, 5, f"Models: {', '.join(CLASSICAL)}, calibrated on speakers that each fold leaves out"
    ):
        for family, model in zip(CLASSICAL, models, strict=True):
            TrainJob.of(
                family=family, manifest=manifest, store=place["store"], out=model, band="telephone"
            ).run()

    with _step(console, 6, "Fusion: the members and every rule side by side, the rule `paper` kept"):
        ensemble, reports = fuse(load_members(models))
        save_ensemble(ensemble, place["ensemble"])
        print_reports(console, "synthetic corpus, out of fold, speakers apart", reports, "paper")

    with (
        _step(console, 7, "Scoring: every call gets a row, the damaged ones too"),
        showing(console) as progress,
    ):
        job = ScoreJob.of(
            archive=place["calls"], ensemble=place["ensemble"], out=place["scores"], max_errors="50%"
        )
        job.check(job.run(progress))

    with _step(console, 8, "The morning page"):
        page = storage.join(root, "report.html")
        write_scores_page(place["scores"], page)
        print_summary(summarise(place["scores"]), console, top=8)

    _say_what_next(console, root, page, time.monotonic() - started)


@contextmanager
def _step(console: Console, number: int, what: str) -> Iterator[None]:
    console.print(f"[bold]{number}.[/] {what}")
    started = time.monotonic()
    yield
    console.print(f"   {time.monotonic() - started:.1f} s", style="dim")


def _say_what_next(console: Console, root: str, page: str, seconds: float) -> None:
    shown = Path(root).name
    console.print(
        f"\nDone in {seconds:.0f} s. The speech is synthetic: its figures measure the machinery only."
    )
    console.print(f"[bold]Look at[/]  {page}")
    console.print(f"          {root}/scores/calls/*.parquet (one row a call), run.json (counts, speed)")
    console.print("[bold]On your own data[/]")
    console.print("  ser-ray index csv labels.csv -o corpus.parquet        columns: path, emotion, speaker")
    console.print("  ser-ray train svm corpus.parquet --store store -o models/svm --band telephone")
    console.print(
        "  ser-ray train random_forest corpus.parquet --store store -o models/forest --band telephone"
    )
    console.print("  ser-ray fuse models/svm models/forest -o ensemble")
    console.print("  ser-ray score s3://your-bucket/calls/ -m ensemble -o scores && ser-ray report scores")
    console.print(f"Run it again with: ser-ray demo {shown} --overwrite", style="dim")
