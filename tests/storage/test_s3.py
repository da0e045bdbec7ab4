"""What is of S3 alone: pages, inventories, encryption, options."""

import gzip
import io
import subprocess
import sys
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray import storage
from ser_ray.errors import BadManifest, UsageError
from ser_ray.storage import StorageOptions, options
from ser_ray.storage.filesystems import filesystem
from tests.s3 import ENVIRONMENT


@pytest.fixture
def told(monkeypatch):
    """Tells storage options that hold for this test alone."""
    environment = dict.fromkeys(("FSSPEC_S3_ENDPOINT_URL", "FSSPEC_S3_ANON", "FSSPEC_GS_TOKEN"), "")
    environment |= {"FSSPEC_S3_S3_ADDITIONAL_KWARGS": "", "FSSPEC_S3_CLIENT_KWARGS": ""}
    for name in environment:
        monkeypatch.setenv(name, "x")  # so that what is set meanwhile is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(options, "_in_use", StorageOptions())
    monkeypatch.setattr("fsspec.config.conf", {})
    return lambda **given: storage.use_options(StorageOptions.of(given))


def test_a_listing_of_two_pages_is_in_order_and_begins_before_it_is_complete(shaky):
    bucket = shaky.bucket()
    names = sorted(f"{i % 7}/call-{i:04d}.wav" for i in range(1100))
    for name in names:
        shaky.client.put_object(Bucket=bucket.removeprefix("s3://"), Key=f"night/{name}", Body=b"")
    shaky.requests.clear()
    files = storage.list_files(f"{bucket}/night")
    assert next(files).path == names[0]
    assert len(shaky.requests) == 1
    assert [f.path for f in files] == names[1:]
    assert len(shaky.requests) == 2


def test_all_that_is_written_is_encrypted_as_the_options_say(shaky, told, tmp_path):
    told(encryption="aws:kms", kms_key="alias/calls")
    bucket = shaky.bucket()
    storage.write_bytes(f"{bucket}/one", b"1")
    with storage.new_directory(f"{bucket}/model") as folder:
        (folder / "weights").write_bytes(b"w")
    fs, path = filesystem(f"{bucket}/parts")
    fs.pipe_file(path, b"0" * (11 << 20), chunksize=5 << 20)
    arrow, path = storage.arrow_filesystem(f"{bucket}/arrow")
    with arrow.open_output_stream(path) as stream:
        stream.write(b"1")
    assert shaky.count("POST .*parts.uploads") == 1
    for key in ("one", "model/weights", "parts", "arrow"):
        about = shaky.client.head_object(Bucket=bucket.removeprefix("s3://"), Key=key)
        assert (about["ServerSideEncryption"], about["SSEKMSKeyId"]) == ("aws:kms", "alias/calls"), key


def test_options_outrank_the_environment_and_are_followed_by_other_processes(shaky, told, monkeypatch):
    bucket = shaky.bucket()
    shaky.client.put_object(Bucket=bucket[5:], Key="a", Body=b"here", ACL="public-read")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    told(endpoint=shaky.endpoint)
    told(region="eu-central-1", anonymous="true")
    shaky.requests.clear()
    assert storage.read_bytes(f"{bucket}/a") == b"here"
    assert shaky.requests == [f"GET /{bucket[5:]}/a unsigned"]
    assert storage.options_in_use() == {
        "endpoint": shaky.endpoint,
        "region": "eu-central-1",
        "anonymous": True,
    }
    assert not any(
        secret in str(storage.environment()) for secret in ENVIRONMENT.values() if secret != "true"
    )
    script = f"from ser_ray import storage; print(storage.read_bytes({bucket + '/a'!r}))"
    environment = {"PATH": "/usr/bin", "AWS_EC2_METADATA_DISABLED": "true", **storage.environment()}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == "b'here'\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secret_key": "x"}, "secret_key is a secret, which options would show to all. Put it into the env"),
        ({"aws_session_token": "x"}, "aws_session_token is a secret"),
        ({"endpoint": "minio:9000"}, r"storage\.endpoint: it is like https://host:9000"),
        ({"endpoint": "http://me:word@minio"}, "without a password"),
        ({"encryption": "rot13"}, r"storage\.encryption: "),
        ({"kms_key": "k"}, "kms_key is for encryption=aws:kms"),
        ({"anonymous": True, "profile": "p"}, "anonymous has no profile"),
        ({"retries": 3}, "Options: endpoint, region, profile, anonymous, encryption, kms_key"),
    ],
)
def test_options_that_are_wrong_or_secret_are_refused(given, said):
    with pytest.raises(UsageError, match=said) as refused:
        StorageOptions.of(given)
    assert "word" not in str(refused.value).replace("password", "")


