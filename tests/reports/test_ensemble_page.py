"""The page of an ensemble: what is fused, and each of its members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ser_ray.fusion import load_ensemble, save_ensemble
from ser_ray.pipelines.fuse import fuse
from ser_ray.reports.model_page import default_page, write_model_page
from tests.reports.models import model, out_of_fold
from tests.reports.pages import Page


@pytest.mark.parametrize("rule", ["soft", "stacking"])
def test_ensemble_has_its_fused_figures_and_those_of_each_member(tmp_path: Path, rule: str) -> None:
    first, second = model(), replace(model(), out_of_fold=out_of_fold(seed=3))
    ensemble, reports = fuse({"one": first, "other": second}, rule, precision=0.05, groups="arousal")
    save_ensemble(ensemble, str(tmp_path / "night"))
    write_model_page(str(tmp_path / "night"), str(tmp_path / "night.html"))
    shown, fused = Page((tmp_path / "night.html").read_text()), reports[f"rule:{rule}"]
    assert shown.facts["UA"].startswith(f"{100 * ensemble.card['metrics']['ua']:.1f} % ")
    assert shown.facts["ECE"].startswith(f"{100 * ensemble.card['metrics']['ece']:.1f} % ")
    assert (shown.facts["Rule"], shown.facts["Members"]) == (rule, "one, other")
    assert shown.facts["Calibration"] == "temperature"
    assert shown.facts["Groups"] == "high: anger; medium: neutral; low: sadness"
    assert shown.facts["Certain"].startswith(
        f"from a confidence of {100 * ensemble.certain_from:.1f} %, for 5 %"
    )
    assert len(shown.all("circle", "precision")) == 1
    rows = [[row[name] for name in ("coverage", "precision")] for row in ensemble.card["selections"]]
    cells = [[f"{100 * share:.1f} %" for share in row] for row in rows]
    assert [[row[0], row[2]] for row in shown.tables["The surest predictions"][1:]] == cells
    assert shown.facts["Fingerprint"] == load_ensemble(str(tmp_path / "night"))[1]
    rows = {row[0]: row[1:] for row in shown.tables["Members, then all of them fused"][1:]}
    for name, report in {
        "one svm": reports["one"],
        "other svm": reports["other"],
        f"fused {rule}": fused,
    }.items():
        assert rows[name] == [str(figure) for figure in (report.ua, report.wa, report.f1, report.ece)]
    diagonal = [row[k + 1].split()[0] for k, row in enumerate(shown.tables[list(shown.tables)[1]][1:])]
    assert diagonal == [str(row[k]) for k, row in enumerate(fused.confusion)]


def test_ensemble_whose_members_share_no_utterance_says_so(tmp_path: Path) -> None:
    ensemble, _ = fuse({"one": model(), "other": model()}, "soft")
    stranger = replace(model(), out_of_fold=replace(out_of_fold(), ids=[f"x{n}" for n in range(9)]))
    save_ensemble(replace(ensemble, members={"one": model(), "other": stranger}), str(tmp_path / "night"))
    write_model_page(str(tmp_path / "night"), str(tmp_path / "night.html"))
    shown = Page((tmp_path / "night.html").read_text())
    assert "This ensemble comes without any" in shown.text
    assert shown.tables["Members, then all of them fused"][1:] == [
        ["one svm", "–", "–", "–", "–"], ["other svm", "–", "–", "–", "–"]
    ]  # fmt: skip


def test_page_of_a_member_goes_beside_its_ensemble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble, _ = fuse({"one": model(), "other": model()}, "soft")
    save_ensemble(ensemble, str(tmp_path / "night"))
    assert default_page(str(tmp_path / "night" / "members" / "one")) == str(tmp_path / "night-one.html")
    assert default_page(str(tmp_path / "members" / "one")) == str(tmp_path / "members" / "one.html")
    assert default_page("s3://models/night/") == "s3://models/night.html"
    monkeypatch.chdir(tmp_path / "night")
    assert default_page(".") == str(tmp_path / "night.html")
