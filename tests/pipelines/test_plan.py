import re
from datetime import date

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_ray import storage
from ser_ray.errors import BadManifest, MissingInput, OutputConflict
from ser_ray.pipelines.night import dates_in
from ser_ray.pipelines.plan import (
    CALLS,
    PLAN,
    SHARD_BYTES,
    SHARD_CALLS,
    late_calls,
    list_calls,
    make_plan,
    settle_plan,
    shards_of,
)

IDENTITY = {"ensemble": "0123", "options": {"legs": ["agent", "customer"]}}


def call(name, size=1000, tag="t"):
    return {"call_id": name, "uri": f"/calls/{name}", "size": size, "tag": tag}


def table(calls):
    return pa.Table.from_pylist(calls, schema=CALLS)


def fill(place, names):
    for name in names:
        storage.write_bytes(storage.join(str(place), name), name.encode())


archives = st.lists(
    st.builds(call, st.text("abc/.", min_size=1, max_size=6), st.integers(0, SHARD_BYTES + 10)),
    unique_by=lambda c: c["call_id"],
    max_size=60,
)


@settings(deadline=None)
@given(archives, st.randoms())
def test_every_call_is_in_one_shard_whatever_the_order_of_the_listing(calls, random):
    plan = make_plan(table(calls))
    assert plan.schema == PLAN
    assert sorted(plan["call_id"].to_pylist()) == sorted(c["call_id"] for c in calls)
    shuffled = list(calls)
    random.shuffle(shuffled)
    assert make_plan(table(shuffled)).equals(plan)


@settings(deadline=None)
@given(archives)
def test_shards_keep_within_their_limits_and_the_largest_calls_come_first(calls):
    shards = {}
    plan = make_plan(table(calls)).to_pylist()
    for row in plan:
        shards.setdefault(row["shard"], []).append(row["size"])
    for sizes in shards.values():
        assert len(sizes) <= SHARD_CALLS
        assert sum(sizes) <= SHARD_BYTES or len(sizes) == 1
    assert [row["size"] for row in plan] == sorted((c["size"] for c in calls), reverse=True)


