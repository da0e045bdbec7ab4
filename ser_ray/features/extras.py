"""Optional packages: what to install where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from ser_ray import errors


def require_extra(extra: str, package: str, what: str) -> None:
    """Refuse to go on without an optional package.

    Args:
        extra: name of the extra that brings it.
        package: what is imported.
        what: what needs it, as the start of a sentence.

    Raises:
        UsageError: it is not installed; the message has the command that installs it.
    """
    if find_spec(package) is None:
        raise errors.UsageError(
            f"{what} needs the package {package}, which is not installed. Run: pip install 'ser-ray[{extra}]'"
        )
