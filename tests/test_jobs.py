"""What a job takes, and the exit codes that a scheduler sees."""

from __future__ import annotations

import datetime
import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ser_ray import cli
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.errors import BadManifest, MissingInput, OutputConflict, RunFailed, StorageFailed, UsageError
from ser_ray.pipelines.benchmark_job import BenchmarkJob
from ser_ray.pipelines.job import Job, check_vacant, read_job, run_file, run_job
from ser_ray.pipelines.jobs import JOBS, EvaluateJob, ScoreJob, TrainJob

ROOT = Path(__file__).parents[1]
SCORE = {"archive": "s3://calls/dt={date}/", "ensemble": "e", "out": "s3://scores/dt={date}"}


KINDS = {**JOBS, "benchmark": BenchmarkJob}


@pytest.mark.parametrize("verb", KINDS)
def test_example_of_every_job_holds_only_options_that_it_has(verb: str) -> None:
    example = ROOT / "jobs" / f"{verb}.yaml"
    assert isinstance(read_job(KINDS[verb], str(example)), KINDS[verb])
    offered = re.findall(r"^# (\w+): ", example.read_text(), re.M)
    assert set(offered) <= KINDS[verb].model_fields.keys()


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("archiv: a", "archiv"),
        ("archive: a\nensemble: b\nout: c\nmax_errors: 7", "max_errors"),
        ("archive: [a", "not YAML"),
        ("just text", "options"),
        ("!!python/object/apply:os.system [exit 3]", "not YAML"),
    ],
)
def test_wrong_job_file_is_bad_usage(
    text: str, mend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "job.yaml").write_text(text)
    assert run_file(ScoreJob, [str(tmp_path / "job.yaml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert mend in said


def test_date_stands_in_all_options_and_they_keep_their_pattern() -> None:
    notify = ["mail", "-s", "scores of {date}", "team"]
    job = ScoreJob.of(**SCORE, date=datetime.date(2026, 11, 22), legs=["{date}", "b"], notify=notify)
    assert (job.date, job.out) == ("2026-11-22", SCORE["out"])
    assert (job.dated.archive, job.dated.out) == ("s3://calls/dt=2026-11-22/", "s3://scores/dt=2026-11-22")
    assert (job.dated.legs, job.dated.notify[2]) == (["2026-11-22", "b"], "scores of 2026-11-22")
    settings = TrainJob.of(
        family="svm", manifest="m", store="s", out="o", settings={"a": ["{date}"]}, date="2024-02-29"
    )
    assert settings.dated.settings == {"a": ["2024-02-29"]}
    before = datetime.datetime.now(datetime.UTC).date()
    named = ScoreJob.of(**SCORE, date="yesterday").date
    after = datetime.datetime.now(datetime.UTC).date()
    assert named in {str(day - datetime.timedelta(days=1)) for day in (before, after)}


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        (SCORE, "archive has {date} and no date is given. Give one like 2026-11-22, or yesterday."),
        ({**SCORE, "date": "22.11.2026"}, "date: '22.11.2026' is not a day. Give one like 2026-11-22"),
        ({**SCORE, "date": "2026-02-30"}, "date: '2026-02-30' is not a day."),
        ({**SCORE, "date": "today"}, "or yesterday."),
        ({**SCORE, "date": ""}, "is not a day"),
        (
            {**SCORE, "date": "2026-11-22", "notify": "https://me@host"},
            "notify: the URL holds a user's name.",
        ),
        ({**SCORE, "date": "2026-11-22", "notify": [1]}, "notify.0: Input should be a valid string."),
        ({**SCORE, "date": "2026-11-22", "out": "ftp://me:pw@host/{date}"}, "out holds a password."),
    ],
)
def test_wrong_night_or_notification_is_refused_with_one_sentence(options: Any, mend: str) -> None:
    with pytest.raises(UsageError, match=re.escape(mend)) as refused:
        ScoreJob.of(**options)
    assert "pw" not in str(refused.value)


class Ending(Job):
    """A job that needs no cluster and ends as its option says."""

    verb = "end"
    identity = ("how",)
    how: str

    def run(self, progress: Any = None) -> dict[str, Any]:
        failures = {
            "wrong": MissingInput("no {date} archive"),
            "throttled": StorageFailed("503", passing=True),
            "too many": RunFailed("11 of 40"),
            "bug": ZeroDivisionError("of ours"),
        }
        if self.how in failures:
            raise failures[self.how]
        return {"did": self.dated.how}


@pytest.mark.parametrize(
    ("how", "code", "error"),
    [
        ("well on {date}", 0, None),
        ("wrong", 2, "no {date} archive"),
        ("throttled", 75, "503"),
        ("too many", 1, "11 of 40"),
        ("bug", 1, "ZeroDivisionError: of ours"),
    ],
)
@pytest.mark.parametrize("hook", [0, 3])
def test_who_is_notified_hears_how_it_ended_and_cannot_change_the_exit_code(
    how: str,
    code: int,
    error: str | None,
    hook: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["sh", "-c", f"cat >> {tmp_path}/told; echo '{{}}'; exit {hook}"]
    job = Ending.of(how=how, date="2026-11-22", notify=command)
    if how == "bug":
        with pytest.raises(ZeroDivisionError):
            run_job(lambda: job)
    else:
        assert run_job(lambda: job) == code
    summary = None if error else {"did": "well on 2026-11-22"}
    told = {"job": "end", "target": job.dated.how, "date": "2026-11-22", "exit_code": code}
    assert json.loads((tmp_path / "told").read_text()) == {**told, "error": error, "summary": summary}
    out, err = capsys.readouterr()
    assert out.splitlines() == ([json.dumps(summary)] if summary else [])  # nothing of the hook's
    warned = "warning: nobody was notified: sh ended with exit code 3: it said nothing."
    printed = [f"error: {error}"] if error and how != "bug" else []
    assert err.splitlines() == [*([warned] if hook else []), *printed]


def test_share_of_errors_may_be_a_percentage() -> None:
    options = {"archive": "a", "ensemble": "b", "out": "c"}
    assert ScoreJob.of(**options, max_errors="2.5%").max_errors == 0.025
    assert ScoreJob.of(**options, max_errors=0.1).max_errors == 0.1


def test_output_that_is_there_is_never_replaced_by_accident(tmp_path: Path) -> None:
    check_vacant(str(tmp_path / "new"), "model.json", overwrite=False)
    check_vacant(str(tmp_path), "model.json", overwrite=False)  # empty
    (tmp_path / ".git").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputConflict, match="not a folder of this kind"):
            check_vacant(str(tmp_path), "model.json", overwrite)
    (tmp_path / "model.json").touch()
    with pytest.raises(OutputConflict, match="--overwrite"):
        check_vacant(str(tmp_path), "model.json", overwrite=False)
    check_vacant(str(tmp_path), "model.json", overwrite=True)


@pytest.mark.parametrize("verb", KINDS)
def test_script_of_every_job_takes_one_yaml(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = str(ROOT / "jobs" / f"{verb}.py")
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 2
    assert f"jobs/{verb}.py CONFIG.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"inner_folds": 0}, "inner_folds"),
        ({"workers": 0}, "workers"),
        ({"checkpoints": "runs"}, "for several workers"),
        ({"stream": True}, "for several workers"),
        ({"log": "paper:here"}, "paper"),
    ],
)
def test_training_options_that_do_not_fit_are_refused(
    corpus: str, local_ray: None, tmp_path: Path, options: dict[str, Any], cause: str
) -> None:
    request = {"family": "mlp", "manifest": corpus, "store": str(tmp_path / "store"), **options}
    with pytest.raises(UsageError, match=cause):
        TrainJob.of(out=str(tmp_path / "model"), **request).run()
    assert not (tmp_path / "store").exists()


