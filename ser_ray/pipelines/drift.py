"""A night held against what its ensemble learned from: features, posteriors, confidence and sound.

Each shard sums figures over its segments, and its file keeps the sums: a run that was killed adds up to the
same as one that was not. What is compared:

features    how far the mean of each column lies from where it lay in training, in training deviations. A
            night is mostly calm and a corpus is not, so each label's training mean counts as often as the
            night's posteriors say that the label occurs.
labels      mean posteriors of the night and, out of fold, of the training set. Nights differ in what is
            said, so this is told and never warned of.
confidence  its mean, and the mean that it had out of fold for the labels which the night's segments get.
sound       level of the speech, its distance from the pauses inside it, samples at full scale. A corpus's
            levels are not kept, so these are held against fixed limits.

No language is guessed: from these figures it could not be told from another microphone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ser_ray.features import Feature
from ser_ray.fusion import Ensemble
from ser_ray.fusion.ensemble import aligned
from ser_ray.models.profile import Profile, column_means

# Speakers whom the models never heard, of the same corpus and line, stay on the quiet side of all limits.
FEWEST = 100  # segments; fewer are the voices of too few speakers
MOVED = 0.10  # share of a feature's columns that lie more than one training deviation off
ELSEWHERE = 0.10  # by which the confidence is lower, or higher: far from all it knows a model may be sure
SOFT_DB, NEAR_DB, CLIPPED = -50.0, 12.0, 0.005

FRAME_S = 0.020  # of the sound's level
FULL_SCALE = 0.97  # G.711 reaches 0.98
SILENCE = 1e-9  # mean square: -90 dB of full scale
WORST = 5  # columns that are named


@dataclass
class Tally:
    """Sums over segments: `sums` has an array [columns] by feature fingerprint, and by the names below."""

    segments: int = 0
    sums: dict[str, np.ndarray] = field(default_factory=dict)

    def add(
        self,
        values: Mapping[str, Sequence[np.ndarray]],
        p: np.ndarray,
        sound: Sequence[Sequence[float]],
        kept: np.ndarray,
    ) -> None:
        """Add segments.

        Args:
            values: by feature fingerprint, the value of each segment.
            p: fused probabilities [segments, labels].
            sound: see `sound_of` [segments].
            kept: whether a segment counts [segments]; those of a call that failed later do not.
        """
        if not kept.any():
            return
        rows = {key: column_means(each) for key, each in values.items()}
        rows |= {"p": p, "label": np.eye(p.shape[1])[p.argmax(axis=1)], "confidence": p.max(axis=1)[:, None]}
        rows["sound"] = np.array(sound)
        self._add(int(kept.sum()), {k: v[kept].sum(axis=0, dtype=np.float64) for k, v in rows.items()})

    def merge(self, stored: Mapping[str, Any]) -> None:
        """Add what `to_dict` of another one gave."""
        self._add(stored["segments"], {key: np.array(sums) for key, sums in stored["sums"].items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain data, rounded to seven digits."""
        sums = {key: [float(f"{v:.7g}") for v in values] for key, values in self.sums.items()}
        return {"segments": self.segments, "sums": sums}

    def mean(self, key: str) -> np.ndarray:
        """Over the segments [columns]."""
        return np.asarray(self.sums[key] / self.segments)

    def _add(self, segments: int, sums: Mapping[str, np.ndarray]) -> None:
        self.segments += segments
        for key, values in sums.items():
            self.sums[key] = self.sums[key] + values if key in self.sums else values


