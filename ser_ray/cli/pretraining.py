"""The verb that learns without labels: pretrain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from ser_ray.cli.options import (
    Address,
    Json,
    Manifest,
    Overwrite,
    Seed,
    Settings,
    app,
    console,
    listing,
    pairs,
    print_json,
    stderr,
)


def _settings() -> Mapping[str, str]:
    from ser_ray.models.pretraining.pretrainer import SETTINGS

    return {name: f"default: {value or 'none'}" for name, value in SETTINGS.defaults.items()}


@app.command(
    epilog="Example: ser-ray pretrain calls.parquet -o tiny.safetensors --set size=tiny --set epochs=30"
)
def pretrain(
    manifest: Manifest,
    out: Annotated[str, typer.Option("--output", "-o", help="Checkpoint to write; its card is OUTPUT.json.")],
    store: Annotated[
        str | None,
        typer.Option(help="Feature store of the waves, to keep them; what it lacks is decoded."),
    ] = None,
    band: Annotated[
        Literal["wide", "telephone"], typer.Option(help="telephone: hear what a telephone line leaves.")
    ] = "wide",
    settings: Settings = None,
    seed: Seed = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="That train together (Ray Train), a GPU each where there are.")
    ] = 1,
    checkpoints: Annotated[
        str | None,
        typer.Option(help="Where all workers reach them; a broken run goes on from there."),
    ] = None,
    stream: Annotated[
        bool | None,
        typer.Option("--stream/--in-memory", help="Read waves anew in each epoch; by their size without."),
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="Figures of each epoch to tensorboard:FOLDER or mlflow:URI.")
    ] = None,
    overwrite: Overwrite = False,
    known: Annotated[
        bool,
        typer.Option("--list", callback=listing(_settings), is_eager=True, help="Tell settings and leave."),
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Pre-train wav2vec on audio without labels, for the feature wav2vec(checkpoint=OUTPUT)."""
    from ser_ray.pipelines.pretrain_job import PretrainJob
    from ser_ray.reports.progress import showing

    job = PretrainJob.of(
        manifest=manifest,
        out=out,
        store=store,
        band=band,
        settings=pairs("--set", settings),
        seed=seed,
        workers=workers,
        checkpoints=checkpoints,
        stream=stream,
        log=log,
        overwrite=overwrite,
        address=address,
    )
    with showing(stderr) as progress:
        done = job.run(progress)
    return print_json(done) if as_json else _print(done)


def _print(done: Mapping[str, Any]) -> None:
    console.print(
        f"wav2vec of {done['dim']} channels: held-out loss {done['loss']:.3f} nats, accuracy "
        f"{100 * done['accuracy']:.1f} % (chance 9.1), epoch {done['epoch']} of {len(done['curve'])}; "
        f"{done['utterances']} utterances, {done['hours']:.2f} h -> {done['checkpoint']}"
    )
    for cause, count in done["left_out"].items():
        console.print(f"  {count} utterances left out: {cause}", style="yellow")
