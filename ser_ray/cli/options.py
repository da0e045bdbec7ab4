"""What all verbs share: the application, the options that several of them take, and how they print."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ser_ray.errors import UsageError

Storage = Annotated[
    list[str] | None,
    typer.Option(
        "--storage",
        help="How buckets are reached: endpoint=URL, region=, profile=, anonymous=true, encryption=AES256 or "
        "aws:kms, kms_key=.",
    ),
]


class _App(typer.Typer):
    """An application of which every verb takes `--storage`."""

    def command(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        """As Typer's, with that option."""
        register = super().command(*arguments, **options)

        def add(verb: Any) -> Any:
            register(_reaching_stores(verb))
            return verb

        return add


def _reaching_stores(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def run(storage: list[str] | None = None, **options: Any) -> Any:
        if storage:
            from ser_ray.storage import StorageOptions, use_options

            use_options(StorageOptions.of(pairs("--storage", storage)))
        return verb(**options)

    signature = inspect.signature(verb, eval_str=True)
    taken = inspect.Parameter("storage", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Storage)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), taken])  # type: ignore[attr-defined]
    return run


app = _App(
    help="Speech emotion recognition at scale, on Ray. Begin with: ser-ray demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Manifest = Annotated[str, typer.Argument(help="Manifest, as `ser-ray index` writes it.")]
Store = Annotated[str, typer.Option("--store", help="Feature store; what it lacks is extracted.")]
Features = Annotated[
    list[str] | None, typer.Option("--feature", "-f", help="Feature, such as mfcc_stats or 'mfcc(n=20)'.")
]
Band = Annotated[
    Literal["wide", "telephone"] | None,
    typer.Option(help="telephone: learn from audio sent through an 8 kHz mu-law line."),
]
Folds = Annotated[int, typer.Option(min=2, help="Number of folds for the protocols that take one.")]
Normalise = Annotated[
    str,
    typer.Option(
        help="Of the features, fitted on training rows: cmvn or equalise, such as 'cmvn(scope=speaker)', "
        "which takes each speaker, or leg of a call, by itself."
    ),
]
Seed = Annotated[int, typer.Option(help="Fixes folds and models.")]
InnerFolds = Annotated[
    int,
    typer.Option(
        "--inner-folds",
        help="Fits beside the one that is kept, to calibrate and fuse by; 1: a network's held-out slice.",
    ),
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="Hyperparameter=value.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to run on; this machine without it.")]
Date = Annotated[
    str | None,
    typer.Option(help="Stands for {date} in all options: a day like 2026-11-22, or yesterday, by UTC."),
]
Notify = Annotated[
    str | None,
    typer.Option(
        help="Told at the end how it went, as JSON: a command, on its standard input, or a webhook's URL, "
        "by POST; ${NAME} in that is of the environment."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON, for machines.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output that is there.")]

console = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False)


def pairs(option: str, given: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` texts of a repeated option as a dict; raises UsageError for other texts."""
    parts = [text.partition("=") for text in given or []]
    for name, equals, value in parts:
        if not (name and equals and value):
            raise UsageError(f"{option} takes NAME=VALUE, not {name + equals + value!r}.")
    return {name: value for name, _, value in parts}


def listing(registry: Callable[[], Mapping[str, str]]) -> Callable[[bool], None]:
    """A callback for `--list`: it prints what a registry holds and leaves."""

    def show(wanted: bool) -> None:
        if wanted:
            for name, what in registry().items():
                console.print(f"{name}\n    {what}", markup=False)
            raise typer.Exit

    return show


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(value, ensure_ascii=False, default=str))
