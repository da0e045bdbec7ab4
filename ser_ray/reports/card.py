"""What a model directory says of its making, checked: the card and the training curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import FiniteFloat, TypeAdapter, ValidationError

from ser_ray.errors import BadModel
from ser_ray.evaluation import Selection
from ser_ray.reports.wording import percent

_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True)
class TrainedOn:
    """What a model learned from; `left_out` counts the utterances without features by type of failure."""

    utterances: int
    corpora: tuple[str, ...] = ()
    copies: int = 0
    speakers: int | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """How the figures were measured."""

    protocol: str


@dataclass(frozen=True)
class Certain:
    """The precision wanted of certain segments, what was chosen for it, and that on speakers held out."""

    wanted: FiniteFloat
    chosen: Selection
    unseen: Selection

    def __str__(self) -> str:
        return (
            f"from a confidence of {100 * self.chosen.certain_from:.1f} %, for {percent(self.wanted)} right; "
            f"on speakers held out {percent(self.unseen.precision)} are, at a coverage of "
            f"{percent(self.unseen.coverage)}"
        )


@dataclass(frozen=True)
class Card:
    """The part of model.json or ensemble.json that is for readers; what is not known is None."""

    trained_on: TrainedOn | None = None
    metrics: Protocol | None = None
    certain: Certain | None = None
    seed: int | None = None
    wall_s: FiniteFloat | None = None
    versions: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch of a network, or of one of its towers; None without a held-out slice."""

    epoch: int
    loss: float
    lr: float
    held_out_loss: float | None = None
    held_out_ua: float | None = None
    tower: int | None = None


def read_card(card: Mapping[str, Any], uri: str) -> Card:
    """The card of the model or ensemble at `uri`; raises BadModel where it is of another form."""
    return _parsed(Card, card, uri)


def read_curve(classifier: object, uri: str) -> list[Epoch]:
    """The epochs of a classifier, none where it does not learn in epochs; raises like `read_card`."""
    return _parsed(list[Epoch], getattr(classifier, "curve", []), uri)


def _parsed(kind: type[_Parsed], content: object, uri: str) -> _Parsed:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadModel(f"the model in {uri} is corrupt: {where}: {first['msg']}. Train it again.") from error
