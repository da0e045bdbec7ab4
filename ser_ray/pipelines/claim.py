"""One run at a time in an output folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ser_ray import storage
from ser_ray.errors import OutputConflict


@contextmanager
def claimed(out: str) -> Iterator[None]:
    """Hold a local folder while this process fills it; the operating system lets go of it with the process.

    A bucket knows no locks, and needs none: objects are put whole, and two runs of a night put the same ones.

    Raises:
        OutputConflict: another process holds it.
    """
    if not storage.is_local(out):
        yield
        return
    folder = storage.local_path(out)
    with ExitStack() as held:
        with suppress(OSError):  # what is wrong with the place, the run itself will say
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            held.callback(os.close, handle)
            _lock(handle, out)
            held.callback(_remove_empty, folder)
        yield


def _lock(handle: int, out: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputConflict(
            f"another run is filling {out}. Wait for its end: the same command then goes on, or has nothing "
            "left to do."
        ) from error


def _remove_empty(folder: Path) -> None:
    """A run that was refused leaves no folder behind."""
    with suppress(OSError):
        folder.rmdir()
