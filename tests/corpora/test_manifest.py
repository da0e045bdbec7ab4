import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.corpora.labels import DROP, EMOTIONS, SYNONYMS, check_targets, emotion_of
from ser_ray.corpora.manifest import SCHEMA, from_rows, labelled, read_manifest, validate, write_manifest
from ser_ray.errors import BadManifest, MissingInput, UsageError

ROW = {"id": "a", "uri": "/data/a.wav", "emotion": "anger"}

names = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=8)
rows = st.fixed_dictionaries(
    {"id": names, "uri": names.map(lambda n: f"s3://b/{n}")},
    optional={
        "emotion": st.sampled_from(EMOTIONS),
        "speaker": names,
        "start_s": st.floats(0, 10),
        "end_s": st.floats(11, 1e6),
        "channel": st.integers(0, 7),
        "text_id": names,
    },
)


@given(st.lists(rows, unique_by=lambda row: row["id"], max_size=8))
def test_a_manifest_keeps_every_value_in_a_fixed_schema(given_rows):
    table = from_rows(given_rows)
    assert table.schema == SCHEMA
    assert [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()] == given_rows
    assert validate(table).equals(table)


def test_written_and_read_again_it_is_the_same(tmp_path):
    table = from_rows([{**ROW, "start_s": 0.5, "end_s": 2.0, "channel": 1}, {"id": "b", "uri": "s3://x/b"}])
    write_manifest(table, str(tmp_path / "m.parquet"))
    assert read_manifest(str(tmp_path / "m.parquet")).equals(table)


def test_relative_uris_are_taken_from_the_manifests_own_folder(tmp_path):
    table = from_rows(
        [{**ROW, "id": str(k), "uri": uri} for k, uri in enumerate(("wav/a.wav", "/b.wav", "s3://x/c.wav"))]
    )
    write_manifest(table, str(tmp_path / "corpus" / "m.parquet"))
    read = read_manifest(str(tmp_path / "corpus" / "m.parquet"))
    assert read["uri"].to_pylist() == [f"{tmp_path}/corpus/wav/a.wav", "/b.wav", "s3://x/c.wav"]
    assert read.schema == SCHEMA


def test_an_empty_manifest_is_read_as_one(tmp_path):
    write_manifest(from_rows([]), str(tmp_path / "m.parquet"))
    assert read_manifest(str(tmp_path / "m.parquet")).equals(from_rows([]))


def test_other_types_are_cast_and_foreign_columns_left_out(tmp_path):
    table = pa.table(
        {
            "note": ["x"],
            "uri": pa.array(["/a.wav"]).dictionary_encode(),
            "id": pa.array(["a"], pa.large_string()),
            "speaker": [7],
            "start_s": [1],
            "channel": pa.array([1.0]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    read = read_manifest(str(tmp_path / "m.parquet"))
    assert read.schema == SCHEMA
    (row,) = read.to_pylist()
    assert (row["id"], row["speaker"], row["start_s"], row["channel"]) == ("a", "7", 1.0, 1)
    assert row["emotion"] is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], r"1 ids stand more than once, such as \['a'\]"),
        ([{**ROW, "emotion": "angry"}], r"outside our vocabulary: \['angry'\]\. Known: anger, boredom"),
        ([{**ROW, "start_s": -0.1}], r"a lies from -0\.1 to None s; start_s must be 0 or more"),
        ([{**ROW, "start_s": 2.0, "end_s": 2.0}], r"a lies from 2\.0 to 2\.0 s"),
        ([{**ROW, "end_s": 0.0}], r"a lies from None to 0\.0 s"),
        ([{**ROW, "start_s": float("nan")}], r"a lies from nan"),
        ([{**ROW, "end_s": float("inf")}], r"to inf s"),
        ([{**ROW, "channel": -1}], r"channel below 0"),
        ([{**ROW, "id": ""}], r"column 'id' is empty in 1 rows"),
        ([{**ROW, "id": None}], r"column 'id' is empty in 1 rows"),
        ([ROW, {"id": "b", "uri": None}], r"column 'uri' is empty in 1 rows"),
    ],
)
def test_impossible_values_are_refused_by_name(rows, message):
    with pytest.raises(BadManifest, match=message):
        from_rows(rows)


