"""Augmented copies in a manifest: rows that say what is to be done to the sound of other rows.

Nothing is written but the manifest; the sound is made when features are extracted. A copy is learned from
only where the utterance that it was made from is (`manifest.with_copies`), and never tested.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ser_ray.audio.augmentation import chain, describe
from ser_ray.corpora.manifest import originals, validate
from ser_ray.errors import UsageError


def augment(table: pa.Table, specs: Sequence[str], copies: int = 1, seed: int = 0) -> pa.Table:
    """A manifest with copies of every row behind its own rows.

    A copy is its source's row with `augmentation`, which holds the augmentations and the seed, with
    `source_id`, and with an `id` of its own: the source's, `~`, and a number. The row alone determines
    the sound; an augmentation that draws nothing, such as `speed(factor=0.9)`, gives the same sound in
    all its copies.

    Args:
        table: manifest rows, none of them a copy.
        specs: augmentations, such as `speed(factor=0.9)` or `speed(factor=1.1) + noise(snr_db=15)`.
        copies: of each row by each of `specs`.
        seed: of what the augmentations draw; another one gives other copies.

    Returns:
        The manifest [rows * (1 + len(specs) * copies)]: the rows, then all copies by the first of `specs`
        and number 1, and so on.

    Raises:
        UnknownName, UsageError: an augmentation that is not known or cannot be; none; no copies; a seed
            below 0; a manifest that holds copies.
        MissingInput: a folder of noise that holds no recordings.
        BadManifest: a row has the id that a copy is to have.
    """
    if not specs:
        raise UsageError("no augmentation is named; give one or more, such as speed(factor=0.9).")
    if copies < 1:
        raise UsageError(f"{copies} copies will not do; make one or more of each utterance.")
    if seed < 0:
        raise UsageError(f"seed {seed} will not do; give 0 or more.")
    if len(originals(table)) < len(table):
        raise UsageError("the manifest holds augmented copies; make copies of the manifest without them.")
    parts = [table]
    for spec in specs:
        stages = chain(spec)
        for stage in stages:
            stage.require()
        text = describe(stages, seed)
        parts += [_copied(table, text, number) for number in range(len(parts), len(parts) + copies)]
    return validate(pa.concat_tables(parts))


def _copied(table: pa.Table, text: str, number: int) -> pa.Table:
    ids = table["id"].to_pylist()
    values = {
        "id": [f"{source}~{number}" for source in ids],
        "augmentation": [text] * len(ids),
        "source_id": ids,
    }
    for column, content in values.items():
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(place), pa.array(content, pa.string()))
    return table
