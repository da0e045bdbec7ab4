import codecs

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_ray.corpora import IndexOptions, index
from ser_ray.corpora.manifest import SCHEMA
from ser_ray.corpora.table import read_table
from ser_ray.errors import BadManifest, MissingInput, UnknownName, UsageError


def write(tmp_path, text, name="table.csv"):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


def index_csv(tmp_path, text, columns=None, labels=None):
    return index("csv", write(tmp_path, text), IndexOptions(columns or {}, labels or {}))


def test_paths_are_taken_from_the_tables_folder_and_labels_from_our_vocabulary(tmp_path):
    table = index_csv(tmp_path, "path,emotion\nwav/a.wav,Angry\n/abs/b.wav,joy\ns3://x/c.wav,fear\n")
    assert table.schema == SCHEMA
    assert table["uri"].to_pylist() == [f"{tmp_path}/wav/a.wav", "/abs/b.wav", "s3://x/c.wav"]
    assert table["emotion"].to_pylist() == ["anger", "happiness", "fear"]
    assert table["raw_label"].to_pylist() == ["Angry", "joy", "fear"]
    assert table["id"].to_pylist() == ["csv/wav/a.wav", "csv/abs/b.wav", "csv/s3://x/c.wav"]


def test_uri_goes_before_path(tmp_path):
    table = index_csv(tmp_path, "path,uri,emotion\nold.wav,new.wav,sad\n")
    assert table["uri"].to_pylist() == [f"{tmp_path}/new.wav"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_every_usual_spelling_of_a_table_reads_alike(tmp_path, delimiter, newline, mark):
    lines = [("uri", "emotion", '"speaker"'), ("ä.wav", "angry", "007"), ("b.wav", "sad", '"M;ü,ller"')]
    text = newline.join(delimiter.join(line) for line in lines) + newline
    table = index_csv(tmp_path, mark + text.encode())
    assert table["speaker"].to_pylist() == ["007", "M;ü,ller"]
    assert table["uri"].to_pylist() == [f"{tmp_path}/ä.wav", f"{tmp_path}/b.wav"]


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1), min_size=1, max_size=5))
def test_quoted_values_come_back_as_they_are(tmp_path_factory, values):
    quoted = ['"' + v.replace('"', '""') + '"' for v in values]
    text = 'uri,"a, ""quoted"" name"\n' + "".join(f"x,{q}\n" for q in quoted)
    path = write(tmp_path_factory.mktemp("csv"), text)
    read = read_table(path)
    assert read.column_names == ["uri", 'a, "quoted" name']
    assert read.column(1).to_pylist() == values


@pytest.mark.parametrize("word", ["NaN", "NA", "null", "None"])
def test_a_word_that_means_nothing_elsewhere_is_a_value_here(tmp_path, word):
    table = index_csv(tmp_path, f"uri,emotion,speaker\na.wav,sad,{word}\nb.wav,angry,\n")
    assert table["speaker"].to_pylist() == [word, None]


def test_a_value_may_hold_a_line_break(tmp_path):
    table = index_csv(tmp_path, 'uri,emotion,text_id\na.wav,sad,"first\nsecond"\n')
    assert table["text_id"].to_pylist() == ["first\nsecond"]


def test_columns_are_mapped_by_name(tmp_path):
    text = "file,label,who,emotion\na.wav,angry,S1,5\n"
    table = index_csv(tmp_path, text, {"uri": "file", "emotion": "label", "speaker": "who"})
    (row,) = table.to_pylist()
    assert (row["emotion"], row["speaker"], row["raw_label"]) == ("anger", "S1", "angry")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"spkr": "who"}, r"--map spkr=who: no column 'spkr'\. Ours are: id, uri"),
        (
            {"speaker": "whom"},
            r"--map speaker=whom: the table has no 'whom', but \['uri', 'emotion', 'who'\]",
        ),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(tmp_path, columns, message):
    with pytest.raises(UsageError, match=message):
        index_csv(tmp_path, "uri,emotion,who\na.wav,sad,1\n", columns)


def test_unknown_labels_are_counted_and_named_with_the_mend(tmp_path):
    text = "uri,emotion\n" + "".join(f"{k}.wav,{e}\n" for k, e in enumerate(["xxx", "sad", "oth", "xxx"]))
    with pytest.raises(BadManifest, match=r"xxx \(2\), oth \(1\).*--label xxx=EMOTION.*drop it with =-"):
        index_csv(tmp_path, text)
    table = index_csv(tmp_path, text, labels={"xxx": "frustration", "oth": "-"})
    assert table["emotion"].to_pylist() == ["frustration", "sadness", "frustration"]
    assert table["raw_label"].to_pylist() == ["xxx", "sad", "xxx"]