def test_the_row_at_fault_is_named():
    with pytest.raises(BadManifest, match=r"^b lies from 3\.0 to 1\.0"):
        from_rows([ROW, {"id": "b", "uri": "/b", "start_s": 3.0, "end_s": 1.0}])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"id": ["a"]}), r"lacks the column 'uri'; it has \['id'\]"),
        (pa.table({"uri": ["a"]}), r"lacks the column 'id'"),
        (pa.table({"id": ["a"], "uri": ["/a"], "start_s": ["early"]}), r"column 'start_s' is not double"),
        (pa.table({"id": ["a"], "uri": ["/a"], "channel": [0.5]}), r"column 'channel' is not int32"),
        (pa.table([["a"], ["b"], ["/a"]], names=["id", "id", "uri"]), r"has the column 'id' more than once"),
    ],
)
def test_impossible_columns_are_refused_by_name(table, message):
    with pytest.raises(BadManifest, match=message):
        validate(table)


def test_what_is_no_manifest_is_said_so(tmp_path):
    (tmp_path / "m.parquet").write_text("id,uri\n")
    with pytest.raises(BadManifest, match=r"not a readable Parquet file.*that `ser-ray index` writes"):
        read_manifest(str(tmp_path / "m.parquet"))
    with pytest.raises(MissingInput, match="manifest not found"):
        read_manifest(str(tmp_path / "no.parquet"))


def test_a_bad_manifest_is_not_written(tmp_path):
    with pytest.raises(BadManifest):
        write_manifest(pa.table({"id": ["a", "a"], "uri": ["/a", "/b"]}), str(tmp_path / "m.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_only_labelled_rows_are_learned_from():
    table = from_rows([ROW, {"id": "b", "uri": "/b"}, {"id": "c", "uri": "/c", "emotion": "fear"}])
    assert labelled(table, "training")["id"].to_pylist() == ["a", "c"]
    with pytest.raises(BadManifest, match=r"training needs .* two emotions; this manifest has 1 labelled"):
        labelled(table.slice(0, 2), "training")


@pytest.mark.parametrize("word", sorted(SYNONYMS))
def test_every_synonym_means_one_emotion_however_it_is_written(word):
    assert SYNONYMS[word] in EMOTIONS
    assert emotion_of(f" {word.upper()} ") == SYNONYMS[word]


def test_the_users_own_labels_go_before_ours():
    assert emotion_of("Pleasant Surprise") == "surprise"
    assert emotion_of("xxx") is None
    assert emotion_of("happy", {"happy": "excitement"}) == "excitement"
    assert emotion_of("xxx", {"xxx": DROP}) == DROP


def test_a_label_that_leads_nowhere_is_refused():
    check_targets({"A": "fear", "x": DROP})
    with pytest.raises(UsageError, match=r"--label A=feer: no emotion 'feer'\. Known: anger"):
        check_targets({"A": "feer"})


def test_another_label_is_learned_in_place_of_the_emotion():
    words = [("a", None, "dog"), ("b", "anger", "rain"), ("c", None, None), ("d", "fear", "rain")]
    table = from_rows({"id": i, "uri": i, "emotion": e, "raw_label": r} for i, e, r in words)
    rows = labelled(table, "training", "raw_label")
    assert rows.select(["id", "emotion"]).to_pylist() == [
        {"id": "a", "emotion": "dog"},
        {"id": "b", "emotion": "rain"},
        {"id": "d", "emotion": "rain"},
    ]
    assert labelled(table, "training")["id"].to_pylist() == ["b", "d"]
    with pytest.raises(BadManifest, match="at least two classes in raw_label; this manifest has 1 labelled"):
        labelled(table.slice(0, 1), "training", "raw_label")
    with pytest.raises(UsageError, match=r"label='speaker' cannot be learned.*emotion, raw_label"):
        labelled(table, "training", "speaker")
