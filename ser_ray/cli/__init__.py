"""The command line: one verb a capability, on this machine or on a cluster."""

from __future__ import annotations

import sys

import typer

from ser_ray.cli import start, corpus, learning, pretraining, tuning, recipes, nightly, submission  # isort: skip  # the order of the verbs in the help
from ser_ray.cli.options import app, console
from ser_ray.errors import SerRayError

__all__ = [
    "app",
    "console",
    "corpus",
    "learning",
    "main",
    "nightly",
    "pretraining",
    "recipes",
    "start",
    "submission",
    "tuning",
]


def main() -> None:
    """Run the command line; every failure is one line and an exit code: 1 failed, 2 asked wrongly, 75 failed
    and another attempt may help."""
    try:
        code = app(standalone_mode=False)
    except SerRayError as error:
        _fail(str(error), error.code)
    except typer.TyperException as error:  # what Typer itself raises for wrong usage
        _fail(error.format_message() if hasattr(error, "format_message") else str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted. Run the same command again to go on.", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