def test_a_label_mapped_to_no_emotion_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"--label xxx=anxious: no emotion 'anxious'"):
        index_csv(tmp_path, "uri,emotion\na.wav,xxx\n", labels={"xxx": "anxious"})


def test_rows_without_a_label_are_kept_without_one(tmp_path):
    table = index_csv(tmp_path, "uri,emotion\na.wav,\nb.wav,sad\n")
    assert table["emotion"].to_pylist() == [None, "sadness"]


def test_stretches_and_channels_are_numbers_and_make_ids_apart(tmp_path):
    text = (
        "uri,emotion,start_s,end_s,channel,corpus\n"
        "a.wav,sad,0.5,2,,talk\na.wav,sad,2,,,talk\na.wav,sad,,0.5,,talk\na.wav,sad,,,0,talk\n"
        "a.wav,sad,,,1.0,talk\n"
    )
    rows = index_csv(tmp_path, text).to_pylist()
    assert [(r["start_s"], r["end_s"], r["channel"]) for r in rows] == [
        (0.5, 2.0, None),
        (2.0, None, None),
        (None, 0.5, None),
        (None, None, 0),
        (None, None, 1),
    ]
    assert [r["id"] for r in rows] == [
        "talk/a.wav#0.5-2.0",
        "talk/a.wav#2.0-",
        "talk/a.wav#0.0-0.5",
        "talk/a.wav@0",
        "talk/a.wav@1",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uri,emotion,start_s\na.wav,sad,early\n", r"column 'start_s' is not double: .*early"),
        ("uri,emotion,channel\na.wav,sad,left\n", r"column 'channel' is not int32: .*left"),
        ("uri,emotion,channel\na.wav,sad,0.5\n", r"column 'channel' is not int32"),
        ("uri,emotion,start_s,end_s\na.wav,sad,2,1\n", r"lies from 2\.0 to 1\.0 s"),
        ("uri,emotion\na.wav,sad\na.wav,sad\n", r"ids stand more than once, such as \['csv/a\.wav'\]"),
        ("uri,emotion,id\na.wav,sad,1\nb.wav,sad,1\n", r"ids stand more than once, such as \['1'\]"),
        ("uri,emotion,emotion\na.wav,sad,sad\n", r"has the column 'emotion' more than once"),
        ("uri,emotion\n,sad\n", r"has rows without a path"),
        ("uri,emotion\n", r"holds no utterance"),
        ("uri,emotion\na.wav,sad,extra\n", r"not a readable CSV in UTF-8: .*Expected 2 columns, got 3"),
        ("", r"not a readable CSV in UTF-8: .*[Ee]mpty"),
        ("file,emotion\na.wav,sad\n", r"lacks the column 'uri'; it has .*--map uri=COLUMN"),
        ("uri,label\na.wav,sad\n", r"lacks the column 'emotion'; .*--map emotion=COLUMN"),
        ("uri,emotion\nä.wav,sad\n".encode("latin-1"), r"not a readable CSV in UTF-8"),
        ("uri,emotion\na.wav,sad\n".encode("utf-16"), r"not a readable CSV in UTF-8"),
    ],
)
def test_a_bad_table_is_refused_by_its_fault(tmp_path, text, message):
    with pytest.raises(BadManifest, match=message):
        index_csv(tmp_path, text)


def test_all_rows_dropped_is_no_manifest(tmp_path):
    with pytest.raises(BadManifest, match="holds no utterance"):
        index_csv(tmp_path, "uri,emotion\na.wav,sad\n", labels={"sad": "-"})


def test_parquet_is_a_table_too_whatever_its_types(tmp_path):
    table = pa.table(
        {
            "path": ["a.wav", "b.wav"],
            "label": pa.array(["sad", "angry"]).dictionary_encode(),
            "speaker": [1, 2],
            "gender": [0, 1],
            "channel": pa.array([None, 1.0]),
            "start_s": pa.array([1, None], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    rows = index("csv", str(tmp_path / "t.parquet"), IndexOptions(columns={"emotion": "label"})).to_pylist()
    assert [(r["speaker"], r["gender"], r["channel"], r["start_s"], r["emotion"]) for r in rows] == [
        ("1", "0", None, 1.0, "sadness"),
        ("2", "1", 1, None, "anger"),
    ]


def test_a_table_that_is_not_there_is_missing_input(tmp_path):
    with pytest.raises(MissingInput, match="table not found"):
        index("csv", str(tmp_path / "no.csv"))
    with pytest.raises(UnknownName, match="csv"):
        index("cvs", str(tmp_path))
