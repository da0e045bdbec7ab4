"""Jobs on the laptop's cluster, which asks for a token: submitted once, followed, stopped, and refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
import yaml

from ser_ray.corpora import read_manifest
from ser_ray.pipelines.jobs import ScoreJob
from ser_ray.pipelines.scoring_benchmark import course_of, shards_done
from ser_ray.pipelines.submissions import name_of
from tests.verbs import Ask, verbs

LAPTOP = Path(__file__).parents[1] / "cluster" / "laptop"


TELL = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def head() -> Iterator[dict[str, str]]:
    """The guide's cluster of a laptop, which asks for a token: the environment of who may submit to it."""
    command = [sys.executable, str(LAPTOP / "shell.py"), sys.executable, "-c", TELL]
    shell = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert shell.stdin
    assert shell.stdout
    told = next((line for line in shell.stdout if line.startswith("{")), "")
    assert told, "the cluster does not start; standard error says why"
    yield json.loads(told)
    shell.stdin.close()
    assert shell.wait(120) == 0


@pytest.fixture(scope="module")
def ask(head: dict[str, str]) -> Iterator[Ask]:
    """`ser-ray ARGUMENTS` by somebody with the token: exit code, standard output and standard error."""
    with verbs(head) as ask:

        def discreet(*arguments: object) -> tuple[int, str, str]:
            code, out, err = ask(*arguments)
            assert head["RAY_AUTH_TOKEN"] not in out + err
            return code, out, err

        yield discreet


def _write(path: Path, **options: Any) -> Path:
    path.write_text(yaml.safe_dump(options))
    return path


def _to_bucket(head: dict[str, str], corpus: str, archive: str) -> s3fs.S3FileSystem:
    """Put a corpus and an archive where the guide has them."""
    keys = {"key": head["AWS_ACCESS_KEY_ID"], "secret": head["AWS_SECRET_ACCESS_KEY"]}
    s3 = s3fs.S3FileSystem(endpoint_url=head["AWS_ENDPOINT_URL"], **keys)
    folder = str(Path(corpus).parent)
    s3.put(folder, "laptop/corpus", recursive=True)
    s3.put(archive, "laptop/calls", recursive=True)
    table = read_manifest(corpus)
    places = [f"s3://laptop/corpus{uri.removeprefix(folder)}" for uri in table["uri"].to_pylist()]
    moved = table.set_column(table.column_names.index("uri"), "uri", pa.array(places))
    with s3.open("laptop/corpus.parquet", "wb") as file:
        pq.write_table(moved, file)
    return s3


def _guides(name: str, path: Path, **more: Any) -> Path:
    """A job of the guide, with some more options."""
    return _write(path, **{**yaml.safe_load((LAPTOP / name).read_text()), **more})


