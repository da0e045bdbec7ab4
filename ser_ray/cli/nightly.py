"""Verbs of the nightly run: score, report."""

from __future__ import annotations

from typing import Annotated

import typer

from ser_ray.cli.options import Address, Json, app, console, print_json, stderr


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
        print_json(run)
    else:
        print_summary(summarise(out), console)
        console.print(f"Rows in {out}/calls. Page: ser-ray report {out}")
    job.check(run)


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
