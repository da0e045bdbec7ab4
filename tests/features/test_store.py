import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray import features
from ser_ray.corpora.manifest import from_rows
from ser_ray.errors import BadStore
from ser_ray.features.store import Failure, FeatureStore, keys_of, source_of

VECTOR = features.get("mfcc_stats")
FRAMES = features.get("logmel(bands=8)")


def manifest(*names, start_s=None):
    return from_rows({"id": n, "uri": f"/wav/{n}.wav", "start_s": start_s} for n in names)


def vector(value):
    return np.full(VECTOR.shape, value, np.float32)


def frames(value, count):
    return np.arange(count * 8, dtype=np.float32).reshape(count, 8) + np.float32(value)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(str(tmp_path / "store"))


def parts(store, feature, kind="values"):
    folder = store.place(feature)
    return sorted(Path(folder, kind).glob("*.parquet"))


def test_vectors_come_back_bit_for_bit_in_the_manifests_order(store):
    a, b, c = keys_of(manifest("a", "b", "c"))
    store.write(VECTOR, [a, b], [vector(0.1), vector(2.0)])
    store.write(VECTOR, [c], [vector(3.0)])
    rows, X = store.load(VECTOR, manifest("c", "a", "b"))
    assert rows.tolist() == [0, 1, 2]
    assert X.dtype == np.float32
    assert X.shape == (3, *VECTOR.shape)
    assert X[:, 0].tolist() == [3.0, np.float32(0.1), 2.0]
    assert store.done(VECTOR) == {a, b, c}


def test_frame_sequences_keep_their_own_lengths(store):
    keys = keys_of(manifest("a", "b", "c"))
    sequences = [frames(0.5, 3), frames(1.5, 1), frames(2.5, 7)]
    store.write(FRAMES, keys[:2], sequences[:2])
    store.write(FRAMES, keys[2:], sequences[2:])
    rows, X = store.load(FRAMES, manifest("b", "c", "a"))
    assert rows.tolist() == [0, 1, 2]
    assert X.dtype == object
    for found, wanted in zip(X, (sequences[1], sequences[2], sequences[0]), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)


def test_sequences_of_equal_length_stay_apart(store):
    store.write(FRAMES, keys_of(manifest("a", "b")), [frames(1, 2), frames(2, 2)])
    _, X = store.load(FRAMES, manifest("a", "b"))
    assert X.shape == (2,)
    assert [x.shape for x in X] == [(2, 8), (2, 8)]


def test_two_settings_of_a_feature_never_mix(store):
    other = features.get("mfcc_stats(n_mels=30)")
    store.write(VECTOR, keys_of(manifest("a")), [vector(1.0)])
    assert store.place(VECTOR) != store.place(other)
    assert store.done(other) == set()
    with pytest.raises(BadStore, match=r"lacks mfcc_stats\(n_mels=30\) of 1 utterances"):
        store.load(other, manifest("a"))


def test_an_id_that_comes_to_mean_other_audio_is_extracted_anew(store):
    store.write(VECTOR, keys_of(manifest("a")), [vector(1.0)])
    moved = manifest("a", start_s=0.5)
    with pytest.raises(BadStore, match="of 1 utterances, such as a"):
        store.load(VECTOR, moved)
    store.write(VECTOR, keys_of(moved), [vector(2.0)])
    assert store.load(VECTOR, moved)[1][0, 0] == 2.0
    assert store.load(VECTOR, manifest("a"))[1][0, 0] == 1.0


def test_the_source_is_all_of_an_utterances_place():
    places = [
        ("/a.wav", None, None, None),
        ("/b.wav", None, None, None),
        ("/a.wav", 0.0, None, None),
        ("/a.wav", None, 1.0, None),
        ("/a.wav", None, None, 0),
        ("/a.wav", None, None, 1),
    ]
    assert len({source_of(*place) for place in places}) == len(places)
    assert source_of("/a.wav", None, None, None) == source_of("/a.wav", None, None, None)


def test_missing_rows_are_named_with_the_command_that_mends_it(store):
    store.write(FRAMES, keys_of(manifest("a")), [frames(0, 2)])
    with pytest.raises(BadStore) as caught:
        store.load(FRAMES, manifest("a", "b", "c"))
    assert str(caught.value) == (
        f"{store.uri} lacks logmel(bands=8) of 2 utterances, such as b. "
        f'Run: ser-ray extract MANIFEST -o {store.uri} -f "logmel(bands=8)"'
    )


