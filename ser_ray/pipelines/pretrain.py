"""Pre-training of wav2vec on audio without labels: waves from the feature store, a network by its workers.

Where the waves take too much memory they are streamed, epoch after epoch. Each utterance is heard once an
epoch, one crop of it: long recordings belong into the manifest in pieces.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from ser_ray import features, storage
from ser_ray.errors import BadManifest, UsageError
from ser_ray.features import Band, Feature
from ser_ray.features.checkpoint import digest
from ser_ray.features.inference import RATE
from ser_ray.features.store import FeatureStore, keys_of
from ser_ray.features.wav2vec_checkpoint import read_wav2vec, write_wav2vec
from ser_ray.models.networks import workers as together
from ser_ray.models.networks.loop import LoopState, Report
from ser_ray.models.pretraining.crops import HELD, CropBatches, Crops, crop, held_crops
from ser_ray.models.pretraining.pretrainer import Pretrainer, PretrainOptions, pretrain_options
from ser_ray.pipelines.cluster import Progress, connect, put, quiet
from ser_ray.pipelines.distributed import (
    Fit,
    Workers,
    Wrap,
    check_cpus,
    clear_checkpoints,
    train_together,
)
from ser_ray.pipelines.extract import extract
from ser_ray.pipelines.parallel import Epochs
from ser_ray.pipelines.streaming import EpochStream, Row, StreamedRows, plan_rows
from ser_ray.pipelines.together import MEMORY
from ser_ray.pipelines.tracking import Tracker
from ser_ray.pipelines.train import versions

WAVES = "waveform_16k"


@dataclass(frozen=True)
class Heard:
    """Utterances that a crop fits into.

    Attributes:
        rows: the manifest rows.
        seconds: length of each [rows].
        learned: numbers of the rows to learn from.
        held: of those by which the best epoch is found; no recording is among both.
        left_out: how many were left out, by cause.
    """

    rows: pa.Table
    seconds: np.ndarray
    learned: np.ndarray
    held: np.ndarray
    left_out: Mapping[str, int]


def pretrain(
    manifest: pa.Table,
    out: str,
    store: str,
    workers: Workers,
    settings: Mapping[str, Any] | None = None,
    band: Band = "wide",
    seed: int = 0,
    progress: Progress = quiet,
    track: Tracker | None = None,
) -> dict[str, Any]:
    """Pre-train wav2vec, and write what the feature `wav2vec(checkpoint=OUT)` reads.

    Args:
        manifest: utterances; none needs an emotion.
        out: checkpoint to write, as safetensors, and its card beside it, OUT.json.
        store: feature store; the waves that it lacks are decoded first.
        workers: who trains together. What they broke off goes on by the same request.
        settings: in place of the defaults of `PretrainOptions`.
        band: `telephone`: what is left of 300-3400 Hz.
        seed: fixes weights, held-out slice, order, crops and negatives.
        progress: told how far decoding and training are.
        track: told the figures of each epoch.

    Returns:
        The card: what was heard, settings, loss and accuracy of each epoch, versions.

    Raises:
        UsageError: a setting that there is not, or more workers than CPUs, or than utterances of a batch.
        BadManifest, BadStore: no audio, or too few utterances as long as a crop.
        RunFailed: training broke off.
    """
    options = pretrain_options(settings or {})
    if options.batch < workers.number:
        raise UsageError(f"a batch of {options.batch} is too small for {workers.number} workers. Raise it.")
    if options.start:
        options = replace(options, start=storage.require(options.start, "checkpoint"))
        read_wav2vec(options.start)  # a wrong one is refused before anything is decoded
    connect()
    check_cpus(workers, reads=bool(workers.stream))
    feature = features.with_band(features.get(WAVES), band)
    heard = hear(manifest, store, feature, options, seed, workers.number, progress)
    begun = time.monotonic()
    request = {"pretrain": asdict(options), "feature": feature.fingerprint, "seed": seed}
    request |= {"start": digest(options.start) if options.start else None, "workers": workers.number}
    request |= {"rows": keys_of(heard.rows)}
    stream = heard.seconds.sum() * RATE * 4 > MEMORY if workers.stream is None else workers.stream
    fit = (_streamed if stream else _in_memory)(options, seed, store, feature, heard)
    trained = train_together(fit, bool(stream), request, workers, Epochs(options.epochs, progress, track))
    card = _card(trained, heard, band, seed, workers.number, time.monotonic() - begun)
    storage.write_json(card_of(out), card)
    write_wav2vec(trained.wav2vec, out)
    clear_checkpoints(workers, request)
    if track:
        track.finish({"best_loss": card["loss"], "best_accuracy": card["accuracy"]})
    return card


def card_of(checkpoint: str) -> str:
    """Where the card of a checkpoint lies."""
    return f"{checkpoint}.json"


def hear(
    manifest: pa.Table,
    store: str,
    feature: Feature,
    options: PretrainOptions,
    seed: int,
    workers: int,
    progress: Progress = quiet,
) -> Heard:
    """Decode what the store lacks, and choose what to learn from.

    Raises:
        BadManifest: no utterances, or too few that a crop fits into.
        BadStore: none could be decoded.
    """
    if not len(manifest):
        raise BadManifest("the manifest lists no utterance. Index recordings first: ser-ray index.")
    done = extract(manifest, store, [feature.spec], progress=progress)
    source = FeatureStore(store)
    rows = manifest.take(pa.array(source.found(feature, manifest)))
    samples = source.frames(feature, rows)
    fitting = np.flatnonzero(samples >= options.samples)
    short = f"shorter than {options.crop_s:g} s"
    left_out = dict(done.failed) | ({short: len(rows) - len(fitting)} if len(fitting) < len(rows) else {})
    rows, seconds = rows.take(pa.array(fitting)), samples[fitting] / RATE
    recordings = pc.coalesce(rows["source_id"], rows["id"]).to_pylist()
    learned, held = _hold_out(recordings, options.held_out, seed)
    if not len(held) or len(learned) < workers:
        raise BadManifest(
            f"{len(rows)} of {len(manifest)} utterances last {options.crop_s:g} s or longer, too few to "
            f"learn from and to hold some out. The longest lasts {samples.max() / RATE:.2f} s: lower crop_s, "
            "or give more audio."
        )
    return Heard(rows, seconds, learned, held, left_out)


def _hold_out(recordings: Sequence[str], share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers to learn from and to hold out; copies of one recording stay together."""
    names, recording = np.unique(np.array(recordings, dtype=object), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    held = np.isin(recording, order[: min(len(names) // 2, max(1, round(share * len(names))))])
    return np.flatnonzero(~held), np.flatnonzero(held)


@dataclass(frozen=True)
class _InMemory:
    """What each worker does that holds all waves."""

    options: PretrainOptions
    seed: int
    store: str
    feature: str
    heard: ray.ObjectRef

    def __call__(self, report: Report, state: LoopState | None, wrap: Wrap) -> Pretrainer:
        heard: Heard = ray.get(self.heard)
        _, values = FeatureStore(self.store).load(features.get(self.feature), heard.rows)
        learned, held = ([values[k][:, 0] for k in rows] for rows in (heard.learned, heard.held))
        samples, share = self.options.samples, (together.rank(), together.world())
        batches = CropBatches(learned, heard.learned.tolist(), samples, self.options.batch, self.seed, *share)
        slices = held_crops(held, heard.held.tolist(), samples, self.seed, *share)
        return Pretrainer(self.options, self.seed).learn(batches, slices, report, state, wrap)


def _in_memory(
    options: PretrainOptions, seed: int, store: str, feature: Feature, heard: Heard
) -> Fit[Pretrainer]:
    return _InMemory(options, seed, storage.absolute(store), feature.spec, put(heard))


@dataclass(frozen=True)
class _Streamed:
    """What each worker does that reads the waves anew in every epoch."""

    options: PretrainOptions
    seed: int
    store: str
    feature: str
    plans: ray.ObjectRef  # of the rows to learn from, and of the held-out ones

    def __call__(self, report: Report, state: LoopState | None, wrap: Wrap) -> Pretrainer:
        learned, held = ray.get(self.plans)
        stream = EpochStream(self.store, [features.get(self.feature)], learned, held, self.seed)
        crops = StreamedCrops(stream, self.options, self.seed)
        return Pretrainer(self.options, self.seed).learn(crops, crops.held_out, report, state, wrap)


def _streamed(
    options: PretrainOptions, seed: int, store: str, feature: Feature, heard: Heard
) -> Fit[Pretrainer]:
    plan = plan_rows(store, [feature], heard.rows, np.arange(len(heard.rows)))
    plans = put((plan.take(pa.array(heard.learned)), plan.take(pa.array(heard.held))))
    return _Streamed(options, seed, storage.absolute(store), feature.spec, plans)


class StreamedCrops:
    """Crops of one worker's stream, as `loop.Batches`.

    Args:
        stream: what this worker reads; the class number of a row is its own number.
        options: how they are cropped.
        seed: fixes crops and negatives.
    """

    def __init__(self, stream: EpochStream, options: PretrainOptions, seed: int) -> None:
        self.samples, self.seed = options.samples, seed
        self._rows = StreamedRows(stream, options.batch, seed)
        self.steps = self._rows.steps

    def epoch(self, number: int) -> Iterator[Crops]:
        """This worker's share of each batch."""
        return (self._cropped(rows, number + 1) for rows in self._rows.epoch(number))

    def held_out(self) -> Iterator[Crops]:
        """This worker's share of the held-out rows, after an epoch."""
        return (self._cropped(rows, HELD) for rows in self._rows.held_out())

    def _cropped(self, rows: Sequence[Row], epoch: int) -> Crops:
        waves = [example[0][:, 0] for example, _ in rows]
        return crop(waves, [number for _, number in rows], self.samples, self.seed, epoch)


def _card(
    trained: Pretrainer, heard: Heard, band: Band, seed: int, workers: int, wall_s: float
) -> dict[str, Any]:
    best = trained.best
    return {
        "network": "wav2vec",
        "dim": trained.wav2vec.dim,
        "band": band,
        "corpora": sorted(set(pc.fill_null(heard.rows["corpus"], "").to_pylist())),
        "utterances": len(heard.learned),
        "hours": round(float(heard.seconds[heard.learned].sum()) / 3600, 4),
        "held_out": len(heard.held),
        "left_out": dict(heard.left_out),
        "settings": asdict(trained.options),
        "seed": seed,
        "workers": workers,
        "epoch": int(best["epoch"]),
        "loss": best["held_out_loss"],
        "accuracy": best["held_out_accuracy"],
        "curve": trained.curve,
        "wall_s": round(wall_s, 2),
        "versions": versions(),
    }
