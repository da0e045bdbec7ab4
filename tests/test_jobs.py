"""What a job takes, and the exit codes that a scheduler sees."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ser_ray import cli
from ser_ray.corpora import read_manifest, write_manifest
from ser_ray.errors import BadManifest, OutputConflict, UsageError
from ser_ray.pipelines.job import check_vacant, read_job, run_file
from ser_ray.pipelines.jobs import JOBS, EvaluateJob, ScoreJob, TrainJob

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("verb", JOBS)
def test_example_of_every_job_holds_only_options_that_it_has(verb: str) -> None:
    job = read_job(JOBS[verb], str(ROOT / "jobs" / f"{verb}.yaml"))
    assert isinstance(job, JOBS[verb])


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


@pytest.mark.parametrize("verb", JOBS)
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
