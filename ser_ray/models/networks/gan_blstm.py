"""`gan_blstm`: BiLSTM and attention on low-level descriptors, with negative emotion that a GAN makes.

System 3. The generator learns from the utterances of negative emotion in the training rows alone, those of
the held-out slice left out too; what it makes joins them. "Negative" is read in two ways:

- `gan=extra_class`: one generator for all negative emotions. What it makes is a counter-example under a
  label of its own, which is masked as soon as nothing is learned: probabilities are those of the real
  classes alone.
- `gan=valence`: one generator for each negative emotion. What it makes is labelled with that emotion.
- `gan=none`: the recogniser alone.

Only the recogniser is saved. Wherever a training goes on, generators are made anew, alike for the same seed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ser_ray.corpora.labels import EMOTIONS, NEGATIVE
from ser_ray.errors import BadManifest, UsageError
from ser_ray.models.networks.classifier import NetworkClassifier
from ser_ray.models.networks.gan import Gan, GanOptions
from ser_ray.models.networks.gan_quality import COLLAPSED, quality, together
from ser_ray.models.networks.loop import LoopState
from ser_ray.models.networks.network import Example, Inputs, NetworkKind, Padded, Shape, pad
from ser_ray.models.networks.parts import (
    Recurrent,
    SequenceHead,
    Window,
    columns_of,
    dense,
    one_of,
    positive,
    widths,
)

GANS = ("none", "extra_class", "valence")
LIMIT = 3.0  # deviations from the mean at which columns are cut; they are divided by it
FINDINGS = "gan.json"
LOG = logging.getLogger(__name__)
Enriched = tuple[list[Example], np.ndarray]  # examples, and the numbers of their classes [rows]


class BlstmAttention(nn.Module):
    """The beginning of an utterance, cut at +-`LIMIT`, a dense layer, a BiLSTM, attention, one linear layer.

    Args:
        columns: of a frame.
        classes: of the emotions.
        settings: `frames`, `hidden`, `units`, `dropout`.
        extra: logits beside those of the emotions, which are there in training only.
    """

    def __init__(self, columns: int, classes: int, settings: Mapping[str, Any], extra: int = 0) -> None:
        super().__init__()
        self.classes, self.window = classes, Window(0, settings["frames"])
        self.hidden = dense(columns, [positive("hidden", settings["hidden"])], 0.0)
        layer = Recurrent(settings["hidden"], settings["units"], "lstm", bidirectional=True)
        dropout = settings["dropout"]
        self.head = SequenceHead(layer.columns, classes + extra, "attention", layer, dropout=dropout)

    def forward(self, inputs: Inputs) -> Tensor:
        """One input [batch, frames, columns] -> logits [batch, classes], and the extra ones in training.

        The softmax of the logits that are left is what is left of the whole one, normalised again.
        """
        values, lengths = self.window(*inputs[0])
        logits: Tensor = self.head(self.hidden(squeezed(values)), lengths)
        return logits if self.training else logits[:, : self.classes]


class GanClassifier(NetworkClassifier):
    """A recogniser that learns from made sequences beside the real ones.

    Attributes:
        findings_: how good the made sequences were, see `gan_quality`; empty without a GAN. Kept with the
            model; where workers trained it together, those of the first.
    """

    streams = False  # a generator learns from all negative utterances

    def __init__(self, kind: NetworkKind, settings: Mapping[str, Any], seed: int) -> None:
        super().__init__(kind, settings, seed)
        one_of("gan", self.settings["gan"], GANS)
        positive("frames", self.settings["frames"])
        gan_options(self.settings)
        if self.settings["generated"] <= 0:
            raise UsageError(
                f"generated={self.settings['generated']} makes nothing. Set it above 0, or gan to none."
            )
        self.findings_: dict[str, float] = {}
        self._growing = False
        self._made: Enriched | None = None  # kept while it grows

    def grow(
        self,
        X: Any,
        y: np.ndarray,
        counts: Sequence[int],
        groups: np.ndarray | None = None,
        state: LoopState | None = None,
    ) -> Iterator[LoopState]:
        """See `models.family.Grow`; the generators learn once for all counts."""
        self._growing = True
        try:
            yield from super().grow(X, y, counts, groups, state)
        finally:
            self._growing, self._made = False, None

    def save(self, folder: Path) -> None:
        """Write weights and description of the recogniser, and the findings."""
        super().save(folder)
        (folder / FINDINGS).write_text(json.dumps(self.findings_, indent=1))

    @classmethod
    def load(cls, kind: NetworkKind, folder: Path) -> Self:
        """See `NetworkClassifier.load`."""
        classifier = super().load(kind, folder)
        classifier.findings_ = json.loads((folder / FINDINGS).read_text())
        return classifier

    def _enriched(self, examples: list[Example], y: np.ndarray) -> Enriched:
        if self.settings["gan"] == "none":
            self.findings_ = {}
            return examples, y
        made = self._made or self._generated(examples, y)
        if self._growing:
            self._made = made
        return [*examples, *made[0]], np.concatenate([y, made[1]])

    def _generated(self, examples: list[Example], y: np.ndarray) -> Enriched:
        """What generators make that learned from scaled training examples; sets `findings_`."""
        columns_of(self.shapes)
        negative = self._negative(y)
        if self.settings["gan"] == "valence":
            sources = {name: (number, y == number) for name, number in negative.items()}
        else:
            all_of_them = np.isin(y, list(negative.values()))
            sources = {"negative emotion": (len(self.classes_), all_of_them)}
        made: list[Example] = []
        wanted: list[int] = []
        found = []
        for name, (number, chosen) in sources.items():
            real = [examples[row] for row in np.flatnonzero(chosen)]
            sequences, figures = self._sequences(name, real, self.seed * len(EMOTIONS) + number)
            made += sequences
            wanted += [number] * len(sequences)
            found.append(figures)
        self.findings_ = together(found)
        return made, np.array(wanted, dtype=y.dtype)

    def _sequences(
        self, name: str, examples: Sequence[Example], seed: int
    ) -> tuple[list[Example], dict[str, float]]:
        """What one generator makes that learned from these, and how good it is."""
        if len(examples) < 2:
            raise BadManifest(f"a single utterance of {name} is too little to learn from. Give more of them.")
        options = gan_options(self.settings)
        gan = Gan(real_sequences(examples, self.settings["frames"]), options, seed).train()
        made = gan.sample(max(1, round(self.settings["generated"] * len(examples))))
        figures = quality(gan, made, LIMIT)
        if options.head == "shared":
            LOG.warning("generator=shared: what is made of %s has rank 2 at most.", name)
        if figures["gan_diversity"] < COLLAPSED:
            LOG.warning(
                "the generator of %s makes much the same over and over: its sequences lie %.2f times as far "
                "apart as real ones. Change gan_epochs or gan_lr, or the seed.",
                name,
                figures["gan_diversity"],
            )
        rows = zip((LIMIT * made.values).numpy(), made.lengths.tolist(), strict=True)
        return [(values[:length],) for values, length in rows], figures

    def _negative(self, y: np.ndarray) -> dict[str, int]:
        """Numbers among `classes_` of the negative emotions that occur in y, by name.

        Raises:
            UsageError: it was not told the labels, or a negative emotion that does not exist.
            BadManifest: there is none.
        """
        labels, wanted = str(self.settings["labels"]).split("-"), str(self.settings["negative"]).split("-")
        if len(labels) <= self.classes_.max() or not all(labels):
            raise UsageError(
                f"labels={self.settings['labels']!r} does not tell what emotion each class is. Set it to the "
                "emotions in the order of the class numbers, like anger-neutral, or gan to none."
            )
        for name in wanted:
            one_of("negative", name, dict.fromkeys([*EMOTIONS, *labels]))
        occur = {labels[self.classes_[number]]: int(number) for number in np.unique(y)}
        found = {name: number for name, number in occur.items() if name in wanted}
        if not found:
            raise BadManifest(
                f"none of the utterances to learn from is negative; they are: {', '.join(occur)}. Give some "
                f"of {', '.join(wanted)}, set negative to others, or gan to none."
            )
        return found


def gan_options(settings: Mapping[str, Any]) -> GanOptions:
    """The GAN's part of the hyperparameters."""
    return GanOptions(
        head=settings["generator"],
        latent=settings["latent"],
        generator=widths("generator_hidden", settings["generator_hidden"]),
        discriminator=widths("discriminator_hidden", settings["discriminator_hidden"]),
        epochs=settings["gan_epochs"],
        batch=settings["gan_batch"],
        lr=settings["gan_lr"],
        beta1=settings["gan_beta1"],
    )


