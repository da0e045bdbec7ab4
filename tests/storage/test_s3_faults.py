"""S3 that is busy, slow, cut off or closed: repeated while that may help, and else one clear error."""

import logging
import re

import pytest

from ser_ray import storage
from ser_ray.errors import MissingInput, StorageFailed
from ser_ray.storage import s3 as patience
from ser_ray.storage.s3 import Buckets
from tests.s3 import ENVIRONMENT, Fault
from tests.storage.conftest import TABLE

ATTEMPTS = 3


@pytest.fixture
def place(shaky, monkeypatch):
    """A folder in a bucket with a file and a table; of faults that do not end, little is waited for."""
    place = shaky.bucket() + "/night"
    storage.write_bytes(f"{place}/a.wav", b"sound" * 1000)
    storage.write_parquet(f"{place}/rows.parquet", TABLE)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", str(ATTEMPTS))
    Buckets.clear_instance_cache()
    shaky.heal()
    return place


def failure(act, *arguments):
    with pytest.raises(StorageFailed) as failed:
        act(*arguments)
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in str(failed.value)
    return failed.value


@pytest.mark.parametrize("status", [503, 500])
def test_a_store_that_fails_for_a_while_is_asked_again_until_it_answers(place, shaky, status, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "5")
    Buckets.clear_instance_cache()
    for act, expected in (
        (lambda: storage.read_bytes(f"{place}/a.wav"), b"sound" * 1000),
        (lambda: [f.path for f in storage.list_files(place)], ["a.wav", "rows.parquet"]),
        (lambda: storage.exists(f"{place}/a.wav"), True),
        (lambda: storage.write_bytes(f"{place}/b.wav", b"b"), None),
    ):
        shaky.faults[:] = [Fault("night", status=status, times=2)]
        assert act() == expected
        assert shaky.faults[0].met == 2
    assert storage.read_bytes(f"{place}/b.wav") == b"b"


@pytest.mark.parametrize(("status", "said"), [(503, "too busy (503"), (500, "failed (500")])
def test_a_store_that_never_recovers_is_given_up_after_so_many_attempts(place, shaky, status, said):
    shaky.faults[:] = [Fault("a.wav", status=status)]
    for act, arguments in ((storage.read_bytes, ()), (storage.write_bytes, (b"new",))):
        shaky.requests.clear()
        error = failure(act, f"{place}/a.wav", *arguments)
        assert said in str(error)
        assert "Run again to go on" in str(error)
        assert (error.passing, error.whole) == (True, True)
        assert len(shaky.requests) == ATTEMPTS  # one layer repeats, and no other repeats that
    shaky.heal()
    assert storage.read_bytes(f"{place}/a.wav") == b"sound" * 1000


def test_a_body_that_is_cut_off_is_read_anew(place, shaky):
    def copied():
        with storage.local_copy(f"{place}/a.wav") as path:
            return path.read_bytes()

    for act, expected in (
        (copied, b"sound" * 1000),
        (lambda: storage.read_bytes(f"{place}/a.wav"), b"sound" * 1000),
        (lambda: storage.read_parquet(f"{place}/rows.parquet"), TABLE),
    ):
        shaky.faults[:] = [Fault("GET .*night", cut=0.6, times=1)]
        assert act() == expected
        assert shaky.faults[0].met == 1
    shaky.faults[:] = [Fault("GET .*a.wav", cut=0.6)]
    error = failure(copied)
    assert "ended before its time" in str(error)
    assert (error.kind, error.passing, error.whole) == ("truncated", True, False)


def test_slow_answers_are_waited_for_and_those_that_never_come_asked_for_again(place, shaky, monkeypatch):
    shaky.faults[:] = [Fault("a.wav", delay_s=0.7)]
    assert storage.read_bytes(f"{place}/a.wav") == b"sound" * 1000
    monkeypatch.setattr(patience, "READ_S", 1)
    Buckets.clear_instance_cache()
    shaky.faults[:] = [Fault("a.wav", delay_s=1.5, times=1)]
    assert storage.read_bytes(f"{place}/a.wav") == b"sound" * 1000
    assert shaky.faults[0].met == 1
    shaky.faults[:] = [Fault("a.wav", delay_s=1.5)]
    error = failure(storage.read_bytes, f"{place}/a.wav")
    assert "the connection to the store of" in str(error)
    assert (error.passing, error.whole) == (True, True)


def test_a_denied_object_is_its_own_trouble(place, shaky):
    shaky.faults[:] = [Fault("a.wav", status=403)]
    for act in (storage.read_bytes, storage.exists, storage.file_info):
        error = failure(act, f"{place}/a.wav")
        assert str(error) == f"no permission for {place}/a.wav. Grant access or choose another place."
        assert (error.kind, error.passing, error.whole) == ("denied", False, False)
    assert storage.read_parquet(f"{place}/rows.parquet") == TABLE


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "ExpiredToken", r"have expired \(ExpiredToken\)\. Renew them"),
        (
            403,
            "InvalidAccessKeyId",
            r"does not take these credentials \(InvalidAccessKeyId\)\. Check AWS",
        ),
        (403, "SignatureDoesNotMatch", r"does not take these credentials \(SignatureDoesNotMatch\)"),
    ],
)
def test_credentials_that_are_no_longer_good_are_the_trouble_of_all(place, shaky, status, code, said):
    shaky.faults[:] = [Fault("night", status=status, code=code)]
    for act in (storage.read_bytes, storage.exists, lambda uri: next(storage.list_files(uri))):
        error = failure(act, f"{place}/a.wav")
        assert re.search(said, str(error))
        assert (error.passing, error.whole) == (False, True)


def test_a_bucket_that_is_not_there_is_said_so(shaky):
    for act in (
        storage.read_bytes,
        storage.read_parquet,
        lambda uri: storage.require(uri, "archive"),
        lambda uri: storage.write_bytes(uri, b"x"),
        lambda uri: next(storage.list_files(uri)),
    ):
        with pytest.raises(MissingInput, match=r"no such bucket: s3://never-made/a\. Check its name, and"):
            act("s3://never-made/a")
    assert not storage.exists("s3://never-made/a")


def test_nobody_at_the_endpoint_and_no_credentials_are_told_apart(shaky, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    Buckets.clear_instance_cache()
    error = failure(storage.read_bytes, "s3://calls/a.wav")
    assert "nobody answers for s3://calls/a.wav; check the endpoint" in str(error)
    assert (error.passing, error.whole) == (True, True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    Buckets.clear_instance_cache()
    error = failure(storage.read_bytes, "s3://calls/a.wav")
    assert "no credentials for s3://calls/a.wav (NoCredentialsError). Set AWS_PROFILE" in str(error)
    assert (error.passing, error.whole) == (False, True)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    Buckets.clear_instance_cache()
    assert "(ProfileNotFound)" in str(failure(storage.read_bytes, "s3://calls/a.wav"))


def test_no_secret_is_logged_or_shown(place, shaky, caplog):
    with caplog.at_level(logging.DEBUG):
        shaky.faults[:] = [Fault("a.wav", status=403, code="SignatureDoesNotMatch")]
        failure(storage.read_bytes, f"{place}/a.wav")
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in caplog.text
    with pytest.raises(MissingInput) as missing:
        storage.read_bytes("memory://me:pass@word@host/a")
    assert "pass" not in str(missing.value)
