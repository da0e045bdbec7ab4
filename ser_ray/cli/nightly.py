"""Verbs of the nightly run: plan, score, report."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ser_ray.cli.options import Address, Date, Json, Notify, app, console, print_json, stderr
from ser_ray.errors import MissingInput, UsageError

if TYPE_CHECKING:
    from ser_ray.pipelines.sizing import Sizing


@app.command(epilog="Example: ser-ray plan --from scores --hours 50000 --deadline 3h30m --price 0.35")
def plan(
    deadline: Annotated[str, typer.Option(help="After the start, such as 6h or 3h30m.")],
    earlier: Annotated[
        str | None,
        typer.Option("--from", help="Scores folder that tells hours, speed and memory of a worker."),
    ] = None,
    hours: Annotated[float | None, typer.Option(help="Of audio.")] = None,
    speed: Annotated[
        float | None, typer.Option(help="Times real time of a core (jobs/benchmark.py score).")
    ] = None,
    worker_memory: Annotated[float | None, typer.Option(help="Of a worker, GiB.")] = None,
    cores: Annotated[int, typer.Option(help="Of a machine, for workers.")] = 15,
    memory: Annotated[float, typer.Option(help="Of a machine, GiB.")] = 26.0,
    reserved: Annotated[float, typer.Option(help="Of it for Ray and its object store, GiB.")] = 4.0,
    price: Annotated[float | None, typer.Option(help="Of a machine for an hour.")] = None,
    margin: Annotated[
        float, typer.Option(help="Of the work: slow reads, spot machines that go, the last long call.")
    ] = 1.5,
    startup: Annotated[str, typer.Option(help="Until the machines and their workers are there.")] = "15m",
    as_json: Json = False,
) -> None:
    """Size a cluster for a night: machines, time, cost, and what to write into its configuration."""
    from ser_ray.pipelines.sizing import Machine, Night, read_figures, seconds_of, size

    given = {"hours": hours, "speed": speed, "worker_gib": worker_memory}
    figures = read_figures(earlier) if earlier else {}
    figures |= {name: value for name, value in given.items() if value is not None}
    for name, option in zip(given, ("--hours", "--speed", "--worker-memory"), strict=True):
        if name not in figures:
            raise UsageError(f"{option} is not known. Give it, or --from a run that tells it.")
    night = Night(**figures, deadline_s=seconds_of(deadline), startup_s=seconds_of(startup), margin=margin)
    sizing = size(night, Machine(cores, memory, reserved, price))
    if as_json:
        return print_json(sizing.to_dict())
    return _print_sizing(sizing)


def _print_sizing(sizing: Sizing) -> None:
    from ser_ray.reports.wording import elapsed

    told, night, machine = sizing.to_dict(), sizing.night, sizing.machine
    each = f"{told['workers_each']} workers each, {told['workers']} in all"
    if sizing.workers_each < machine.cores:
        each += f"; memory for no more of its {machine.cores} cores"
    rows = {
        "audio": f"{night.hours:,.1f} h, {night.speed:,.0f} times real time of a core",
        "machines": f"{sizing.machines:,}, {each}",
        "needed": f"{elapsed(told['needed_s'])}, of which {elapsed(night.startup_s)} to start; "
        f"{elapsed(told['without_margin_s'])} without the margin of {night.margin:g}",
        "spare": f"{elapsed(told['spare_s'])} until the deadline after {elapsed(night.deadline_s)}; "
        f"{told['spare_gib']:.1f} of {machine.memory_gib:g} GiB",
    }
    if told["cost"] is not None:
        rows["cost"] = f"{told['cost']:,.2f}, {1000 * told['cost'] / night.hours:.2f} for 1,000 h of audio"
    for file, settings in told["write"].items():
        rows[f"cluster/{file}"] = ", ".join(f"{name} {value}" for name, value in settings.items())
    for name, text in rows.items():
        console.print(f"{name:28s}{text}", markup=False)


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
    smooth: Annotated[
        Literal["none", "median", "hmm"],
        typer.Option(help="Over a leg: median of three segments, or a hidden Markov chain of emotions."),
    ] = "none",
    certain_from: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Confidence of certain segments; the ensemble's own without."),
    ] = None,
    date: Date = None,
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, help="Then remove the scores of nights older than this; -o has {date} for them."),
    ] = None,
    notify: Notify = None,
    call_time_limit: Annotated[float, typer.Option(help="To read and decode one call, s.")] = 600.0,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Score every call of an archive: one row a call, whatever happens."""
    from ser_ray.pipelines.job import carry_out
    from ser_ray.pipelines.jobs import ScoreJob
    from ser_ray.reports.progress import showing

    job = ScoreJob.of(
        archive=archive,
        ensemble=ensemble,
        out=out,
        legs=legs.split(","),
        max_errors=max_errors,
        allow_band_mismatch=allow_band_mismatch,
        smooth=smooth,
        certain_from=certain_from,
        date=date,
        keep_days=keep_days,
        notify=notify,
        call_time_limit_s=call_time_limit,
        address=address,
    )

    def run() -> dict[str, Any]:
        with showing(stderr) as progress:
            return job.run(progress)

    carry_out(job, run, print_json if as_json else lambda run: _print_run(job.dated.out, run))


