from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ser_ray.corpora import index
from ser_ray.corpora.audit import cross
from ser_ray.corpora.manifest import from_rows
from ser_ray.corpora.splits import PROTOCOLS, grouped_folds, split
from ser_ray.errors import BadManifest, MissingInput, UnknownName, UsageError

EMOTIONS = ("anger", "fear", "neutral", "sadness")
EMOBOX = ({1, 11, 20, 21}, {4, 10, 12, 14}, {8, 9, 19, 23}, {3, 5, 7, 24}, {2, 15, 16, 18}, {6, 13, 17, 22})


def manifest(emotions, speakers, **columns):
    rows = [
        {"id": str(k), "uri": f"/{k}.wav", "emotion": emotion, "speaker": speaker}
        for k, (emotion, speaker) in enumerate(zip(emotions, speakers, strict=True))
    ]
    for name, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return from_rows(rows)


def balanced(speakers=6, per_emotion=5):
    cells = [(e, f"s{s}") for s in range(speakers) for e in EMOTIONS for _ in range(per_emotion)]
    return manifest(*zip(*cells, strict=True))


def crossing(what, table, folds):
    """How many test rows share this column's value with their training rows."""
    return cross(what, table[what].to_pylist(), folds).crossing


@st.composite
def tables(draw):
    """Corpora of all shapes: few speakers, rare emotions, speakers who lack some; copies of some rows."""
    cell = st.tuples(
        st.sampled_from(EMOTIONS), st.integers(1, 8), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)
    )
    rows = draw(st.lists(cell, min_size=12, max_size=60))
    assume(len({emotion for emotion, *_ in rows}) > 1)
    named = [
        {"id": str(k), "emotion": e, "speaker": f"s{s}", "text_id": f"t{t}", "session": f"ses{s % 3}"}
        | {"uri": f"/{k}.wav", "split": f"part{part}"}
        for k, (e, s, t, _, part) in enumerate(rows)
    ]
    copies = [
        {**row, "id": f"{row['id']}~{n}", "source_id": row["id"], "augmentation": "gain"}
        for row, (*_, wanted, _) in zip(named, rows, strict=True)
        for n in range(wanted)
    ]
    return from_rows([*named, *copies])


def recorded(table):
    return set(np.flatnonzero(table["source_id"].is_null().to_numpy()))


def divide_or_skip(protocol, table, seed, folds):
    """The folds, unless the corpus cannot be divided so, which must be one of our own errors."""
    try:
        return split(protocol, table, seed, folds)
    except BadManifest:
        assume(False)


@settings(max_examples=100, deadline=None)
@given(tables(), st.sampled_from(sorted(PROTOCOLS)), st.integers(0, 9), st.integers(2, 5))
def test_train_and_test_never_overlap_and_together_are_everything_recorded(table, protocol, seed, folds):
    own = recorded(table)
    for fold in divide_or_skip(protocol, table, seed, folds):
        assert len(fold.test) > 0
        assert set(fold.test) <= own
        assert len(set(fold.train) & own) > 0
        assert sorted([*(set(fold.train) & own), *fold.test]) == sorted(own)


@settings(max_examples=100, deadline=None)
@given(tables(), st.sampled_from(sorted(PROTOCOLS)), st.integers(0, 9), st.integers(2, 5))
def test_a_copy_trains_exactly_where_its_source_trains(table, protocol, seed, folds):
    ids, sources = table["id"].to_pylist(), table["source_id"].to_pylist()
    for fold in divide_or_skip(protocol, table, seed, folds):
        trained = {ids[row] for row in fold.train}
        for row in set(range(len(table))) - recorded(table):
            assert (ids[row] in trained) == (sources[row] in trained)


@settings(max_examples=60, deadline=None)
@given(
    tables(),
    st.sampled_from(["kfold", "twin_safe", "speaker", "loso", "session", "official"]),
    st.integers(0, 9),
    st.integers(2, 5),
)
def test_every_recorded_row_is_tested_exactly_once(table, protocol, seed, folds):
    divided = divide_or_skip(protocol, table, seed, folds)
    assert sorted(np.concatenate([fold.test for fold in divided])) == sorted(recorded(table))
    assert len({fold.name for fold in divided}) == len(divided) > 1