@pytest.mark.cluster
def test_jobs_of_the_laptops_guide_run_once_return_their_codes_and_score_as_a_local_run(
    ask: Ask, head: dict[str, str], corpus: str, deployment: Any, tmp_path: Path
) -> None:
    s3 = _to_bucket(head, corpus, deployment.archive)
    extract = _guides("extract.yaml", tmp_path / "e.yaml")
    code, out, err = ask("submit", "extract", extract, "--ship-code", "--storage", "encryption=AES256")
    assert code == 0, err
    assert json.loads(out)["extracted"] == 60
    assert "60/60 utterances" in err
    part = s3.glob("laptop/store/**/*.parquet")[0].removeprefix("laptop/")
    about = s3.call_s3("head_object", Bucket="laptop", Key=part)
    assert about["ServerSideEncryption"] == "AES256"  # the option reached the workers
    code, _, err = ask("submit", "extract", extract)
    assert (code, err.count("\n")) == (2, 1)
    assert "has succeeded" in err
    assert ask("submit", "train", _guides("svm.yaml", tmp_path / "svm.yaml"))[0] == 0
    forest = _guides("random_forest.yaml", tmp_path / "forest.yaml", settings={"trees": 30})
    assert ask("submit", "train", forest)[0] == 0
    members = [f"s3://laptop/models/{family}" for family in ("svm", "random_forest")]
    assert ask("fuse", *members, "-o", "s3://laptop/ensemble")[0] == 0
    tell = ["sh", "-c", f"cat > {tmp_path}/told-{{date}}"]
    score = _guides("score.yaml", tmp_path / "s.yaml", out="s3://laptop/dt={date}", notify=tell)
    code, out, err = ask("submit", "score", score, "--date", "2026-11-22")
    assert json.loads(out)["counts"] == {"listed": 40, "ok": 28, "no_speech": 1, "error": 11}
    assert code == 1  # 11 of 40 calls are damaged: more than 10 %
    message = json.loads((tmp_path / "told-2026-11-22").read_text())
    assert (message["exit_code"], message["summary"]) == (1, json.loads(out))
    name = name_of(ScoreJob.of(**yaml.safe_load(score.read_text()), date="2026-11-22"))
    assert f"error: {name}: 11 of 40 calls failed" in err

    here = str(tmp_path / "scores")
    ScoreJob.of(archive=deployment.archive, ensemble=deployment.ensemble, out=here).run()
    same = [sys.executable, str(LAPTOP / "same.py"), "s3://laptop/dt=2026-11-22", here]
    done = subprocess.run(same, env=head, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.startswith("the same: 40 calls, ")
    course = course_of(shards_done(here))
    assert len(course["calls_per_s_by_parts"]) == 2  # of three shards, the first one begins

    with score.open("a") as more:
        more.write("legs: [bot, caller]\n")
    # It failed: the next attempt, which the far side refuses
    code, out, err = ask("submit", "score", score, "--date", "2026-11-22")
    assert (code, out) == (2, "")
    assert f"error: {name}-r2: " in err
    code, out, _ = ask("status", "--json")
    told = [(each["id"].split("-")[0], each["status"], each["exit_code"]) for each in json.loads(out)]
    wrong, failed, trained = ("score", "FAILED", 2), ("score", "FAILED", 1), ("train", "SUCCEEDED", 0)
    assert told == [wrong, failed, trained, trained, ("extract", "SUCCEEDED", 0)]


@pytest.mark.cluster
def test_running_job_is_not_submitted_twice_outlives_its_follower_and_is_stopped(
    ask: Ask, head: dict[str, str], corpus: str, tmp_path: Path
) -> None:
    options = {"family": "svm", "manifest": corpus, "store": str(tmp_path / "store"), "samples": 500}
    search = _write(tmp_path / "search.yaml", **options, out=str(tmp_path / "tuned"))
    follower = subprocess.Popen(
        [sys.executable, "-m", "ser_ray.cli", "submit", "tune", str(search)],
        env=head, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert follower.stderr
    name, *said = follower.stderr.readline().split()
    assert said == ["is", "submitted"]
    while not follower.stderr.readline().startswith("Running entrypoint"):
        assert follower.poll() is None
    code, _, err = ask("submit", "tune", search, "--again")
    assert code == 2
    assert f"ser-ray stop {name}" in err
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=30)
    assert follower.returncode == 130
    assert f"The job goes on: ser-ray status {name} --follow" in err
    assert json.loads(ask("status", name, "--json")[1])["status"] == "RUNNING"
    code, out, _ = ask("stop", name)
    assert (code, "STOPPED" in out) == (0, True)
    code, out, _ = ask("status", name)
    assert (code, "Running entrypoint" in out) == (0, True)
    code, _, err = ask("status", name, "--follow")
    assert code == 1
    assert "was stopped" in err
    code, out, _ = ask("submit", "tune", search, "--no-wait")  # stopped: the next attempt
    assert (code, out) == (0, f"{name}-r2\n")
    assert ask("stop", f"{name}-r2")[0] == 0
    code, _, err = ask("stop", "tune-of-nobody")
    assert code == 2
    assert "knows no submission 'tune-of-nobody'" in err


@pytest.mark.cluster
@pytest.mark.parametrize("token", [{}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another"}])
def test_who_lacks_the_token_is_told_so(head: dict[str, str], token: dict[str, str]) -> None:
    environment = {k: v for k, v in head.items() if not k.startswith("RAY_AUTH")} | token
    done = subprocess.run(
        [sys.executable, "-m", "ser_ray.cli", "status"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "another" not in done.stderr.replace("another cluster's", "")