def real_sequences(examples: Sequence[Example], frames: int) -> Padded:
    """The first frames of scaled utterances as a GAN reads them: [sequences, frames, columns], -1 to 1."""
    values, lengths = pad([array[:frames] for (array,) in examples])
    return Padded(functional.pad(squeezed(values), (0, 0, 0, frames - values.shape[1])), lengths)


def squeezed(values: Tensor) -> Tensor:
    """Scaled values, cut at +-`LIMIT` and divided by it."""
    return torch.clamp(values, -LIMIT, LIMIT) / LIMIT


def _build(shapes: Sequence[Shape], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    extra = int(settings["gan"] == "extra_class")
    return BlstmAttention(columns_of(shapes), classes, settings, extra)


KIND = NetworkKind(
    name="gan_blstm",
    summary="BiLSTM and attention on IS09 descriptors, with negative emotion that a GAN makes",
    features=("is09_lld",),
    defaults={
        "frames": 512,
        "hidden": 128,
        "units": 128,
        "dropout": 0.5,
        "gan": "extra_class",
        "negative": "-".join(sorted(NEGATIVE)),
        "labels": "",  # told by whoever knows the manifest
        "generated": 1.0,  # sequences for each negative utterance
        "generator": "full",
        "latent": 100,
        "generator_hidden": "256-512-1024-512",
        "discriminator_hidden": "512-256",
        "gan_epochs": 60,
        "gan_batch": 32,
        "gan_lr": 2e-4,
        "gan_beta1": 0.5,
    },
    space={
        "gan": {"type": "choice", "choices": ["extra_class", "valence"]},
        "generated": {"type": "log", "low": 0.25, "high": 4.0},
        "units": {"type": "choice", "choices": [64, 128, 256]},
        "dropout": {"type": "float", "low": 0.0, "high": 0.7},
        "lr": {"type": "log", "low": 1e-4, "high": 1e-2},
    },
    build=_build,
)