@settings(max_examples=60, deadline=None)
@given(
    tables(),
    st.sampled_from([("speaker", "speaker"), ("loso", "speaker"), ("session", "session")]),
    st.integers(0, 9),
    st.integers(2, 5),
)
def test_no_group_stands_on_both_sides(table, protocol, seed, folds):
    name, column = protocol
    divided = divide_or_skip(name, table, seed, folds)
    groups = np.array(table[column].to_pylist())
    for fold in divided:
        assert not set(groups[fold.train]) & set(groups[fold.test])


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(0, 9), st.integers(2, 5))
def test_twin_safe_keeps_one_sentence_of_one_speaker_on_one_side(table, seed, folds):
    pairs = list(zip(table["speaker"].to_pylist(), table["text_id"].to_pylist(), strict=True))
    for fold in divide_or_skip("twin_safe", table, seed, folds):
        assert not {pairs[row] for row in fold.train} & {pairs[row] for row in fold.test}


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(2, 5), st.integers(0, 9))
def test_inner_folds_keep_three_or_more_speakers_apart_and_always_leave_two_emotions(table, folds, seed):
    labels = np.array(table["emotion"].to_pylist())
    speakers = np.array(table["speaker"].to_pylist())
    try:
        divided = grouped_folds(labels, speakers, folds, seed)
    except BadManifest:
        assume(False)
    assert sorted(np.concatenate([fold.test for fold in divided])) == list(range(len(table)))
    assert 2 <= len(divided) <= folds
    for fold in divided:
        assert len(set(labels[fold.train])) >= 2
        if len(set(speakers)) >= 3:
            assert not set(speakers[fold.train]) & set(speakers[fold.test])


def test_the_random_split_is_a_stratified_fifth():
    table = balanced()
    (fold,) = split("random", table, seed=1)
    emotions = np.array(table["emotion"].to_pylist())
    assert Counter(emotions[fold.test]) == dict.fromkeys(EMOTIONS, 6)
    assert Counter(emotions[fold.train]) == dict.fromkeys(EMOTIONS, 24)
    assert crossing("speaker", table, [fold]) == len(fold.test)


def test_random70_tests_three_tenths_of_each_emotion():
    (fold,) = split("random70", balanced(speakers=10, per_emotion=4))
    assert (len(fold.train), len(fold.test)) == (112, 48)


def test_a_corpus_with_a_test_part_of_its_own_is_divided_by_it():
    parts = ["train", "test", "validation", "evaluation"]
    (fold,) = split("official", manifest(EMOTIONS, ["a"] * 4, split=parts))
    assert (fold.train.tolist(), fold.test.tolist()) == ([0, 2], [1, 3])


def test_a_corpus_with_folds_of_its_own_tests_each_of_them():
    divided = split("official", manifest(EMOTIONS, ["a"] * 4, split=["1", "2", "1", "3"]))
    assert [(fold.name, fold.test.tolist()) for fold in divided] == [("1", [0, 2]), ("2", [1]), ("3", [3])]


def test_a_copy_whose_source_is_not_there_never_trains():
    table = balanced(speakers=3, per_emotion=2)
    orphan = {"id": "x~1", "uri": "/x.wav", "emotion": "anger", "speaker": "s0", "source_id": "x"}
    table = from_rows([*table.to_pylist(), {**orphan, "augmentation": "gain"}])
    for fold in split("loso", table):
        assert len(table) - 1 not in {*fold.train, *fold.test}


@pytest.mark.parametrize("per_emotion", [2, 3, 4])
def test_the_random_split_of_a_tiny_corpus_tests_every_emotion(per_emotion):
    table = manifest(EMOTIONS * per_emotion, ["s"] * 4 * per_emotion)
    (fold,) = split("random", table)
    emotions = np.array(table["emotion"].to_pylist())
    assert set(emotions[fold.test]) == set(emotions[fold.train]) == set(EMOTIONS)


@pytest.mark.parametrize("protocol", ["kfold", "speaker"])
def test_folds_hold_the_emotions_in_equal_shares(protocol):
    table = balanced(speakers=10)
    emotions = np.array(table["emotion"].to_pylist())
    for fold in split(protocol, table, folds=5):
        assert Counter(emotions[fold.test]) == dict.fromkeys(EMOTIONS, 10)


