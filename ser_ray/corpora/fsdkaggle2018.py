"""FSDKaggle2018 (Fonseca et al. 2018), DCASE 2018 task 2: 11,073 Freesound clips in 41 classes.

A source of general sounds for transfer learning: no emotions, `raw_label` is the class and `split` is
train (9,473) or test (1,600). `session` is the Freesound clip, as in `esc50`. Any folder of audio with a
table `fname,label` reads alike.

The test clips that the competition added as padding (label None, usage Ignored) are left out. Sources:
https://zenodo.org/record/2552860 and the task's paper, arXiv:1807.09902.
"""

from __future__ import annotations

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions
from ser_ray.corpora.listed import Entry, Listing, find_listings, join

EXPECTS = (
    "a table with the columns fname and label, such as FSDKaggle2018.meta/train_post_competition.csv, and "
    "its recordings, such as FSDKaggle2018.audio_train/00044347.wav"
)
COLUMNS = {"fname", "label"}
VARIANTS = {
    "all": "both parts, 11,073 clips",
    "train": "the training part, 9,473 clips; the test part need not be there",
    "test": "the test part, 1,600 clips; the training part need not be there",
}
PARTS = ("train", "test")
GUESSES = "sample_submission.csv"  # of the competition: has the same columns, but no truth


def _part(table: str) -> str | None:
    return next((part for part in PARTS if table.lower().startswith(part)), None)


def _entry(listing: Listing, row: dict[str, str | None]) -> Entry:
    clip = row.get("freesound_id")
    columns = {
        "emotion": None,
        "raw_label": listing.cell(row, "label"),
        "session": None if clip is None else f"freesound-{clip}",
        "split": _part(listing.name),
    }
    return Entry(listing.name, listing.cell(row, "fname"), columns)


def _index(root: str, options: IndexOptions) -> pa.Table:
    listings = find_listings(root, "fsdkaggle2018", EXPECTS, COLUMNS.issubset)
    wanted, ignored = [], []
    for listing in listings:
        chosen = options.variant in (None, "all", _part(listing.name)) and listing.name != GUESSES
        for row in listing.rows:
            if chosen and row.get("usage") != "Ignored":
                wanted.append(_entry(listing, row))
            else:
                ignored.append(listing.cell(row, "fname"))
    return join(root, "fsdkaggle2018", EXPECTS, wanted, options, ignored)


ADAPTER = Adapter("fsdkaggle2018", EXPECTS, _index, VARIANTS)
