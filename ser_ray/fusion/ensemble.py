"""The ensemble: trained members, the fusion of their probabilities, and how these are read.

ENSEMBLE/ensemble.json      members, rule, labels, groups, band, calibration, out-of-fold metrics
        /members/NAME/      one model directory a member
        /stacking.safetensors    for the rule `stacking`
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from ser_ray import storage
from ser_ray.corpora.labels import EMOTIONS, NEGATIVE, Groups, check_groups, group_labels
from ser_ray.errors import BadModel, SerRayError, UsageError
from ser_ray.features import Feature
from ser_ray.fusion.fusion import Fusion
from ser_ray.fusion.rules import STACKING, check_rule
from ser_ray.fusion.stacking import Stacker
from ser_ray.models.calibration import Calibration, Isotonic, read_calibration
from ser_ray.models.inputs import joined
from ser_ray.models.model import (
    FORMAT,
    Model,
    check_format,
    directory_fingerprint,
    first_line,
    read_model,
    write_model,
)
from ser_ray.models.normaliser import Groups as Speakers


@dataclass(frozen=True)
class Ensemble:
    """Members by name, and the fusion of their probabilities.

    Attributes:
        members, fusion: see there.
        card: for readers.
        grouping: labels by the group that they count as; none for that by valence.
        certain_from: the confidence from which a segment is certain; None: all are.
    """

    members: Mapping[str, Model]
    fusion: Fusion
    card: Mapping[str, Any] = field(default_factory=dict)
    grouping: Groups = field(default_factory=dict)
    certain_from: float | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Emotions in the order of all probabilities."""
        return next(iter(self.members.values())).labels

    @property
    def groups(self) -> Groups:
        """Labels by the group that they count as; none where they are no emotions and nobody grouped them."""
        known = self.grouping or not set(self.labels) <= set(EMOTIONS)
        return self.grouping if known else group_labels(self.labels)

    @property
    def negative(self) -> tuple[str, ...]:
        """Those labels that count as negative: of the group of that name, where there is one."""
        members = self.groups.get("negative", NEGATIVE)
        return tuple(label for label in self.labels if label in members)

    @property
    def band(self) -> str:
        """`wide` or `telephone`."""
        return next(iter(self.members.values())).band

    @property
    def features(self) -> tuple[Feature, ...]:
        """Every feature that a member reads, each once."""
        return tuple({f.fingerprint: f for m in self.members.values() for f in m.features}.values())

    def predict_proba(self, values: Mapping[str, np.ndarray], groups: Speakers | None = None) -> np.ndarray:
        """Fused probabilities [rows, labels].

        Args:
            values: feature fingerprint -> its values; see `models.inputs.stacked`.
            groups: speaker of each row, for members that normalise speakers by themselves.

        Raises:
            UsageError: a member needs the speakers, and they are not known.
        """
        members = [
            model.predict_proba(joined([values[f.fingerprint] for f in model.features]), groups)
            for model in self.members.values()
        ]
        return self.fusion(np.stack(members))


def aligned(members: Mapping[str, Model]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, list[str]]:
    """Out-of-fold probabilities of the utterances that all members learned from.

    Returns:
        p [members, rows, labels], y [rows], speakers [rows] or None, ids.

    Raises:
        UsageError: labels, bands or the truth differ, or the members share no utterance.
    """
    models = list(members.values())
    if len({m.labels for m in models}) > 1:
        listed = "; ".join(f"{n}: {', '.join(m.labels)}" for n, m in members.items())
        raise UsageError(f"members must know the same emotions. {listed}. Train them on one manifest.")
    if len({m.band for m in models}) > 1:
        listed = ", ".join(f"{n} {m.band}" for n, m in members.items())
        raise UsageError(f"members must be of one band: {listed}. Train them with the same --band.")
    places = [{i: row for row, i in enumerate(m.out_of_fold.ids)} for m in models]
    ids = [i for i in models[0].out_of_fold.ids if all(i in place for place in places)]
    if not ids:
        raise UsageError("the members share no training utterance to fuse by. Train them on one manifest.")
    rows = [[place[i] for i in ids] for place in places]
    p = np.stack([m.out_of_fold.probabilities[r] for m, r in zip(models, rows, strict=True)])
    truth = [m.out_of_fold.y[r] for m, r in zip(models, rows, strict=True)]
    if any((y != truth[0]).any() for y in truth):
        raise UsageError("the members learned other emotions of one utterance. Train them on one manifest.")
    first = models[0].out_of_fold
    speakers = [first.speakers[r] for r in rows[0]]
    groups = None if any(s is None for s in speakers) else np.array(speakers)
    return p, truth[0], groups, ids