def sound_of(wave: np.ndarray, rate: int) -> tuple[float, float, float]:
    """Level of a segment in dB below full scale, dB by which its loud frames stand above its soft ones, share
    of its samples at full scale.

    Loud and soft are the 90th and the 10th percentile of the frames; the soft ones are pauses and closures.

    Args:
        wave: float32 [samples], of at least one frame of 20 ms.
        rate: Hz.
    """
    hop = round(FRAME_S * rate)
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    power = np.sort(np.einsum("fs,fs->f", frames, frames) / np.float32(hop)) + np.float32(SILENCE)
    soft, loud = power[len(power) // 10], power[len(power) * 9 // 10]
    clipped = np.count_nonzero(np.abs(wave) >= FULL_SCALE) / len(wave)
    return float(10 * np.log10(power.mean())), float(10 * np.log10(loud / soft)), clipped


def drift_of(tally: Tally, ensemble: Ensemble, narrow: float) -> dict[str, Any] | None:
    """The `drift` of run.json; None where the ensemble has no profile, or nobody spoke.

    Args:
        tally: of all segments.
        ensemble: what scored them.
        narrow: share of the calls that are of telephone rate.
    """
    profiles = list(_profiles(ensemble))
    if not profiles or not tally.segments:
        return None
    p, _, _, _ = aligned(ensemble.members)
    p, mix, labels = ensemble.fusion(p), tally.mean("p"), ensemble.labels
    level, above, clipped = tally.mean("sound").tolist()
    found = {
        "segments": tally.segments,
        "features": {f.spec: _moved(tally.mean(f.fingerprint), mix, f, profile) for f, profile in profiles},
        "labels": {
            "night": dict(zip(labels, mix.tolist(), strict=True)),
            "training": dict(zip(labels, p.mean(axis=0).tolist(), strict=True)),
            "total_variation": float(np.abs(mix - p.mean(axis=0)).sum() / 2),
        },
        "confidence": {
            "night": float(tally.mean("confidence")[0]),
            "training": _expected_confidence(p, tally.mean("label")),
        },
        "sound": {"level_db": level, "above_pauses_db": above, "clipped": clipped},
    }
    narrow = narrow if ensemble.band == "wide" else 0.0
    return {**found, "warnings": list(_warnings(found, narrow)) if tally.segments >= FEWEST else []}


def _profiles(ensemble: Ensemble) -> Iterator[tuple[Feature, Profile]]:
    """Each feature that the members read, once, with where it lay when a member learned."""
    known = set()
    for model in ensemble.members.values():
        first = 0
        for feature in model.features:
            end = first + len(feature.names)
            if model.profile and feature.fingerprint not in known:
                known.add(feature.fingerprint)
                yield feature, model.profile.part(first, end)
            first = end


def _moved(mean: np.ndarray, mix: np.ndarray, feature: Feature, profile: Profile) -> dict[str, Any]:
    """How far the columns of a feature lie from where they lay, in training deviations."""
    varied = profile.deviations > np.finfo(np.float32).eps * np.abs(profile.means).max(axis=0)
    off = ((mean - mix @ profile.means)[varied]) / profile.deviations[varied]
    names = np.array(feature.names)[varied]
    worst = np.argsort(-np.abs(off), kind="stable")[:WORST]
    return {
        "columns": len(off),
        "median": float(np.median(np.abs(off))) if len(off) else 0.0,
        "moved": float(np.mean(np.abs(off) > 1)) if len(off) else 0.0,
        "worst": {str(names[k]): float(off[k]) for k in worst},
    }


def _expected_confidence(p: np.ndarray, shares: np.ndarray) -> float:
    """Mean confidence of out-of-fold p [rows, labels], the labels given as often as `shares` [labels]."""
    given, confidence = p.argmax(axis=1), p.max(axis=1)
    known = [k for k in range(p.shape[1]) if shares[k] and (given == k).any()]
    if not known:
        return float(confidence.mean())
    return float(np.average([confidence[given == k].mean() for k in known], weights=shares[known]))


def _warnings(found: Mapping[str, Any], narrow: float) -> Iterator[str]:
    """One sentence for each thing that stands out: what, and what to do about it."""
    if narrow > 0:
        yield (
            f"{100 * narrow:.0f} % of the calls are of telephone rate, and the ensemble learned from "
            "wide-band audio. Train its members with --band telephone."
        )
    for spec, each in found["features"].items():
        if each["moved"] > MOVED:
            worst = ", ".join(f"{name} {off:+.1f}" for name, off in list(each["worst"].items())[:3])
            yield (
                f"Speech is not like that of the training set: {100 * each['moved']:.0f} % of the columns "
                f"of {spec} lie more than one training deviation off (the furthest: {worst}). Noise, "
                "another line, another way of recording or another language does this. Train with labelled "
                "calls of this kind, or with copies made alike (ser-ray augment)."
            )
    confidence = found["confidence"]
    if abs(confidence["night"] - confidence["training"]) > ELSEWHERE:
        yield (
            f"The mean confidence is {confidence['night']:.2f}; the same labels had "
            f"{confidence['training']:.2f} in training, out of fold. Have people check some calls before the "
            "ranking is trusted."
        )
    yield from _sound_warnings(found["sound"])


def _sound_warnings(sound: Mapping[str, float]) -> Iterator[str]:
    if sound["level_db"] < SOFT_DB:
        yield (
            f"Speech lies {-sound['level_db']:.0f} dB below full scale on average, where little is left of "
            "8-bit telephone audio. Raise the level of the recordings."
        )
    if sound["above_pauses_db"] < NEAR_DB:
        yield (
            f"Speech stands only {sound['above_pauses_db']:.0f} dB above the pauses inside it: the lines are "
            "noisy, or gain control lifts their noise. Train with noisy copies (ser-ray augment -a noise)."
        )
    if sound["clipped"] > CLIPPED:
        yield (
            f"{100 * sound['clipped']:.1f} % of the samples of speech are at full scale: the recordings are "
            "clipped. Lower the level at which they are made."
        )
