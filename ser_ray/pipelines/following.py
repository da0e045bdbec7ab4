"""What a submitted job prints, read from far away while it runs, and how it ended."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from ser_ray.errors import PASSING, MissingInput, RunFailed, UsageError
from ser_ray.pipelines.cluster import Progress
from ser_ray.pipelines.submissions import Submission, Submissions

LOST_S = 180.0  # without an answer, before following is given up
POLL_S = 1.0
CHARACTERS_A_SECOND = 50_000  # a long log, which comes whole each time, is asked for less often
PROGRESS = re.compile(r"(\d+)/(\d+) (\S.*)")

Show = Callable[[str], None]


class Log:
    """What a job has printed: its lines of progress, its summary, its error, and all else, which is shown."""

    def __init__(self, progress: Progress, show: Show) -> None:
        self.progress, self.show = progress, show
        self.summary = ""  # the last line of JSON
        self.error = ""  # the last line `error: ...`, without that
        self.last = ""  # of all else
        self._read = 0

    def read(self, text: str, whole: bool) -> None:
        """Take in what `text`, the log so far, has more than before; its last line may be half a one."""
        end = len(text) if whole else text.rfind("\n") + 1
        for line in text[self._read : end].split("\n"):
            if line.strip():
                self._take(line.rstrip())
        self._read = max(self._read, end)

    def _take(self, line: str) -> None:
        if found := PROGRESS.fullmatch(line):
            self.progress(int(found[1]), int(found[2]), found[3])
        elif line.startswith("error: "):
            self.error = line.removeprefix("error: ")
        elif _is_summary(line):
            self.summary = line
        else:
            self.last = line
            self.show(line)


def follow(
    submissions: Submissions, submission_id: str, progress: Progress, show: Show
) -> tuple[Submission, Log]:
    """Watch a job until it ends, over lost connections too.

    It asks again and again, since Ray's stream of a log may end, or hang, long before the job does.

    Raises:
        RunFailed: the cluster did not answer for too long, or forgot the job.
    """
    log = Log(progress, show)
    heard = time.monotonic()
    silent = False
    while True:
        length = 0
        try:
            now = submissions.find(submission_id)  # before the log, which is whole if that had ended
            text = submissions.log(submission_id)
            log.read(text, now.over)
            if now.over:
                return now, log
            heard, silent, length = time.monotonic(), False, len(text)
        except MissingInput as error:
            raise RunFailed(f"{error} Submit it again: what was finished is kept.", passing=True) from error
        except RunFailed as error:
            if time.monotonic() - heard > LOST_S:
                raise RunFailed(
                    f"{error} For {LOST_S:g} s there was no answer; the job goes on if its cluster does: "
                    f"ser-ray status {submission_id} --follow",
                    passing=True,
                ) from error
            if not silent:
                show(f"{error} Trying again; the job goes on.")
            silent = True
        time.sleep(POLL_S + length / CHARACTERS_A_SECOND)


def check(ended: Submission, log: Log) -> None:
    """Raise what the job itself raised, where it did not succeed.

    Raises:
        UsageError: its request is wrong (exit code 2).
        RunFailed: anything else; passing where it said so (75), or was ended by something else than itself.
    """
    if ended.status == "SUCCEEDED":
        return
    if ended.status == "STOPPED":
        raise RunFailed(f"{ended.id} was stopped. Submit it again to go on: what was finished is kept.")
    if re.search(r"No module named '?ser_ray", log.last):
        raise RunFailed(
            f"{ended.id}: the cluster has no ser_ray. Give it the image of cluster/Dockerfile, or pass "
            "--ship-code where all that ser_ray needs is there."
        )
    reason = log.error or f"{(ended.message.splitlines() or ['it failed'])[0]} {log.last}".strip()
    if ended.exit_code == UsageError.exit_code:
        raise UsageError(f"{ended.id}: {reason}")
    killed = ended.exit_code is None or ended.exit_code < 0
    raise RunFailed(f"{ended.id}: {reason}", passing=killed or ended.exit_code == PASSING)


def _is_summary(line: str) -> bool:
    try:
        return line.startswith("{") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