def test_shards_are_filled_before_the_next_is_begun():
    plan = make_plan(table([call(f"{i:03d}") for i in range(2 * SHARD_CALLS + 3)]))
    sizes = [n["counts"] for n in plan["shard"].value_counts().to_pylist()]
    assert sizes == [SHARD_CALLS, SHARD_CALLS, 3]
    large = make_plan(table([call(str(i), SHARD_BYTES // 2) for i in range(5)]))
    assert [n["counts"] for n in large["shard"].value_counts().to_pylist()] == [2, 2, 1]


def test_a_shard_is_named_by_the_calls_in_it():
    one, two = make_plan(table([call("a"), call("b")])), make_plan(table([call("a"), call("c")]))
    again = make_plan(table([call("b", tag="x"), {**call("a"), "uri": "/moved/a"}]))
    assert set(one["shard"].to_pylist()) == set(again["shard"].to_pylist())
    assert set(one["shard"].to_pylist()) != set(two["shard"].to_pylist())


@pytest.mark.parametrize("where", ["local", "file", "bucket", "dotted"])
def test_a_folder_is_listed_by_paths_below_it(tmp_path, where):
    root = {
        "local": str(tmp_path / "calls"),
        "file": f"file://{tmp_path}/calls",
        "bucket": "memory://nightly/calls",
        "dotted": str(tmp_path / "x" / ".." / "calls"),
    }[where]
    (tmp_path / "x").mkdir()
    fill(root, ["b.WAV", "day 1/a.mp3", "_c.wav", ".d.wav", "notes.txt", "_SUCCESS"])
    calls, others = list_calls(root + "/")
    assert [(c["call_id"], c["size"]) for c in calls.to_pylist()] == [
        ("_c.wav", 6),
        ("b.WAV", 5),
        ("day 1/a.mp3", 11),
    ]
    assert others == 2
    assert [storage.read_bytes(uri) for uri in calls["uri"].to_pylist()] == [
        b"_c.wav",
        b"b.WAV",
        b"day 1/a.mp3",
    ]
    assert all(calls["tag"].to_pylist())
    if where == "bucket":
        fsspec.filesystem("memory").rm("/nightly", recursive=True)


def test_one_recording_is_an_archive_too(tmp_path):
    fill(tmp_path, ["a.wav", "b.wav"])
    calls, others = list_calls(str(tmp_path / "a.wav"))
    assert (calls["call_id"].to_pylist(), others) == (["a.wav"], 0)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_lists_calls_by_id_and_keeps_missing_ones(tmp_path, kind):
    fill(tmp_path, ["a.wav"])
    listed = pa.table({"call_id": ["1", "2", "3"], "path": ["a.wav", f"{tmp_path}/a.wav", "gone.wav"]})
    if kind == "csv":
        text = "call_id;path\n1;a.wav\n2;" + f"{tmp_path}/a.wav\n3;gone.wav\n"
        (tmp_path / "list.csv").write_text(text)
    else:
        pq.write_table(listed, tmp_path / "list.parquet")
    calls, others = list_calls(str(tmp_path / f"list.{kind}"))
    place = f"{tmp_path}/a.wav"
    assert [(c["call_id"], c["uri"], c["size"]) for c in calls.to_pylist()] == [
        ("1", place, 5),
        ("2", place, 5),
        ("3", f"{tmp_path}/gone.wav", 0),
    ]
    assert others == 0


def test_without_ids_a_call_goes_by_its_path(tmp_path):
    (tmp_path / "list.csv").write_text("uri\ns3://b/x.wav\n")
    pq.write_table(pa.table({"call_id": [7], "uri": ["/x.wav"]}), tmp_path / "numbers.parquet")
    (tmp_path / "relative.csv").write_text("path\nday/x.wav\n")
    assert list_calls(str(tmp_path / "relative.csv"))[0]["call_id"].to_pylist()[0] == "day/x.wav"
    assert list_calls(str(tmp_path / "numbers.parquet"))[0]["call_id"].to_pylist()[0] == "7"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\na.wav\n", r"needs a column uri or path, and has \['file'\]"),
        ("path\na.wav\na.wav\n", r"lists a call twice or without an id, such as 'a\.wav'"),
        ("call_id,path\n1,a.wav\n1,b.wav\n", r"lists a call twice or without an id, such as '1'"),
        ("call_id,path\n,a.wav\n", r"lists a call twice or without an id, such as None"),
        ("call_id,path\n1,\n", r"has 1 rows without a path"),
    ],
)
def test_a_bad_table_of_calls_is_refused_by_its_fault(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(BadManifest, match=message):
        list_calls(str(tmp_path / "list.csv"))


def test_an_archive_without_recordings_is_refused(tmp_path):
    with pytest.raises(MissingInput, match="archive not found"):
        list_calls(str(tmp_path / "no"))
    fill(tmp_path, ["a.txt", "b.pdf"])
    with pytest.raises(MissingInput, match=r"no recording in .* \(2 other files\)\. Recordings end in \.wav"):
        list_calls(str(tmp_path))
    (tmp_path / "list.csv").write_text("path\n")
    with pytest.raises(MissingInput, match="no recording in"):
        list_calls(str(tmp_path / "list.csv"))


def test_a_plan_is_settled_once_and_found_again(tmp_path):
    calls = table([call(str(i)) for i in range(20)])
    plan = settle_plan(str(tmp_path), calls, IDENTITY)
    before = (tmp_path / "plan.parquet").stat().st_mtime_ns
    assert settle_plan(str(tmp_path), calls.take(list(range(19, -1, -1))), IDENTITY).equals(plan)
    assert (tmp_path / "plan.parquet").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "plan.parquet"]


def test_a_run_killed_between_plan_and_identity_plans_again(tmp_path):
    settle_plan(str(tmp_path), table([call("a")]), IDENTITY)
    (tmp_path / "plan.json").unlink()
    plan = settle_plan(str(tmp_path), table([call("a"), call("b")]), IDENTITY)
    assert plan["call_id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (IDENTITY | {"ensemble": "4567"}, r"ensemble was 0123, is 4567\)\. Choose another -o"),
        (IDENTITY | {"options": {"legs": ["a"]}}, r"options was .*customer.*, is .*\['a'\]"),
        ({"ensemble": "0123"}, r"options was .*, is None"),
    ],
)
def test_a_run_of_other_settings_is_refused_with_what_changed(tmp_path, identity, message):
    settle_plan(str(tmp_path), table([call("a")]), IDENTITY)
    with pytest.raises(OutputConflict, match=message):
        settle_plan(str(tmp_path), table([call("a")]), identity)


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([call("a"), call("c")], r"1 files are gone, 0 changed, such as b\. Only new ones can be added"),
        ([call("a"), call("b", tag="new")], r"0 files are gone, 1 changed, such as b\."),
        ([call("a", size=2), call("b"), call("c")], r"0 files are gone, 1 changed, such as a\."),
    ],
)
def test_an_archive_of_which_files_went_or_changed_is_refused_with_an_example(tmp_path, calls, message):
    plan = settle_plan(str(tmp_path), table([call("a"), call("b")]), IDENTITY)
    with pytest.raises(OutputConflict, match=message):
        settle_plan(str(tmp_path), table(calls), IDENTITY)
    assert storage.read_parquet(str(tmp_path / "plan.parquet")).equals(plan)