def _print_run(out: str, run: dict[str, Any]) -> None:
    from ser_ray.reports import print_summary, summarise

    print_summary(summarise(out), console)
    for place in run.get("retention", {}).get("removed", ()):
        console.print(f"removed: {place}", markup=False)
    console.print(f"Rows in {out}/calls. Page: ser-ray report {out}")


@app.command(
    epilog="Example: ser-ray report scores -o report.html --csv calls.csv, or: ser-ray report models/svm"
)
def report(
    target: Annotated[
        str, typer.Argument(help="Folder of scores, of a model or ensemble, of a search or a recipe.")
    ],
    out: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Page to write (SCORES/report.html, or MODEL.html)."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Scores: calls with a timeline; 2000 without it.")
    ] = None,
    nights: Annotated[
        int | None,
        typer.Option(min=0, help="Scores: earlier nights beside them to compare with; 14 without it."),
    ] = None,
    language: Annotated[
        Literal["en", "ko"] | None, typer.Option(help="Scores: of the page; English without it.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", help="Scores: write all calls for a spreadsheet too.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Scores: table of turns, such as truth.parquet; print how well they were met."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the page of a scored archive (which calls need a person), a model, a search, a recipe."""
    from ser_ray import storage
    from ser_ray.reports.model_page import default_page, has_model_page, write_model_page
    from ser_ray.reports.recipe_page import has_recipe_page, write_recipe_page
    from ser_ray.reports.tuning_page import has_tuning_page, write_tuning_page

    pages = {
        "a model": (has_model_page, write_model_page),
        "a search": (has_tuning_page, write_tuning_page),
        "a recipe": (has_recipe_page, write_recipe_page),
    }
    kind = next((name for name, (holds, _) in pages.items() if holds(target)), None)
    of_scores = {"top": top, "nights": nights, "language": language}
    if kind:
        given = {**of_scores, "csv": csv, "truth": truth, "json": as_json or None}
        if wrong := [f"--{name}" for name, value in given.items() if value is not None]:
            verb = "is" if len(wrong) == 1 else "are"
            raise UsageError(f"{', '.join(wrong)} {verb} for scores, and {target} is {kind}. Leave them out.")
        page = out or (default_page(target) if kind == "a model" else storage.join(target, "report.html"))
        pages[kind][1](target, page)
        console.print(f"page -> {page}")
    else:
        options = {name: value for name, value in of_scores.items() if value is not None}
        _report_scores(target, out or storage.join(target, "report.html"), options, csv, truth, as_json)


def _report_scores(
    target: str, page: str, options: dict[str, Any], csv: str | None, truth: str | None, as_json: bool
) -> None:
    from ser_ray import storage
    from ser_ray.pipelines.call_ranking import rank_calls
    from ser_ray.pipelines.truth import compare
    from ser_ray.reports import print_summary, summarise, summary_data, write_scores_page, write_spreadsheet
    from ser_ray.reports.figures import print_comparison, print_ranking

    scores = storage.require(target, "scores folder, model, search or recipe")
    if not storage.exists(storage.join(scores, "run.json")):
        raise MissingInput(
            f"{target} holds no scores (run.json), model (model.json), search (tuning.json) or recipe "
            "(recipe.json)."
        )
    summary = summarise(scores)
    write_scores_page(summary, page, **options)
    if csv:
        write_spreadsheet(summary, csv)
    met = compare(target, truth) if truth else None
    ranking = rank_calls(target, truth) if truth else None
    if as_json:
        written = {"page": page, "csv": csv, "truth": met and asdict(met)}
        return print_json({**summary_data(summary), **written, "ranking": ranking and asdict(ranking)})
    print_summary(summary, console)
    for name, place in {"page": page, "csv": csv}.items():
        if place:
            console.print(f"{name} -> {place}", markup=False)
    if met:
        print_comparison(console, met)
    if ranking:
        print_ranking(console, ranking)
    return None
