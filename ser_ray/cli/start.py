"""The verb that shows all the others: demo."""

from __future__ import annotations

from typing import Annotated

import typer

from ser_ray.cli.options import Overwrite, app, console


@app.command(epilog="Example: ser-ray demo my-demo")
def demo(
    folder: Annotated[str, typer.Argument(help="Where everything goes.")] = "ser-ray-demo",
    calls: Annotated[int, typer.Option(min=10, help="Calls of the simulated archive.")] = 40,
    overwrite: Overwrite = False,
) -> None:
    """Make a corpus and a call archive, train, fuse, score and report, all in a few minutes."""
    from ser_ray.demo import run_demo

    run_demo(folder, calls, overwrite, console)
