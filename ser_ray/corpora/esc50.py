"""ESC-50 (Piczak 2015): 2,000 environmental sounds of 5 s in 50 classes and 5 folds.

A source of general sounds for transfer learning: no emotions, `raw_label` is the class and `split` the
fold. Recordings cut from one Freesound clip have the same `session`, as in `fsdkaggle2018`, so that a
division by session keeps them together, also across both corpora.

Source: meta/esc50.csv and README.md of https://github.com/karolpiczak/ESC-50.
"""

from __future__ import annotations

import pyarrow as pa

from ser_ray.corpora.adapter import Adapter, IndexOptions
from ser_ray.corpora.listed import Entry, Listing, find_listings, join

EXPECTS = (
    "the table meta/esc50.csv with the columns filename, fold, category and src_file, and its recordings, "
    "such as audio/1-100032-A-0.wav"
)
COLUMNS = {"filename", "fold", "target", "category", "src_file"}


def _entry(listing: Listing, row: dict[str, str | None]) -> Entry:
    columns = {
        "emotion": None,
        "raw_label": listing.cell(row, "category"),
        "session": f"freesound-{listing.cell(row, 'src_file')}",
        "split": listing.cell(row, "fold"),
    }
    return Entry(listing.name, listing.cell(row, "filename"), columns)


def _index(root: str, options: IndexOptions) -> pa.Table:
    listings = find_listings(root, "esc50", EXPECTS, COLUMNS.issubset)
    return join(
        root, "esc50", EXPECTS, [_entry(table, row) for table in listings for row in table.rows], options
    )


ADAPTER = Adapter("esc50", EXPECTS, _index)
