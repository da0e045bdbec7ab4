"""The corpora that `ser-ray index` knows. A new one is one new file and one line here."""

from __future__ import annotations

import pyarrow as pa

from ser_ray.corpora import (
    aihub,
    cremad,
    emodb,
    emovo,
    esc50,
    esd,
    fsdkaggle2018,
    iemocap,
    kesdy18,
    nemo,
    ravdess,
    savee,
    shemo,
    table,
    tess,
    urdu,
)
from ser_ray.corpora.adapter import Adapter, IndexOptions, check_variant
from ser_ray.errors import UnknownName

CORPORA: dict[str, Adapter] = {
    a.name: a
    for a in (
        aihub.ADAPTER,
        cremad.ADAPTER,
        emodb.ADAPTER,
        emovo.ADAPTER,
        esc50.ADAPTER,
        esd.ADAPTER,
        fsdkaggle2018.ADAPTER,
        iemocap.ADAPTER,
        kesdy18.ADAPTER,
        nemo.ADAPTER,
        ravdess.ADAPTER,
        savee.ADAPTER,
        shemo.ADAPTER,
        table.ADAPTER,
        tess.ADAPTER,
        urdu.ADAPTER,
    )
}


def index(corpus: str, root: str, options: IndexOptions | None = None) -> pa.Table:
    """The manifest of the corpus that lies at `root`.

    Raises:
        UnknownName: no adapter of that name.
        UsageError: the options have a variant, label or emotion that is not known.
        MissingInput, BadManifest: the folder or table is not what the adapter expects.
    """
    if corpus not in CORPORA:
        raise UnknownName("corpus", corpus, CORPORA)
    options = options or IndexOptions()
    check_variant(CORPORA[corpus], options.variant)
    return CORPORA[corpus].index(root, options)
