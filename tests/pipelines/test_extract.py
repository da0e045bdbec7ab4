"""Extraction on Ray: resumable, never twice, failures in the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
import soundfile as sf

from ser_ray import features
from ser_ray.audio import read_audio, telephone_channel
from ser_ray.audio.augmentation import augment as change
from ser_ray.corpora import read_manifest
from ser_ray.corpora.augmented import augment
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import UnknownName, UnreadableAudio
from ser_ray.features.feature import Batch, Feature
from ser_ray.features.store import PLACE, FeatureStore
from ser_ray.pipelines import extract as module
from ser_ray.pipelines.extract import extract

pytestmark = pytest.mark.usefixtures("local_ray")


def parts(store: Path) -> dict[str, int]:
    return {str(p.relative_to(store)): p.stat().st_mtime_ns for p in store.rglob("*.parquet")}


def test_values_are_those_of_the_feature_called_directly(corpus: str, tmp_path: Path) -> None:
    manifest = read_manifest(corpus).slice(0, 12)
    specs = ["logmel", "mfcc_stats", "mfcc_stats(band=telephone)"]
    done = extract(manifest, str(tmp_path), specs)
    assert (done.listed, done.before, done.extracted, done.failed) == (12, 0, 12, {})
    store = FeatureStore(str(tmp_path))
    for spec in specs:
        feature = features.get(spec)
        rows, values = store.load(feature, manifest)
        assert rows.tolist() == list(range(12))
        for uri, value in zip(manifest["uri"].to_pylist(), values, strict=True):
            wave, rate = read_audio(uri)
            heard = telephone_channel(wave, rate) if feature.band == "telephone" else wave
            np.testing.assert_allclose(value, feature(heard), rtol=1e-4, atol=1e-4)


def test_second_run_does_nothing_and_a_third_only_what_is_new(corpus: str, tmp_path: Path) -> None:
    manifest = read_manifest(corpus)
    extract(manifest.slice(0, 8), str(tmp_path), ["logmel"])
    before = parts(tmp_path)
    again = extract(manifest.slice(0, 8), str(tmp_path), ["logmel"])
    assert (again.before, again.extracted) == (8, 0)
    assert parts(tmp_path) == before
    more = extract(manifest.slice(4, 8), str(tmp_path), ["logmel", "mfcc"])
    assert (more.before, more.extracted) == (0, 8)
    logmel = features.get("logmel")
    assert len(FeatureStore(str(tmp_path)).done(logmel)) == 12
    assert {name: parts(tmp_path)[name] for name in before} == before


def test_lost_part_is_made_again_and_only_that(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 5)
    manifest = read_manifest(corpus).slice(0, 20)
    extract(manifest, str(tmp_path), ["logmel"])
    before = parts(tmp_path)
    assert len(before) == 4
    (tmp_path / sorted(before)[1]).unlink()
    done = extract(manifest, str(tmp_path), ["logmel"])
    assert (done.before, done.extracted) == (15, 5)
    assert parts(tmp_path).keys() == before.keys()


def test_unreadable_utterances_go_to_the_ledger_with_their_cause(corpus: str, tmp_path: Path) -> None:
    good = read_manifest(corpus)["uri"][0].as_py()
    narrow = tmp_path / "narrow.wav"
    sf.write(narrow, np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not audio " * 100)
    rows = [{"id": p, "uri": str(tmp_path / p)} for p in ("narrow.wav", "empty.wav", "text.wav", "gone.wav")]
    manifest = from_rows([{"id": "good", "uri": good}, *rows])
    done = extract(manifest, str(tmp_path / "store"), ["mfcc_stats"])
    assert done.extracted == 1
    assert done.failed == {"narrow_band": 1, "empty": 1, "not_audio": 1, "missing": 1}
    feature = features.get("mfcc_stats")
    ledger = {f.key[0]: f for f in FeatureStore(str(tmp_path / "store")).failures(feature)}
    assert "telephone" in ledger["narrow.wav"].error
    shutil.copy(good, tmp_path / "gone.wav")
    assert extract(manifest, str(tmp_path / "store"), ["mfcc_stats"]).extracted == 0
    retried = extract(manifest, str(tmp_path / "store"), ["mfcc_stats"], retry_failed=True)
    assert retried.extracted == 1
    assert "missing" not in retried.failed


def test_stretches_of_one_file_are_extracted_apart(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    sf.write(tmp_path / "two.wav", np.concatenate([tone, 0.1 * tone]), 16000)
    rows = [
        {"uri": str(tmp_path / "two.wav"), "id": f"s{s}", "start_s": s, "end_s": s + 1.0} for s in (0.0, 1.0)
    ]
    manifest = from_rows(rows)
    extract(manifest, str(tmp_path / "store"), ["logmel"])
    _, values = FeatureStore(str(tmp_path / "store")).load(features.get("logmel"), manifest)
    loud, quiet = (v[20:80].max(axis=1).mean() for v in values)
    assert loud > quiet


def test_copies_are_extracted_from_changed_sound_beside_their_sources(corpus: str, tmp_path: Path) -> None:
    manifest = augment(read_manifest(corpus).slice(0, 3), ["speed(factor=0.5)", "noise(snr_db=0)"])
    done = extract(manifest, str(tmp_path), ["rms"])
    assert (done.listed, done.extracted) == (9, 9)
    _, values = FeatureStore(str(tmp_path)).load(features.get("rms"), manifest)
    for source, slow, noisy in zip(values[:3], values[3:6], values[6:], strict=True):
        assert len(slow) == pytest.approx(2 * len(source), abs=2)
        power = (np.square(noisy).mean() / np.square(source).mean(), len(noisy) == len(source))
        assert power == (pytest.approx(2.0, rel=0.5), True)
    wave, rate = read_audio(manifest["uri"][6].as_py())
    again = change(wave, rate, manifest["augmentation"][6].as_py(), manifest["id"][6].as_py())
    np.testing.assert_allclose(values[6], features.get("rms")(again), rtol=1e-4)


class Fussy(Feature):
    """The mean of a wave, refused to loud ones and failing for long ones."""

    name: ClassVar[str] = "fussy"
    shape = (1,)
    names = ("mean",)

    def _compute(self, batch: Batch) -> list[np.ndarray]:
        for wave in batch.waves:
            if len(wave) > 2000:
                raise ZeroDivisionError("too long for it")
            if wave.max() > 0.5:
                raise UnreadableAudio("too_loud", "the wave is too loud.")
        return [np.array([wave.mean()], np.float32) for wave in batch.waves]


def test_one_utterance_that_a_feature_cannot_take_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(features.FEATURES, "fussy", Fussy)
    waves = {"good": np.full(1000, 0.1), "loud": np.full(1000, 0.9), "long": np.full(3000, 0.1)}
    for name, wave in waves.items():
        sf.write(tmp_path / f"{name}.wav", wave, 16000)
    rows = [{"id": name, "uri": str(tmp_path / f"{name}.wav")} for name in waves]
    manifest = from_rows([*rows, {"id": "fine", "uri": rows[0]["uri"]}])
    work = manifest.select(["id", *PLACE]).append_column("features", pa.array([["fussy", "rms"]] * 4))
    store = FeatureStore(str(tmp_path / "store"))
    for name in ("fussy", "rms"):
        store.open(features.get(name))
    assert module.Extractor(store.uri)(work)["extracted"] == 4
    kept, values = store.load(features.get("fussy"), manifest)
    assert kept.tolist() == [0, 3]
    np.testing.assert_allclose(values, 0.1, atol=1e-4)
    ledger = {f.key[0]: (f.error_type, f.error) for f in store.failures(features.get("fussy"))}
    assert ledger == {
        "loud": ("too_loud", "the wave is too loud."),
        "long": ("ZeroDivisionError", "too long for it"),
    }
    assert len(store.done(features.get("rms"))) == 4


def test_unknown_feature_is_refused_before_any_work(corpus: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="mfcc_stats"):
        extract(read_manifest(corpus), str(tmp_path / "store"), ["mfcc_stat"])
    assert not (tmp_path / "store").exists()


def test_empty_manifest_is_no_error(tmp_path: Path) -> None:
    empty = pa.Table.from_pylist([], schema=from_rows([{"id": "a", "uri": "b"}]).schema)
    assert extract(empty, str(tmp_path), ["logmel"]).listed == 0