def save_ensemble(ensemble: Ensemble, uri: str) -> None:
    """Write an ensemble directory, whole or not at all."""
    with storage.new_directory(uri) as folder:
        for name, model in ensemble.members.items():
            (folder / "members" / name).mkdir(parents=True)
            write_model(model, folder / "members" / name)
        if ensemble.fusion.stacker:
            (folder / "stacking.safetensors").write_bytes(save(asdict(ensemble.fusion.stacker)))
        description = {
            "format": FORMAT,
            "members": list(ensemble.members),
            "rule": ensemble.fusion.rule,
            "temperature": ensemble.fusion.temperature,
            "calibration": asdict(ensemble.fusion.calibration),
            "labels": list(ensemble.labels),
            "groups": {name: list(members) for name, members in ensemble.groups.items()},
            "negative": list(ensemble.negative),
            "certain_from": ensemble.certain_from,
            "band": ensemble.band,
            **ensemble.card,
        }
        storage.write_json(str(folder / "ensemble.json"), description)


def load_ensemble(uri: str) -> tuple[Ensemble, str]:
    """Read an ensemble directory, or a single model's as an ensemble of one, and its fingerprint.

    No code in it is executed.

    Raises:
        MissingInput: there is nothing at `uri`.
        BadModel: files are missing or corrupt, or a type is not trusted.
    """
    uri = storage.require(uri, "ensemble")
    with storage.local_copy(uri) as folder:
        fingerprint = directory_fingerprint(folder)
        if (folder / "model.json").exists():
            model = read_model(folder)
            alone = Fusion("soft", Calibration(1.0))
            return Ensemble({storage.name(uri): model}, alone), fingerprint
        return _read(folder), fingerprint


def _read(folder: Path) -> Ensemble:
    try:
        description = json.loads((folder / "ensemble.json").read_bytes())
        check_format(description["format"], folder)
        rule, names = check_rule(description["rule"]), description["members"]
        if not names or any("/" in n or n in ("", ".", "..") or names.count(n) > 1 for n in names):
            raise BadModel(f"{folder / 'ensemble.json'} names members that are no plain folder names.")
        members = {name: read_model(folder / "members" / name) for name in names}
        labels = tuple(description["labels"])
        if any((m.labels, m.band) != (labels, description["band"]) for m in members.values()):
            raise BadModel(f"the members in {folder} are not those of its ensemble.json. Fuse them again.")
        known = (
            "format", "members", "rule", "temperature", "calibration", "labels", "groups", "negative",
            "certain_from", "band",
        )  # fmt: skip
        return Ensemble(
            members=members,
            fusion=Fusion(
                rule,
                _read_calibration(description["calibration"], len(labels)),
                _read_stacker(folder, len(names), len(labels)) if rule == STACKING else None,
                _read_temperature(description.get("temperature", 1.0)),
            ),
            card={k: v for k, v in description.items() if k not in known},
            grouping=_read_groups(description.get("groups", {}), labels),
            certain_from=_read_threshold(description.get("certain_from")),
        )
    except SerRayError:
        raise
    except FileNotFoundError as error:
        raise BadModel(
            f"not an ensemble or model directory, a file is missing in {folder}: {error}."
        ) from error
    except Exception as error:  # whatever a corrupt file makes a parser raise
        raise BadModel(f"the ensemble in {folder} is corrupt: {first_line(error)}. Fuse it again.") from error


def _read_calibration(stored: Mapping[str, Any], labels: int) -> Calibration | Isotonic:
    calibration = read_calibration(stored)
    if isinstance(calibration, Isotonic) and len(calibration.p) != labels:
        raise ValueError(f"{len(calibration.p)} curves for {labels} labels")
    return calibration


def _read_groups(stored: Any, labels: Sequence[str]) -> Groups:
    groups = {name: tuple(members) for name, members in stored.items()}
    try:
        if groups:
            check_groups(groups, labels)
    except UsageError as error:
        raise ValueError(str(error)) from error
    return groups


def _read_threshold(value: Any) -> float | None:
    if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
        raise ValueError(f"certain_from {value!r}")
    return None if value is None else float(value)


def _read_temperature(value: Any) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"temperature {value!r}")
    return float(value)


def _read_stacker(folder: Path, members: int, labels: int) -> Stacker:
    tensors = load_file(folder / "stacking.safetensors")
    stacker = Stacker(tensors["weight"], tensors["bias"])
    if stacker.weight.shape != (members,) or stacker.bias.shape != (labels,):
        raise ValueError(f"stacking weights {stacker.weight.shape} for {members} members")
    return stacker
