"""The networks that `ser-ray train` knows. A new one is one new file and one entry here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ser_ray.models.family import Family
from ser_ray.models.networks import (
    cnn1d,
    cnn2d,
    end_to_end,
    four_feature_cnn,
    fully_connected,
    gan_blstm,
    image_cnn,
    recurrent,
    ssl_finetune,
    transfer_cnn,
    vgg_attention,
)
from ser_ray.models.networks.classifier import NetworkClassifier, all_settings
from ser_ray.models.networks.network import NetworkKind

KINDS: dict[str, NetworkKind] = {
    kind.name: kind
    for kind in (
        *fully_connected.NETWORKS,
        *recurrent.NETWORKS,
        *cnn1d.NETWORKS,
        *cnn2d.NETWORKS,
        *end_to_end.NETWORKS,
        *image_cnn.NETWORKS,
        *vgg_attention.NETWORKS,
        *ssl_finetune.NETWORKS,
        *transfer_cnn.NETWORKS,
    )
}


def network_family(kind: NetworkKind, of: type[NetworkClassifier] = NetworkClassifier) -> Family:
    """A network as a family like any other, trained as a classifier `of` this type is."""

    def build(settings: Mapping[str, Any], seed: int) -> NetworkClassifier:
        return of(kind, settings, seed)

    def save(classifier: NetworkClassifier, folder: Path) -> None:
        classifier.save(folder)

    def load(folder: Path) -> NetworkClassifier:
        return of.load(kind, folder)

    return Family(
        name=kind.name,
        summary=kind.summary,
        features=kind.features,
        defaults=all_settings(kind),
        space=kind.space,
        build=build,
        save=save,
        load=load,
        deep=True,
        holds_out=True,
        networks=1,
        stage="epochs",
        grow=of.grow,
        source=kind.source,
        streams=of.streams,
    )


NETWORKS: dict[str, Family] = {
    **{name: network_family(kind) for name, kind in KINDS.items()},
    four_feature_cnn.FAMILY.name: four_feature_cnn.FAMILY,
    gan_blstm.KIND.name: network_family(gan_blstm.KIND, gan_blstm.GanClassifier),
}
