"""A made-up corpus of general sounds, a source for transfer learning where no recorded one is at hand."""

from __future__ import annotations

import pyarrow as pa

from ser_ray import storage
from ser_ray.audio.sounds import SOUNDS, draw_sound
from ser_ray.corpora.manifest import from_rows
from ser_ray.corpora.synthetic import seed_of, wav
from ser_ray.errors import UsageError

CORPUS = "synthetic_sounds"


def make_sounds(folder: str, classes: int = 10, per_class: int = 40, seed: int = 0) -> pa.Table:
    """Write a corpus of WAV files (16 kHz, PCM16, 1 to 4 s); like `esc50`, it has no emotions.

    Args:
        folder: where the files go, local or remote.
        classes: how many of `sounds.SOUNDS`, from the first.
        per_class: sounds of each.
        seed: draws the sounds. A corpus with more classes or sounds holds the smaller one.

    Returns:
        The manifest; `raw_label` is the class.

    Raises:
        UsageError: fewer than two classes, more than there are, or no sounds.
    """
    if not 2 <= classes <= len(SOUNDS):
        raise UsageError(f"classes={classes} will not do. There are {len(SOUNDS)}; give 2 or more of them.")
    if per_class < 1:
        raise UsageError(f"per_class={per_class} is too small. Give one sound of each class or more.")
    rows = []
    for place, kind in enumerate(list(SOUNDS)[:classes]):
        for number in range(per_class):
            name = f"{kind}-{number + 1:03d}"
            uri = storage.join(storage.absolute(folder), f"{name}.wav")
            storage.write_bytes(uri, wav(draw_sound(kind, seed_of(seed, place, number))))
            rows.append({"id": f"{CORPUS}/{name}", "uri": uri, "corpus": CORPUS, "raw_label": kind})
    return from_rows(rows)