def test_evaluation_by_job_file_is_that_of_the_command(
    corpus: str,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"manifest": corpus, "store": str(tmp_path / "store"), "protocol": "speaker", "folds": 2}
    options |= {"target": "svm", "settings": {"C": 3}, "inner_folds": 2, "seed": 3}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump({**options, "out": str(tmp_path / "figures")}))
    assert run_file(EvaluateJob, [str(tmp_path / "job.yaml")]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "figures" / "evaluation.json").read_text()) == summary
    assert (summary["protocol"], summary["seed"], len(summary["folds"])) == ("speaker", 3, 2)
    assert summary["reports"].keys() == {"svm"}
    assert sum(summary["reports"]["svm"]["n"]) == 60
    command = ["evaluate", "svm", corpus, "--store", str(tmp_path / "store"), "--json"]
    command += ["--protocol", "speaker", "--folds", "2", "--set", "C=3", "--inner-folds", "2"]
    monkeypatch.setattr(sys, "argv", ["ser-ray", *command, "--seed", "3"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out) == summary


def test_saved_ensemble_is_evaluated_on_what_it_never_heard(
    corpus: str, deployment: Any, tmp_path: Path
) -> None:
    request = {"target": deployment.ensemble, "store": deployment.store, "protocol": "unseen"}
    with pytest.raises(BadManifest, match="trained the model"):
        EvaluateJob.of(manifest=corpus, **request).run()
    table = read_manifest(corpus)
    other = table.set_column(
        table.schema.get_field_index("id"),
        table.schema.field("id"),
        [[f"other/{i}" for i in table["id"].to_pylist()]],
    )
    write_manifest(other, str(tmp_path / "other.parquet"))
    summary = EvaluateJob.of(manifest=str(tmp_path / "other.parquet"), **request).run()
    assert (summary["protocol"], summary["folds"]) == ("unseen", ("unseen",))
    assert summary["reports"].keys() == {"svm", "random_forest", "rule:paper"}


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"folds": 1}, "folds"),
        ({"protocol": "losso"}, "loso"),
        ({"normalise": "cmn"}, "cmvn"),
        ({"settings": {"D": 1}}, "has a setting 'D'"),
        ({"protocol": "unseen", "settings": {"C": 1}}, "leave out"),
        ({"protocol": "unseen"}, "svm"),
        ({"workers": 2}, "workers"),
    ],
)
def test_wrong_evaluation_is_bad_usage(
    corpus: str,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    mend: str,
) -> None:
    request = {"target": "svm", "manifest": corpus, "store": str(tmp_path / "store"), **options}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(request))
    assert run_file(EvaluateJob, [str(tmp_path / "job.yaml")]) == 2
    said = capsys.readouterr().err
    assert mend in said
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"part": "scor"}, "part: "),
        ({"part": "train", "manifest": "m"}, "store is missing; train needs manifest and store"),
        ({"part": "score", "archive": "a", "ensemble": "e", "trials": 3}, "score has no trials"),
        ({"part": "features", "manifest": "m", "files": 0}, "files"),
    ],
)
def test_wrong_benchmark_is_bad_usage(options: dict[str, Any], mend: str) -> None:
    with pytest.raises(UsageError, match=mend):
        BenchmarkJob.of(**options)


def test_benchmark_by_its_options_and_by_yaml_is_one_job(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"part": "features", "manifest": corpus, "files": 2}))
    script = str(ROOT / "jobs" / "benchmark.py")
    for arguments in ([str(tmp_path / "b.yaml")], ["features", corpus, "--files", "2", "--repeats", "1"]):
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        assert ended.value.code == 0
        figures = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (figures["files"], figures["repeats"]) == (2, 3 if len(arguments) == 1 else 1)
