from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.audio.augmentation import augment as sound
from ser_ray.corpora.augmented import augment
from ser_ray.corpora.manifest import from_rows, originals, validate, with_copies
from ser_ray.corpora.splits import PROTOCOLS, split
from ser_ray.errors import BadManifest, MissingInput, UnknownName, UsageError

RATES = ("speed(factor=.8)", "speed(factor=1.2) + noise( snr_db=15 )")


def manifest(rows: int = 3):
    return from_rows(
        {
            "id": f"c/{k}",
            "uri": f"/data/{k}.wav",
            "start_s": k / 4,
            "end_s": k + 1.0,
            "channel": 1,
            "corpus": "c",
            "speaker": f"s{k % 5}",
            "emotion": ("anger", "sadness")[k // 5 % 2],
            "session": f"d{k % 5}",
            "text_id": f"t{k}",
            "split": ("train", "test")[k // 10 % 2],
        }
        for k in range(rows)
    )


def test_copies_stand_behind_their_sources_and_differ_from_them_in_three_columns():
    table = manifest(2)
    copied = augment(table, RATES, copies=2, seed=7)
    assert copied.slice(0, 2).equals(table)
    rows = copied.to_pylist()
    assert [row["id"] for row in rows[2:]] == [f"c/{k}~{n}" for n in (1, 2, 3, 4) for k in (0, 1)]
    assert [row["augmentation"] for row in rows[2:]] == ["speed(factor=0.8)#7"] * 4 + [
        "speed(factor=1.2) + noise(snr_db=15.0)#7"
    ] * 4
    own = {"id", "augmentation", "source_id"}
    for row in rows[2:]:
        source = rows[int(row["source_id"].removeprefix("c/"))]
        assert {k: v for k, v in row.items() if k not in own} == {
            k: v for k, v in source.items() if k not in own
        }
    assert validate(copied).equals(copied)


def test_the_row_alone_determines_the_sound():
    wave = np.sin(np.arange(4000) / 9).astype(np.float32) / 4
    rows = augment(manifest(2), ["noise"], copies=2).to_pylist()[2:]
    again = augment(manifest(3), ["speed", "noise"], copies=1).to_pylist()
    sounds = {row["id"]: sound(wave, 16000, row["augmentation"], row["id"]) for row in reversed(rows)}
    for row in rows:
        assert np.array_equal(sounds[row["id"]], sound(wave, 16000, row["augmentation"], row["id"]))
    pairs = [(a, b) for a in sounds for b in sounds if a < b]
    assert not any(np.array_equal(sounds[a], sounds[b]) for a, b in pairs)
    same = next(row for row in again if row["id"] == "c/1~2")
    assert np.array_equal(sounds["c/1~2"], sound(wave, 16000, same["augmentation"], same["id"]))


@pytest.mark.parametrize(
    ("specs", "copies", "seed", "error", "words"),
    [
        ([], 1, 0, UsageError, "no augmentation"),
        (["gain"], 0, 0, UsageError, "0 copies"),
        (["gain"], 1, -1, UsageError, "seed -1"),
        (["gain", "speeed"], 1, 0, UnknownName, "speed"),
        (["gain(db=1000)"], 1, 0, UsageError, "db=1000.0 will not do"),
        (["noise(folder=/nowhere/at/all)"], 1, 0, MissingInput, "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_is_refused_at_once(specs, copies, seed, error, words):
    with pytest.raises(error, match=words):
        augment(manifest(), specs, copies, seed)


def test_copies_of_copies_are_refused():
    with pytest.raises(UsageError, match="holds augmented copies"):
        augment(augment(manifest(), ["gain"]), ["speed"])
    row = {"id": "a~1~1", "uri": "/a.wav", "augmentation": "gain", "source_id": "a~1"}
    copy = {"id": "a~1", "uri": "/a.wav", "augmentation": "gain", "source_id": "a"}
    with pytest.raises(BadManifest, match="a~1 is a copy"):
        from_rows([row, copy])
    with pytest.raises(BadManifest, match="a~1 is a copy"):
        from_rows([{**copy, "source_id": "a~1"}])


def test_a_copy_has_a_source_and_an_augmentation_that_we_know():
    row = {"id": "a~1", "uri": "/a.wav"}
    with pytest.raises(BadManifest, match="1 rows, such as a~1, have one of the columns"):
        from_rows([{**row, "source_id": "a"}])
    with pytest.raises(BadManifest, match="1 rows, such as a~1, have one of the columns"):
        from_rows([{**row, "augmentation": "gain"}])
    with pytest.raises(BadManifest, match="'gian#1': unknown augmentation 'gian'"):
        from_rows([{**row, "augmentation": "gian#1", "source_id": "a"}])
    alone = from_rows([{**row, "augmentation": "gain#1", "source_id": "a"}])  # as a filter may leave it
    assert len(alone) == 1
    assert len(originals(alone)) == 0


def test_an_id_that_a_copy_is_to_have_may_not_be_taken():
    table = from_rows([{"id": "a", "uri": "/a.wav"}, {"id": "a~1", "uri": "/b.wav"}])
    with pytest.raises(BadManifest, match="a~1"):
        augment(table, ["gain"])


def test_a_folder_of_noise_with_recordings_is_taken(tmp_path):
    soundfile.write(tmp_path / "rain.wav", np.full(800, 0.1), 8000)
    copied = augment(manifest(1), [f"noise(folder={tmp_path})"], seed=2)
    assert copied["augmentation"].to_pylist() == [None, f"noise(folder={tmp_path})#2"]


@given(st.lists(st.integers(0, 4), unique=True), st.integers(1, 3))
def test_rows_with_their_copies_are_those_made_from_them_and_no_others(rows, copies):
    copied = augment(manifest(5), ["gain", "pitch"], copies)
    found = with_copies(copied, np.array(sorted(rows), np.int64))
    names = {f"c/{k}" for k in rows}
    sources = [row["source_id"] or row["id"] for row in copied.to_pylist()]
    assert [n for n, source in enumerate(sources) if source in names] == found.tolist()
    assert originals(copied).tolist() == list(range(5))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_protocol_tests_a_copy_or_trains_one_whose_source_is_tested(protocol):
    table = manifest(40)
    copied = augment(table, RATES)
    rows = copied.to_pylist()
    plain = split(protocol, table)
    for fold, without in zip(split(protocol, copied), plain, strict=True):
        assert fold.test.tolist() == without.test.tolist()
        tested = {rows[k]["id"] for k in fold.test}
        assert not any(rows[k]["source_id"] in tested for k in fold.train)
        assert len(fold.train) == 3 * len(without.train)