def test_late_calls_get_shards_of_their_own_behind_those_that_stand(tmp_path):
    first = table([call(f"{i:02d}", 10) for i in range(SHARD_CALLS + 3)])
    plan = settle_plan(str(tmp_path), first, IDENTITY)
    assert late_calls(plan) == 0
    more = table([*first.to_pylist(), call("00-late", 99), call("zz-late", 1)])
    grown = settle_plan(str(tmp_path), more, IDENTITY)
    assert grown.slice(0, len(plan)).equals(plan)
    assert grown.slice(len(plan))["call_id"].to_pylist() == ["00-late", "zz-late"]
    assert not set(grown.slice(len(plan))["shard"].to_pylist()) & set(plan["shard"].to_pylist())
    assert late_calls(grown) == 2
    again = settle_plan(str(tmp_path), more, IDENTITY)
    assert again.equals(grown)
    latest = settle_plan(str(tmp_path), table([*more.to_pylist(), call("later")]), IDENTITY)
    assert (len(latest), late_calls(latest)) == (SHARD_CALLS + 6, 3)


@settings(deadline=None)
@given(archives)
def test_the_shards_of_a_plan_hold_its_calls_in_its_order(calls):
    plan = make_plan(table(calls))
    rows = [{"shard": s["shard"], **c} for s in shards_of(plan).to_pylist() for c in s["calls"]]
    assert rows == plan.select(["shard", "call_id", "uri", "agent", "date"]).to_pylist()
    assert len(shards_of(plan)) == len(set(plan["shard"].to_pylist()))


def test_a_table_with_sizes_is_believed(tmp_path):
    (tmp_path / "list.csv").write_text("uri,size,tag\ns3://nowhere/b.wav,7,x\ns3://nowhere/a.wav,,\n")
    calls, _ = list_calls(str(tmp_path / "list.csv"))
    assert [(c["size"], c["tag"]) for c in calls.to_pylist()] == [(7, "x"), (0, "")]
    (tmp_path / "bad.csv").write_text("uri,size\na.wav,large\n")
    with pytest.raises(BadManifest, match="has a size that is no number of bytes"):
        list_calls(str(tmp_path / "bad.csv"))


def test_scores_without_their_plan_are_left_alone(tmp_path):
    fill(tmp_path, ["calls/x.parquet"])
    with pytest.raises(OutputConflict, match="holds scores without their plan"):
        settle_plan(str(tmp_path), table([call("a")]), IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["calls"]


@pytest.mark.parametrize(
    ("path", "date"),
    [
        ("s3://calls/dt=2026-11-22/a.wav", "2026-11-22"),
        ("/calls/20261122_0830.wav", "2026-11-22"),
        ("/backup-2026-01-01/2026-11-22/a.wav", "2026-11-22"),  # the nearest to the file
        ("/2026-11-22/20261123T0001.wav", "2026-11-22"),  # hyphens leave no doubt
        ("/calls/2026-02-30.wav", None),
        ("/calls/2026-13-01/20261301.wav", None),
        ("/calls/120261122.wav", None),
        ("/calls/a.wav", None),
    ],
)
def test_the_date_of_a_call_is_the_one_in_its_path(path, date):
    assert dates_in(pa.chunked_array([[path]])).to_pylist() == [date]


def test_calls_of_a_folder_have_the_date_of_their_path(tmp_path):
    fill(tmp_path, ["dt=2026-11-22/a.wav", "b.wav"])
    calls, _ = list_calls(str(tmp_path))
    assert calls.select(["call_id", "agent", "date"]).to_pylist() == [
        {"call_id": "b.wav", "agent": None, "date": None},
        {"call_id": "dt=2026-11-22/a.wav", "agent": None, "date": "2026-11-22"},
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_agent_and_date_of_a_table_reach_the_shards(tmp_path, kind):
    if kind == "csv":
        (tmp_path / "list.csv").write_text(
            "path,size,agent,date\n2026-01-01/a.wav,1, kim ,2026-11-22\nb.wav,2,,\n"
        )
    else:
        columns = {"path": ["2026-01-01/a.wav", "b.wav"], "size": [1, 2], "agent": ["kim", None]}
        dates = pa.array([date(2026, 11, 22), None])
        pq.write_table(pa.table({**columns, "date": dates}), tmp_path / "list.parquet")
    calls, _ = list_calls(str(tmp_path / f"list.{kind}"))
    told = [call for shard in shards_of(make_plan(calls)).to_pylist() for call in shard["calls"]]
    assert {c["call_id"]: (c["agent"], c["date"]) for c in told} == {
        "2026-01-01/a.wav": ("kim", "2026-11-22"),
        "b.wav": (None, None),
    }


@pytest.mark.parametrize("wrong", ["22.11.2026", "2026-02-30", "2026-11-22 08:00"])
def test_a_date_that_is_none_is_refused(tmp_path, wrong):
    (tmp_path / "list.csv").write_text(f"path,size,date\na.wav,1,2026-11-22\nb.wav,1,{wrong}\n")
    with pytest.raises(BadManifest, match=re.escape(repr(wrong))):
        list_calls(str(tmp_path / "list.csv"))
