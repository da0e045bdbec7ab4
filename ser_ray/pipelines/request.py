"""What a folder of results was asked for: written down at first, and the same for whoever goes on with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ser_ray import storage
from ser_ray.errors import OutputConflict

REQUEST = "request.json"


def keep_request(wanted: Mapping[str, Any], manifest: pa.Table, out: str, what: str, anew: bool) -> None:
    """Write down what is asked for, or make sure that what is gone on with was asked for it.

    Args:
        wanted: what is asked for, plain data.
        manifest: of which utterances.
        out: folder of the results.
        what: they are, for the message, such as "a search".
        anew: delete what is there first.

    Raises:
        OutputConflict: it was asked for something else.
    """
    digest = hashlib.sha256("\n".join(manifest["id"].to_pylist()).encode()).hexdigest()[:16]
    asked = {**json.loads(json.dumps(wanted)), "utterances": digest}
    place = storage.join(out, REQUEST)
    if anew:
        storage.remove(out)
    if not storage.exists(place):
        return storage.write_json(place, asked)
    known = storage.read_json(place)
    other = sorted(k for k in asked.keys() | known.keys() if asked.get(k) != known.get(k))
    if other:
        raise OutputConflict(
            f"{out} holds {what} with another {', '.join(other)}. Choose another -o, or ask for the same."
        )
    return None
