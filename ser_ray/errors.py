"""The errors that a user can meet. Each message names the cause and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PASSING = 75  # EX_TEMPFAIL of sysexits.h


class SerRayError(Exception):
    """Base of all our errors.

    Attributes:
        exit_code: what the command line returns for it, unless it is passing.
        passing: may go away by itself: worth another attempt.
    """

    exit_code = 1
    passing: bool = False

    @property
    def code(self) -> int:
        """What the command line returns: `PASSING` where another attempt may help, or `exit_code`."""
        return PASSING if self.passing else self.exit_code


class UsageError(SerRayError):
    """The request itself is wrong: a bad option, a missing path, an unknown name."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that no registry holds. The message lists the nearest names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
        super().__init__(f"unknown {kind} {name!r}. Did you mean: {', '.join(near)}?")
        self.kind, self.name, self.near = kind, name, near

    def __reduce__(self) -> tuple[type, tuple[str, str, list[str]]]:
        return type(self), (self.kind, self.name, self.near)


class MissingInput(UsageError):
    """A file, folder or bucket prefix that should be there is not, or is empty."""


class BadManifest(UsageError):
    """A manifest lacks a column, repeats an id or holds values outside its schema."""


class BadStore(UsageError):
    """A feature store that cannot be read, or does not hold what is asked of it."""


class BadModel(UsageError):
    """A model or ensemble directory that is incomplete, corrupt, or of an untrusted type."""


class OutputConflict(UsageError):
    """The output already holds results of other settings; mixing them is refused."""


class BandMismatch(UsageError):
    """Narrow-band audio meets a wide-band model."""


class StorageFailed(SerRayError):
    """A read or a write failed: no permission, disk full, connection lost.

    Args:
        message: cause and mend.
        kind: the ledger's `error_type`: `storage`, `denied`, `truncated`.
        passing: as with throttling, a store that answers 5xx, timeouts and lost connections.
        whole: it is not about one file: credentials, or a store that does not serve. It ends a run, so
            that the next one does what is left.
    """

    def __init__(
        self, message: str, kind: str = "storage", passing: bool = False, whole: bool = False
    ) -> None:
        super().__init__(message)
        self.kind, self.passing, self.whole = kind, passing, whole


class RunFailed(SerRayError):
    """A run ended, but not well: too many failed files, too few rows, a dead cluster.

    Args:
        message: cause and mend.
        passing: as with a cluster that broke off or does not answer, or workers that did not come.
    """

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class UnreadableAudio(SerRayError):
    """One recording that cannot be used. `kind` is the ledger's `error_type`.

    Kinds: `missing`, `empty`, `not_audio`, `unsupported`, `truncated`, `corrupt`, `no_samples`,
    `not_finite`, `bad_rate`, `too_many_channels`, `timeout`, `crash`, `narrow_band`.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.kind, str(self))
