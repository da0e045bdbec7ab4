"""The verb that runs published systems: recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from ser_ray.cli.options import (
    Address,
    Folds,
    Json,
    Overwrite,
    app,
    console,
    listing,
    pairs,
    print_json,
    stderr,
)
from ser_ray.errors import UsageError


def _recipes() -> dict[str, str]:
    from ser_ray.pipelines.recipes.request import recipe_names

    return dict(recipe_names())


@app.command(epilog="Example: ser-ray recipe ml_fusion --corpus emodb.parquet --store store -o fusion")
def recipe(
    name: Annotated[str, typer.Argument(help="Of the system (--list), or all: one table of them all.")],
    corpus: Annotated[str, typer.Option(help="Manifest, as `ser-ray index` writes it.")] = "",
    out: Annotated[
        str | None, typer.Option("--output", "-o", help="Folder of the results; the system's name without.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Feature store; what it lacks is extracted. In the folder without.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="In place of the recipe's own, as `evaluate` knows them; as often as needed."),
    ] = None,
    folds: Folds = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Of folds and models: 0, 1, ..., so many.")] = 1,
    variants: Annotated[str | None, typer.Option(help="Only these, a,b,c.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Hyperparameter=value of all that have it, or VARIANT.NAME=value of one."),
    ] = None,
    emotions: Annotated[
        str | None, typer.Option(help="Only these, a,b,c, or all; those that the paper used without.")
    ] = None,
    inner_folds: Annotated[
        int, typer.Option("--inner-folds", help="Of the variants that are fused, to calibrate and fuse by.")
    ] = 2,
    sounds: Annotated[
        str | None, typer.Option(help="Manifest of sound events to learn from first; made up without.")
    ] = None,
    speech: Annotated[
        str | None,
        typer.Option(help="Manifest of speech without labels to learn from first; the corpus without."),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Of wav2vec, in place of one that is pre-trained on --speech.")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Of transformers, for the rows that have one; a folder or hub name.")
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="Train each variant on all of the corpus too, into OUT/models.")
    ] = False,
    overwrite: Overwrite = False,
    known: Annotated[
        bool, typer.Option("--list", callback=listing(_recipes), is_eager=True, help="Tell all and leave.")
    ] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Run a published system: variants, protocols, one table. The same command goes on after a kill."""
    from ser_ray import storage
    from ser_ray.pipelines.recipes.job import RecipeJob
    from ser_ray.reports.progress import showing
    from ser_ray.reports.recipe_page import write_recipe_page
    from ser_ray.reports.recipe_table import markdown_of, print_outcome

    if not corpus:
        raise UsageError("--corpus is missing: the manifest of the labelled speech to run on.")
    out = out or name
    job = RecipeJob.of(
        recipe=name,
        corpus=corpus,
        out=out,
        store=store,
        protocols=protocol or [],
        folds=folds,
        seeds=seeds,
        variants=variants.split(",") if variants else [],
        settings=pairs("--set", settings),
        emotions=emotions.split(",") if emotions else [],
        inner_folds=inner_folds,
        sounds=sounds,
        speech=speech,
        checkpoint=checkpoint,
        encoder=encoder,
        models=models,
        overwrite=overwrite,
        address=address,
    )
    with showing(stderr) as progress:
        outcome = job.measure(progress)
    storage.write_bytes(storage.join(out, "table.md"), markdown_of(outcome).encode())
    write_recipe_page(out, storage.join(out, "report.html"))
    if as_json:
        return print_json(outcome.to_dict())
    print_outcome(console, outcome)
    console.print(f"Page: {out}/report.html, table: {out}/table.md", markup=False)
    return None
