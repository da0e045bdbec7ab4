"""Verbs about jobs on a cluster elsewhere: submit, status, stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ser_ray.cli.options import Date, Json, app, console, print_json, stderr
from ser_ray.errors import UsageError

if TYPE_CHECKING:
    from ser_ray.pipelines.submissions import Submission, Submissions

TAIL = 20  # lines

Dashboard = Annotated[
    str,
    typer.Option(
        "--address",
        envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        help="Of the cluster's dashboard, such as http://HEAD:8265.",
    ),
]


@app.command(epilog="Example: ser-ray submit score night.yaml --address http://HEAD:8265")
def submit(
    job: Annotated[
        Literal["score", "extract", "pretrain", "train", "tune", "evaluate", "recipe"],
        typer.Argument(help="What to do."),
    ],
    config: Annotated[
        str, typer.Argument(help="YAML with the options of that verb, such as jobs/score.yaml.")
    ],
    date: Date = None,
    address: Dashboard = "",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow it to its end, or print its id and leave.")
    ] = True,
    again: Annotated[bool, typer.Option("--again", help="Also where it has succeeded already.")] = False,
    cpus: Annotated[
        int,
        typer.Option(min=0, help="Have the cluster's autoscaler bring so many first, and take them back."),
    ] = 0,
    gpus: Annotated[int, typer.Option(min=0, help="Likewise.")] = 0,
    ship_code: Annotated[
        bool, typer.Option("--ship-code", help="Send this ser_ray along; the cluster has what it needs.")
    ] = False,
) -> None:
    """Run a job on a cluster, once, through Ray Jobs; its summary is printed as one line of JSON."""
    from ser_ray.pipelines.job import read_job
    from ser_ray.pipelines.jobs import JOBS
    from ser_ray.pipelines.submissions import command_of, name_of

    asked = read_job(JOBS[job], config, date=date)
    command = command_of(asked, cpus, gpus)
    cluster = _cluster(address)
    submitted = cluster.submit(name_of(asked), command, again, ship_code)
    if not wait:
        return console.print(submitted, markup=False)
    _say(f"{submitted} is submitted")
    return _follow(cluster, submitted)


@app.command(epilog="Example: ser-ray status score-2026-11-22-1f3a9c --address http://HEAD:8265")
def status(
    submission: Annotated[str | None, typer.Argument(help="Its id; without it all are listed.")] = None,
    address: Dashboard = "",
    follow: Annotated[bool, typer.Option("--follow", help="To its end, as `submit` does.")] = False,
    as_json: Json = False,
) -> None:
    """List the jobs that a cluster was given, or tell how one is, and its last lines."""
    if follow and not submission:
        raise UsageError("--follow needs the id of a submission.")
    cluster = _cluster(address)
    if not submission:
        every = cluster.all()
        return print_json([asdict(each) for each in every]) if as_json else _print(every)
    if follow:
        return _follow(cluster, submission)
    found = cluster.find(submission)
    if as_json:
        return print_json(asdict(found))
    _print([found])
    for line in cluster.log(submission).splitlines()[-TAIL:]:
        console.print(line, markup=False)
    return None


@app.command(epilog="Example: ser-ray stop score-2026-11-22-1f3a9c --address http://HEAD:8265")
def stop(
    submission: Annotated[str, typer.Argument(help="Its id, as `ser-ray status` lists it.")],
    address: Dashboard = "",
) -> None:
    """End a job on a cluster. What it finished is kept; submitted again it goes on."""
    _print([_cluster(address).stop(submission)])


def _cluster(address: str) -> Submissions:
    from ser_ray.pipelines.submissions import Submissions

    if not address:
        raise UsageError("--address is missing: that of the cluster's dashboard, such as http://HEAD:8265.")
    return Submissions(address)


def _follow(cluster: Submissions, submitted: str) -> None:
    from ser_ray.pipelines.following import check, follow
    from ser_ray.reports.progress import showing

    try:
        with showing(stderr) as progress:
            ended, log = follow(cluster, submitted, progress, _say)
    except KeyboardInterrupt:
        _say(f"The job goes on: ser-ray status {submitted} --follow. It ends by: ser-ray stop {submitted}")
        raise typer.Exit(130) from None
    if log.summary:
        print(log.summary)
    check(ended, log)


def _say(line: str) -> None:
    stderr.print(line, markup=False, soft_wrap=True)


def _print(found: Sequence[Submission]) -> None:
    from rich.table import Table

    table = Table("id", "status", "started", "lasted", "exit code", box=None)
    for each in found:
        begun = datetime.fromtimestamp(each.started) if each.started else None
        end = datetime.fromtimestamp(each.ended) if each.ended else datetime.now()
        lasted = str(timedelta(seconds=int((end - begun).total_seconds()))) if begun else ""
        code = "" if each.exit_code is None else str(each.exit_code)
        table.add_row(each.id, each.status, f"{begun:%Y-%m-%d %H:%M}" if begun else "", lasted, code)
    console.print(table)