def test_failed_utterances_are_left_out_and_listed(store):
    keys = keys_of(manifest("a", "b", "c"))
    failure = Failure(keys[1], "/wav/b.wav", "truncated", "half of it is gone")
    store.write(VECTOR, [keys[0], keys[2]], [vector(1.0), vector(3.0)])
    store.write_failures(VECTOR, [failure])
    rows, X = store.load(VECTOR, manifest("c", "b", "a"))
    assert rows.tolist() == [0, 2]
    assert X[:, 0].tolist() == [3.0, 1.0]
    assert store.failures(VECTOR) == [failure]
    assert store.failures(FRAMES) == []


def test_a_failure_that_is_extracted_later_leaves_the_ledger(store):
    (key,) = keys_of(manifest("b"))
    store.write_failures(VECTOR, [Failure(key, "/wav/b.wav", "missing", "not there")])
    store.write(VECTOR, [key], [vector(5.0)])
    assert store.failures(VECTOR) == []
    assert store.load(VECTOR, manifest("b"))[1][0, 0] == 5.0


def test_a_failure_that_fails_again_stands_once_with_the_new_reason(store):
    (key,) = keys_of(manifest("b"))
    for kind in ("missing", "truncated"):
        store.write_failures(VECTOR, [Failure(key, "/wav/b.wav", kind, "")])
    assert [f.error_type for f in store.failures(VECTOR)] == ["truncated"]


@pytest.mark.parametrize("others", [(), ("x",)])
def test_all_rows_failed_is_an_error_with_a_mend(store, others):
    store.write(VECTOR, keys_of(manifest(*others)), [vector(0.0) for _ in others])
    keys = keys_of(manifest("a", "b"))
    store.write_failures(VECTOR, [Failure(k, "/x", "missing", "") for k in keys])
    with pytest.raises(BadStore, match=r"all 2 utterances failed\. .*--retry-failed"):
        store.load(VECTOR, manifest("a", "b"))


def test_writing_a_part_again_changes_nothing(store):
    keys = keys_of(manifest("a", "b"))
    for _ in range(2):
        store.write(VECTOR, keys, [vector(1.0), vector(2.0)])
    assert len(parts(store, VECTOR)) == 1
    assert store.load(VECTOR, manifest("a", "b"))[1][:, 0].tolist() == [1.0, 2.0]


def test_nothing_to_write_writes_nothing(store, tmp_path):
    store.write(VECTOR, [], [])
    store.write_failures(VECTOR, [])
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_part_is_named_and_the_rest_is_kept(store):
    keys = keys_of(manifest("a", "b"))
    store.write(VECTOR, keys[:1], [vector(1.0)])
    (first,) = parts(store, VECTOR)
    store.write(VECTOR, keys[1:], [vector(2.0)])
    first.write_bytes(first.read_bytes()[:-100])
    for read in (store.done, lambda feature: store.load(feature, manifest("a", "b"))):
        with pytest.raises(BadStore, match=rf"not a readable Parquet file: {first} .* Delete that file"):
            read(VECTOR)
    first.unlink()
    assert store.done(VECTOR) == {keys[1]}


def test_a_foreign_parquet_in_the_store_is_named(store):
    store.write(VECTOR, keys_of(manifest("a")), [vector(1.0)])
    pq.write_table(pa.table({"x": [1]}), f"{store.place(VECTOR)}/values/z.parquet")
    with pytest.raises(BadStore, match=r"z\.parquet"):
        store.done(VECTOR)


def test_opening_describes_the_feature_and_clears_what_a_killed_run_left(store):
    store.open(VECTOR)
    folder = Path(store.place(VECTOR))
    described = json.loads((folder / "feature.json").read_text())
    assert described["fingerprint"] == VECTOR.fingerprint
    assert features.get(described["spec"]) == VECTOR
    store.write(VECTOR, keys_of(manifest("a")), [vector(1.0)])
    (folder / "values" / ".partial-12345678-x.parquet").write_bytes(b"half")
    assert len(store.done(VECTOR)) == 1
    store.open(VECTOR)
    assert [p.suffix for p in (folder / "values").iterdir()] == [".parquet"]
    assert len(list((folder / "values").iterdir())) == 1


def test_an_empty_store_has_nothing(store):
    assert store.done(VECTOR) == set()
    assert store.failures(VECTOR) == []
    with pytest.raises(BadStore, match="lacks mfcc_stats of 1 utterances"):
        store.load(VECTOR, manifest("a"))