def test_the_seed_decides_the_draw():
    table = balanced()
    first, again, other = (split("kfold", table, seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(first, again, strict=True))
    assert any((a.test != b.test).any() for a, b in zip(first, other, strict=True))


def test_loso_has_one_fold_for_each_speaker():
    table = balanced(speakers=3, per_emotion=1)
    assert [(f.name, f.test.tolist()) for f in split("loso", table)] == [
        ("s0", [0, 1, 2, 3]),
        ("s1", [4, 5, 6, 7]),
        ("s2", [8, 9, 10, 11]),
    ]


def test_rows_without_a_speaker_cannot_be_divided_by_speakers():
    table = manifest(["anger", "fear"] * 5, [None, "a"] * 5)
    with pytest.raises(BadManifest, match="5 of 10 rows have no speaker"):
        split("loso", table)


@pytest.mark.parametrize(
    ("protocol", "emotions", "speakers", "message"),
    [
        ("loso", ["anger", "fear"], ["a", "a"], "all rows fall into one part"),
        ("session", ["anger", "fear"], ["a", "b"], "2 of 2 rows have no session"),
        ("twin_safe", ["anger", "fear"], ["a", "b"], "2 of 2 rows have no text_id"),
        ("official", ["anger", "fear"], ["a", "b"], "2 of 2 rows have no split"),
        ("speaker", ["anger", "fear"] * 6, ["a", "b"] * 6, "5 folds need at least 5 speakers; there are 2"),
        ("kfold", ["anger"] * 9 + ["fear"] * 4, ["a"] * 13, "'fear' has 4 utterances; .* needs 5 of each"),
        ("random", ["anger"] * 9 + ["fear"], ["a"] * 10, "'fear' has 1 utterances; .* needs 2 of each"),
    ],
)
def test_a_corpus_that_cannot_be_divided_is_refused_with_figures(protocol, emotions, speakers, message):
    with pytest.raises(BadManifest, match=message):
        split(protocol, manifest(emotions, speakers))


def test_inner_folds_refuse_what_cannot_be_learned():
    with pytest.raises(BadManifest, match="an emotion has a single utterance"):
        grouped_folds(np.array([0, 0, 1]), None, 5, 0)
    labels, speakers = np.array([0, 0, 0, 0, 1, 1]), np.array(["a", "a", "b", "b", "c", "c"])
    with pytest.raises(BadManifest, match="only one emotion is left"):
        grouped_folds(labels, speakers, 5, 0)


def test_requests_that_make_no_sense_are_refused():
    with pytest.raises(UnknownName, match=r"unknown protocol 'losso'\. Did you mean: loso"):
        split("losso", balanced())
    with pytest.raises(UsageError, match="1 folds will not do"):
        split("kfold", balanced(), folds=1)


def test_listed_folds_by_speaker_are_the_published_ones(tmp_path):
    """EmoBox lists the test actors of each RAVDESS fold."""
    lines = [f"ravdess-{actor:02d},{k + 1}" for k, actors in enumerate(EMOBOX) for actor in sorted(actors)]
    (tmp_path / "folds.csv").write_text("speaker,fold\n" + "\n".join(lines))
    actors = [f"ravdess-{a:02d}" for a in range(1, 25) for _ in EMOTIONS]
    table = manifest(EMOTIONS * 24, actors)
    divided = split(f"folds:{tmp_path}/folds.csv", table)
    assert [f.name for f in divided] == ["1", "2", "3", "4", "5", "6"]
    for fold, wanted in zip(divided, EMOBOX, strict=True):
        assert {int(actors[i].removeprefix("ravdess-")) for i in fold.test} == wanted
        assert len(fold.train) == 80
    assert crossing("speaker", table, divided) == 0


def test_listed_folds_by_id_may_come_as_parquet_in_any_order(tmp_path):
    pq.write_table(
        pa.table({"id": ["3", "1", "0", "2", "9"], "fold": [2, 1, 1, 2, 3]}), tmp_path / "f.parquet"
    )
    table = manifest(["anger", "fear"] * 2, ["a"] * 4)
    divided = split(f"folds:{tmp_path}/f.parquet", table)
    assert [(f.name, f.train.tolist(), f.test.tolist()) for f in divided] == [
        ("1", [2, 3], [0, 1]),
        ("2", [0, 1], [2, 3]),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,part\n0,1\n", r"needs the columns fold and id \(or speaker\); it has \['id', 'part'\]"),
        ("name,fold\n0,1\n", r"needs the columns fold and id"),
        ("id,fold\n0,1\n", r"has no fold for 3 rows, such as id '1'"),
        ("id,fold\n0,1\n1,\n2,1\n3,2\n", r"has no fold for 1 rows, such as id '1'"),
        ("speaker,fold\na,1\na,2\n", r"puts the speaker 'a' into several folds"),
    ],
)
def test_a_bad_fold_list_is_refused_by_its_fault(tmp_path, text, message):
    (tmp_path / "folds.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        split(f"folds:{tmp_path}/folds.csv", manifest(["anger", "fear"] * 2, ["a"] * 4))


def test_a_fold_list_that_is_not_there_or_has_one_fold_is_refused(tmp_path):
    table = manifest(["anger", "fear"], ["a", "b"])
    with pytest.raises(MissingInput, match="fold list not found"):
        split(f"folds:{tmp_path}/no.csv", table)
    (tmp_path / "folds.csv").write_text("speaker,fold\na,1\na,1\nb,1\n")
    with pytest.raises(BadManifest, match="all rows fall into one part"):
        split(f"folds:{tmp_path}/folds.csv", table)


def test_emodb_by_speaker_tests_all_ten_speakers(real_corpora):
    table = index("emodb", str(real_corpora / "emodb"))
    divided = split("loso", table)
    assert [len(f.test) for f in divided] == [49, 58, 43, 38, 55, 35, 61, 69, 56, 71]
    assert crossing("speaker", table, split("speaker", table)) == 0
