"""Telling somebody how a job ended: a command that gets JSON on standard input, or a webhook by POST."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any
from urllib.parse import urlsplit

COMMAND_S = 60.0  # for a command, which is ended then
ANSWER_S = 10.0  # for each of a webhook's tries
TRIES = 3
PAUSE_S = 2.0  # before the second try, and twice that before the third
VARIABLE = r"\$\{(\w+)\}"  # in a webhook's URL, of the environment


def target_of(given: Any) -> Any:
    """An option `notify` as a list: a command and its arguments, or one URL.

    Raises:
        ValueError: a URL that holds a password, or names no host.
    """
    target = shlex.split(given) if isinstance(given, str) and not _is_url(given) else given
    target = [target] if isinstance(target, str) else target
    if isinstance(target, list) and not target:
        raise ValueError("a command, or the URL of a webhook, is missing")
    if isinstance(target, list) and isinstance(target[0], str) and _is_url(target[0]):
        if len(target) > 1 or not (url := urlsplit(target[0])).hostname:
            raise ValueError("a webhook is one URL with a host, such as https://host/${HOOK}")
        if "@" in url.netloc:
            raise ValueError("the URL holds a user's name. Put the secret into ${NAME} of the environment")
    return target


def notify(target: Sequence[str], message: dict[str, Any]) -> str:
    """Tell it once, in bounded time.

    Args:
        target: as `target_of` gives it.
        message: plain data.

    Returns:
        What went wrong, in one sentence without secrets; "" where nothing did.
    """
    text = json.dumps(message, ensure_ascii=False, default=str).encode()
    return _post(target[0], text) if _is_url(target[0]) else _run(target, text)


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))


def _run(command: Sequence[str], text: bytes) -> str:
    """Run a command without a shell; what it prints is kept out of ours, which ends with the summary."""
    name = command[0]
    if not shutil.which(name):
        return f"there is no command {name!r} on this machine."
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(text)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
            )
        except OSError as error:
            return f"{name} does not start: {error.strerror}."
        try:
            code = process.wait(COMMAND_S)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # all that it started, too
            process.wait()
            return f"{name} did not end in {COMMAND_S:g} s, and was ended."
        return f"{name} ended with exit code {code}: {_last_line(said)}" if code else ""


def _last_line(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - 1000))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing."


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would come as a GET without the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, text: bytes) -> str:
    names = re.findall(VARIABLE, url)
    if missing := [name for name in names if not os.environ.get(name)]:
        return f"the webhook's {missing[0]} is not in the environment."
    full = re.sub(VARIABLE, lambda found: os.environ[found[1]], url)
    problem = ""
    for attempt in range(TRIES):
        time.sleep(PAUSE_S * attempt)
        try:
            request = urllib.request.Request(full, text, {"Content-Type": "application/json"})
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=ANSWER_S):
                return ""
        except urllib.error.HTTPError as error:
            problem = f"answered {error.code}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, http.client.HTTPException, ValueError) as error:  # whose text may have the URL
            problem = f"did not answer ({type(getattr(error, 'reason', error)).__name__})"
    return f"the webhook {urlsplit(url).scheme}://{urlsplit(url).netloc} {problem}."
