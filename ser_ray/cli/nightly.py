"""Verbs of the nightly run: score, report."""

from __future__ import annotations

from typing import Annotated

import typer

from ser_ray.cli.options import Address, Json, app, console, print_json, stderr
from ser_ray.errors import MissingInput, UsageError


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


@app.command(epilog="Example: ser-ray report scores -o report.html, or: ser-ray report models/svm")
def report(
    target: Annotated[str, typer.Argument(help="Scores folder, model or ensemble directory, or search.")],
    out: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Page to write (SCORES/report.html, or MODEL.html)."),
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="Scores: calls shown with a timeline; 50 without it.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(help="Scores: table of turns, such as truth.parquet; print how well they were met."),
    ] = None,
) -> None:
    """Write the page of a scored archive (which calls need a person), a model (how good it is), a search."""
    from ser_ray import storage
    from ser_ray.reports import write_scores_page
    from ser_ray.reports.model_page import default_page, has_model_page, write_model_page
    from ser_ray.reports.tuning_page import has_tuning_page, write_tuning_page

    if (is_model := has_model_page(target)) or has_tuning_page(target):
        if top or truth:
            kind = "a model" if is_model else "a search"
            raise UsageError(f"--top and --truth are for scores, and {target} is {kind}. Leave them out.")
        page = out or (default_page(target) if is_model else storage.join(target, "report.html"))
        (write_model_page if is_model else write_tuning_page)(target, page)
    else:
        scores = storage.require(target, "scores folder, model or search")
        if not storage.exists(storage.join(scores, "run.json")):
            raise MissingInput(
                f"{target} holds no scores (run.json), model (model.json) or search (tuning.json)."
            )
        page = out or storage.join(target, "report.html")
        write_scores_page(scores, page, top or 50)
    console.print(f"page -> {page}")
    if truth:
        from ser_ray.pipelines.truth import compare
        from ser_ray.reports.figures import print_comparison

        print_comparison(console, compare(target, truth))
