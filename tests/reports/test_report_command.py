"""`ser-ray report`: where it writes the page, and what it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ser_ray import cli
from ser_ray.models import save_model
from ser_ray.models.model import directory_fingerprint
from tests.reports.models import model
from tests.reports.nights import night, write_scores
from tests.reports.searches import write_search


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ser-ray report ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", ["ser-ray", "report", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_report_by_command_writes_beside_the_model_and_leaves_its_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(model(), str(tmp_path / "svm"))
    before = directory_fingerprint(tmp_path / "svm")
    code, out, err = run(capsys, monkeypatch, f"{tmp_path / 'svm'}/")
    assert (code, out, err) == (0, f"page -> {tmp_path / 'svm.html'}\n", "")
    assert "trained model" in (tmp_path / "svm.html").read_text()
    assert directory_fingerprint(tmp_path / "svm") == before
    code, _, _ = run(capsys, monkeypatch, tmp_path / "svm", "-o", tmp_path / "elsewhere" / "page.html")
    assert code == 0
    assert (tmp_path / "elsewhere" / "page.html").exists()


@pytest.mark.parametrize(
    "option", [("--top", "3"), ("--truth", "truth.parquet"), ("--csv", "a.csv"), ("--json",)]
)
def test_options_of_scores_are_refused_for_a_model(
    option: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_model(model(), str(tmp_path / "svm"))
    code, _, err = run(capsys, monkeypatch, tmp_path / "svm", *option)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{option[0]} is for scores" in err
    assert not (tmp_path / "svm.html").exists()


def test_report_by_command_writes_into_the_folder_of_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_search(tmp_path / "search")
    code, _, err = run(capsys, monkeypatch, folder, "--top", "3")
    assert (code, err.count("\n")) == (2, 1)
    assert f"{folder} is a search" in err
    code, out, err = run(capsys, monkeypatch, folder)
    assert (code, out, err) == (0, f"page -> {folder}/report.html\n", "")
    assert "hyperparameter search" in (folder / "report.html").read_text()


def test_report_of_scores_prints_the_short_form_and_writes_page_and_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = write_scores(tmp_path / "scores", night())
    table = tmp_path / "calls.csv"
    code, out, err = run(capsys, monkeypatch, scores, "--csv", table, "--language", "ko")
    assert (code, err) == (0, "")
    assert out.startswith("36 listed = 30 ok + 1 no speech + 5 failed\n")
    assert out.endswith(f"page -> {scores}/report.html\ncsv -> {table}\n")
    assert table.read_text(encoding="utf-8-sig").count("\n") == 37
    assert '<html lang="ko">' in (tmp_path / "scores" / "report.html").read_text()
    code, out, err = run(capsys, monkeypatch, scores, "--json")
    told = json.loads(out)
    assert (code, err, told["counts"]["ok"], told["page"]) == (0, "", 30, f"{scores}/report.html")
    assert told["calls"][0]["reason"].startswith(told["calls"][0]["leg"])
