"""What a recipe is: a published system as variants, claims and a protocol, without any code of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

NO_NORMALISATION = "none"
RULE, PART = "rule:", ":"  # before a fusion rule's name, and between a variant's name and a part's


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the systems that a recipe compares.

    Attributes:
        name: of its row in the table.
        what: it is, in a few words.
        family: a name of `models.FAMILIES`.
        settings: hyperparameters in place of the family's defaults.
        features: specifications in place of the family's own.
        normalise: specification of the features' normalisation.
        copies: augmentations by which each training utterance is copied.
        select: so many columns of the pitch statistics are chosen on the training side of each fold, and
            given to the setting `columns`; 0: none are.

    `{NAME}` in settings and features stands for what the preparation NAME of the recipe made.
    """

    name: str
    what: str
    family: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    normalise: str = NO_NORMALISATION
    copies: tuple[str, ...] = ()
    select: int = 0


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What is learned before the folds, from other recordings.

    Attributes:
        name: by which variants speak of it.
        what: it is, for the list and the report.
        makes: a `model` trained on the labels `raw_label` of the recordings; a wav2vec `checkpoint`
            pre-trained without labels; or nothing, where it is `given` or its variants are left out.
        source: the option that says where the recordings are, or what is given.
        family: of the model.
        settings: of the model, or of the pre-training.
    """

    name: str
    what: str
    makes: Literal["model", "checkpoint", "given"]
    source: Literal["sounds", "speech", "encoder"]
    family: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def serves(self, variant: Variant) -> bool:
        """Whether a variant speaks of what it makes."""
        return any(
            f"{{{self.name}}}" in str(text) for text in (*variant.settings.values(), *variant.features)
        )


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim that the recipe puts to the test: `better` recognises more than `worse`.

    Both are names of rows in the table: of a variant, of a part of one (`four:soft vote`), or of a fusion
    rule (`rule:paper`).
    """

    says: str
    better: str
    worse: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published figure: of which row, how much in %, and on what it was measured."""

    row: str
    figure: float
    on: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One published system.

    Attributes:
        name: what the command line calls it.
        title: what it is.
        source: where it was published.
        variants: what is compared.
        flagship: the variant that stands for it in the table of all systems.
        fused: variants whose posteriors every fusion rule joins; none: nothing is fused.
        protocols: what is measured by unless told otherwise; the first one keeps speakers apart.
        emotions: which of a corpus's emotions the paper used, by corpus; all of another one.
        preparations: what is learned before.
        claims: what is put to the test.
        published: figures to stand beside ours.
        differences: between ours and the paper's, one sentence each.
        needs: what it takes beside a corpus, for the list.
        ranked: whether the best row of the table comes first; otherwise rows keep the order of the variants.
    """

    name: str
    title: str
    source: str
    variants: tuple[Variant, ...]
    flagship: str
    fused: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("loso", "random")
    emotions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preparations: tuple[Preparation, ...] = ()
    claims: tuple[Claim, ...] = ()
    published: tuple[Published, ...] = ()
    differences: tuple[str, ...] = ()
    needs: str = ""
    ranked: bool = False

    def variant(self, name: str) -> Variant:
        """The variant of that name."""
        return next(variant for variant in self.variants if variant.name == name)
