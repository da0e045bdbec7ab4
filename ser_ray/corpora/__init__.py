"""Labelled speech: the manifest, one adapter a corpus, labels and splits."""

from ser_ray.corpora.adapter import IndexOptions
from ser_ray.corpora.manifest import read_manifest, write_manifest
from ser_ray.corpora.registry import CORPORA, index

__all__ = ["CORPORA", "IndexOptions", "index", "read_manifest", "write_manifest"]
