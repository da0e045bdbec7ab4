"""The corpora that `ser-ray index` knows. A new one is one new file and one line here."""

from __future__ import annotations

import pyarrow as pa

from ser_ray.corpora import emodb, ravdess, table
from ser_ray.corpora.adapter import Adapter, IndexOptions
from ser_ray.errors import UnknownName

CORPORA: dict[str, Adapter] = {a.name: a for a in (emodb.ADAPTER, ravdess.ADAPTER, table.ADAPTER)}


def index(corpus: str, root: str, options: IndexOptions | None = None) -> pa.Table:
    """The manifest of the corpus that lies at `root`.

    Raises:
        UnknownName: no adapter of that name.
        MissingInput, BadManifest: the folder or table is not what the adapter expects.
    """
    if corpus not in CORPORA:
        raise UnknownName("corpus", corpus, CORPORA)
    return CORPORA[corpus].index(root, options or IndexOptions())
