"""The verb that searches: tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from ser_ray.cli.options import (
    Address,
    Band,
    Features,
    Folds,
    Json,
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


def _spaces() -> dict[str, str]:
    from ser_ray.models import FAMILIES

    return {
        family.name: "; ".join(f"{name} {_told(dimension)}" for name, dimension in family.space.items())
        for family in FAMILIES.values()
    }


def _told(dimension: Mapping[str, Any]) -> str:
    if dimension["type"] == "choice":
        return " | ".join(map(str, dimension["choices"]))
    scale = ", log" if dimension["type"] == "log" else ""
    return f"{dimension['low']:g} to {dimension['high']:g}{scale}"


@app.command(epilog="Example: ser-ray tune svm emodb.parquet --store store -o tuned-svm --samples 40")
def tune(
    family: Annotated[
        str | None, typer.Argument(help="A family (--list), or fusion; left out with --all.")
    ] = None,
    manifest: Annotated[
        str | None, typer.Argument(help="Manifest, as `ser-ray index` writes it.", show_default=False)
    ] = None,
    store: Store = "",
    out: Annotated[str, typer.Option("--output", "-o", help="Folder of the search.")] = "",
    samples: Annotated[int, typer.Option(min=1, help="Trials, of --all together.")] = 50,
    time_s: Annotated[
        float | None, typer.Option("--time", help="Seconds after which no more is tried.")
    ] = None,
    searcher: Annotated[Literal["optuna", "random", "grid"], typer.Option(help="optuna is TPE.")] = "optuna",
    scheduler: Annotated[
        Literal["asha", "pbt", "none"],
        typer.Option(help="asha ends early what promises little; pbt: a population of networks."),
    ] = "asha",
    points: Annotated[int, typer.Option(min=2, help="Of each range in a grid.")] = 3,
    space: Annotated[
        str | None,
        typer.Option(help="YAML: a setting fixed (C: 10), listed (C: [1, 10]), narrowed (C: {low: 1})."),
    ] = None,
    settings: Settings = None,
    feature: Features = None,
    band: Band = None,
    normalise: Normalise = "none",
    inner_folds: Annotated[
        int, typer.Option("--inner-folds", min=2, help="Of each trial, speakers apart.")
    ] = 5,
    outer: Annotated[
        str | None,
        typer.Option(help="Protocol, such as loso: the search is made anew in each fold and measured."),
    ] = None,
    folds: Folds = 5,
    at_once: Annotated[
        int | None, typer.Option(min=1, help="Trials side by side; as the cluster has CPUs or GPUs without.")
    ] = None,
    gpu_share: Annotated[float, typer.Option(help="Of a GPU for each trial of a network.")] = 1.0,
    members: Annotated[
        str | None, typer.Option(help="Of the fusion: families a,b,c, or an ensemble directory.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All families under one budget, the better half searching on.")
    ] = False,
    families: Annotated[str | None, typer.Option(help="Of --all: only these, a,b,c.")] = None,
    seed: Seed = 0,
    log: Annotated[
        str | None, typer.Option(help="UA of each trial to tensorboard:FOLDER or mlflow:URI.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search in -o, if one is there.")
    ] = False,
    overwrite: Overwrite = False,
    known: Annotated[
        bool, typer.Option("--list", callback=listing(_spaces), is_eager=True, help="Tell all and leave.")
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Search for better settings, by speakers that inner folds leave out; the best is trained and kept."""
    from ser_ray.pipelines.jobs import TuneJob
    from ser_ray.reports.progress import showing

    if every:
        family, manifest = None, manifest or family
    elif not manifest:
        raise UsageError("give a family and a manifest, or --all and a manifest.")
    if families and not every:
        raise UsageError("--families is for --all.")
    for name, value in (("--store", store), ("-o", out), ("a manifest", manifest)):
        if not value:
            raise UsageError(f"{name} is missing.")
    job = TuneJob.of(
        family=family,
        families=families.split(",") if families else [],
        members=members,
        manifest=manifest,
        store=store,
        out=out,
        features=feature or [],
        band=band,
        space={**_read_space(space), **pairs("--set", settings)},
        normalise=normalise,
        seed=seed,
        inner_folds=inner_folds,
        outer=outer,
        outer_folds=folds,
        samples=samples,
        time_s=time_s,
        searcher=searcher,
        scheduler=scheduler,
        points=points,
        at_once=at_once,
        gpu_share=gpu_share,
        log=log,
        resume=resume,
        overwrite=overwrite,
        address=address,
    )
    with showing(stderr) as progress:
        done = job.run(progress)
    if every:
        return _print_contest(done, as_json)
    from ser_ray import storage
    from ser_ray.reports.tuning_page import write_tuning_page

    write_tuning_page(out, storage.join(out, "report.html"))
    if as_json:
        return print_json(done)
    return _print_search(done, out)


def _read_space(uri: str | None) -> dict[str, Any]:
    from ser_ray.pipelines.job import read_options

    return read_options(uri, "space") if uri else {}


def _print_search(done: dict[str, Any], out: str) -> None:
    best, default, trials = done["best"], done["default"], done["trials"]
    before = f", {100 * default['ua']:.1f} at the defaults" if default else ""
    console.print(
        f"{done['family']}: UA {100 * best['ua']:.1f} +- {100 * best['spread']:.1f}{before}, "
        f"{done['protocol']}; {trials['done']} trials to the end, {trials['stopped']} stopped, "
        f"{trials['failed']} failed; {done['wall_s']:.0f} s"
    )
    for name in done["space"]:
        console.print(f"  {name} = {best['settings'][name]}", markup=False)
    if done["outer"]:
        value, low, high = (100 * v for v in done["outer"]["difference"])
        tuned, usual = (100 * done["outer"][which]["ua"][0] for which in ("tuned", "default"))
        sure = (
            "the interval leaves out zero"
            if low > 0 or high < 0
            else "which the interval does not tell from 0"
        )
        console.print(
            f"{done['outer']['protocol']}: UA {tuned:.1f} tuned, {usual:.1f} at the defaults, "
            f"{value:+.1f} [{low:+.1f}, {high:+.1f}]: {sure}"
        )
    console.print(f"Model in {out}/best, settings in {out}/best.yaml. Page: {out}/report.html", markup=False)


def _print_contest(done: dict[str, Any], as_json: bool) -> None:
    from rich.table import Table

    if as_json:
        return print_json(done)
    table = Table("family", "rounds", "trials", "UA", "settings", "s", box=None)
    for place in done["places"]:
        ua = "" if place["ua"] is None else f"{100 * place['ua']:.1f} +- {100 * place['spread']:.1f}"
        told = place["error"] or ", ".join(f"{k}={_short(v)}" for k, v in place["settings"].items())
        rounds, trials, seconds = str(place["rounds"]), str(place["trials"]), f"{place['seconds']:.0f}"
        table.add_row(place["family"], rounds, trials, ua, told, seconds)
    console.print(table)
    console.print(f"{done['winner']} -> {done['model']}", markup=False)
    return None


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