COLUMNS = {"Bucket": "bucket", "Key": "key", "Size": "size", "ETag": "e_tag"}
COLUMNS |= {"IsLatest": "is_latest", "IsDeleteMarker": "is_delete_marker"}
OBJECTS = [
    ("calls", "night/b.wav", 7, "e", True, False),
    ("calls", "night/a 1+2.wav", 5, "e", True, False),
    ("calls", "night/a 1+2.wav", 4, "e", False, False),
    ("calls", "night/gone.wav", None, "e", True, True),
    ("calls", "night/.hidden.wav", 3, "e", True, False),
    ("calls", "night/", 0, "e", True, False),
]


def inventory_files(kind):
    if kind == "Parquet":
        sink = io.BytesIO()
        rows = [dict(zip(COLUMNS.values(), row, strict=True)) for row in OBJECTS]
        pq.write_table(pa.Table.from_pylist(rows), sink)
        return [sink.getvalue()]
    lines = []
    for bucket, key, size, *rest in OBJECTS:
        values = (bucket, quote_plus(key, safe="/"), "" if size is None else size, *rest)
        lines.append(",".join(f'"{str(v).lower()}"' for v in values))
    return [gzip.compress("\n".join(part).encode()) for part in (lines[:2], lines[2:])]


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_an_inventory_tells_the_latest_objects_without_asking_for_them(shaky, kind):
    inventories = shaky.bucket()
    files = inventory_files(kind)
    keys = [f"inv/calls/daily/data/{i}.{kind.lower()}{'.gz' * (kind == 'CSV')}" for i in range(len(files))]
    for key, data in zip(keys, files, strict=True):
        storage.write_bytes(f"{inventories}/{key}", data)
    manifest = f"{inventories}/inv/calls/daily/2026-11-22T00-00Z/manifest.json"
    about = {
        "sourceBucket": "calls",
        "destinationBucket": f"arn:aws:s3:::{inventories[5:]}",
        "fileFormat": kind,
        "fileSchema": ", ".join(COLUMNS),
        "files": [{"key": key} for key in keys],
    }
    storage.write_json(manifest, about)
    shaky.requests.clear()
    assert storage.is_inventory(manifest)
    found = pa.concat_tables(list(storage.read_inventory(manifest))).to_pylist()
    assert [(row["uri"], row["path"], row["size"], row["tag"]) for row in found] == [
        ("s3://calls/night/b.wav", "night/b.wav", 7, "e"),
        ("s3://calls/night/a 1+2.wav", "night/a 1+2.wav", 5, "e"),
    ]
    assert shaky.count("/calls/night") == 0
    storage.write_json(manifest, {**about, "fileFormat": "ORC"})
    with pytest.raises(BadManifest, match=r"is an inventory of ORC files\. Have it made as CSV or Parquet"):
        list(storage.read_inventory(manifest))
    storage.write_json(manifest, {"version": 3})
    with pytest.raises(BadManifest, match="is not the manifest of an S3 Inventory: it lacks 'files'"):
        list(storage.read_inventory(manifest))


def test_a_store_that_renames_gets_its_files_beside_their_place_first(tmp_path):
    """`local://` is fsspec's own way to a disk, and so stands for SFTP and HDFS."""
    place = f"local://{tmp_path}/night"
    storage.write_bytes(f"{place}/a", b"old")
    storage.write_bytes(f"{place}/a", b"new")
    assert (tmp_path / "night" / "a").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "night").iterdir()] == ["a"]
    assert storage.list_folders(f"local://{tmp_path}") == ["night"]
    with storage.new_directory(f"local://{tmp_path}/model") as folder:
        (folder / "members").mkdir()
        (folder / "members" / "svm").write_bytes(b"weights")
    assert [f.path for f in storage.list_files(f"local://{tmp_path}/model")] == ["members/svm"]
