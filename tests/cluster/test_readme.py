"""The guide and the dashboard speak of what is there: names, files, commands, metrics."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import ray
import typer
from ray.util.metrics import Counter

from ser_ray import cli
from ser_ray.pipelines.job import read_job
from ser_ray.pipelines.jobs import JOBS
from ser_ray.pipelines.metrics import METRICS

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
README = (CLUSTER / "README.md").read_text()
OURS = {f"ray_{name}{'_total' * (kind is Counter)}" for name, (kind, _, _) in METRICS.items()}


def test_names_are_set_once_and_cover_every_file(places: dict[str, str]) -> None:
    (listed,) = re.findall(r"envsubst '([^']+)'", README)
    assert {name.removeprefix("$") for name in listed.split()} == places.keys()
    block = README[README.index("## Names") : README.index("fill()")]
    assert set(re.findall(r"\b([A-Z_]+)=", block)) == places.keys()
    used = set()
    for file in CLUSTER.rglob("*"):
        if file.suffix in (".yaml", ".json") and file.name != "grafana.json":
            used |= set(re.findall(r"\$\{(\w+)\}", file.read_text()))
    assert used == places.keys()


def test_guide_names_only_files_that_are_there() -> None:
    named = set(re.findall(r"cluster/[\w./-]+\w", README))
    assert named
    named |= {f"cluster/{name}" for name in re.findall(r"`((?:kuberay|iam)/[\w./-]+\w)`", README)}
    shell = re.findall(r"for name in ([a-z -]+); do", README)
    named |= {f"cluster/iam/{name}.json" for name in shell[0].split()}
    missing = {name for name in named if not (ROOT / name).exists()} - {"cluster/iam"}
    assert not missing
    scripts = set(re.findall(r"/opt/ser-ray/([\w/]+\.py)", README))
    assert all((CLUSTER / name).exists() or (ROOT / name).exists() for name in scripts)


def _commands() -> list[list[str]]:
    """What the guide's blocks call of ours: the words after `ser-ray`."""
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", README, re.M | re.S)).replace("\\\n", " ")
    found = re.findall(r"^(?:\$ |uv run )?ser-ray (.+)$", blocks, re.M)
    return [shlex.split(words, comments=True) for words in found]


def test_guide_gives_only_verbs_and_options_that_there_are() -> None:
    verbs = typer.main.get_command(cli.app).commands
    assert {words[0] for words in _commands()} >= {"index", "simulate", "train", "fuse", "score", "submit"}
    for verb, *words in _commands():
        options = {option for each in verbs[verb].params for option in each.opts}
        given = {word for word in words if re.fullmatch(r"--?[a-z-]+", word)}
        assert given <= options, (verb, given - options)


def test_laptop_has_each_job_that_it_submits_and_fills_what_the_next_one_reads() -> None:
    section = README[README.index("## Try the whole thing") : README.index("## Names")]
    submitted = re.findall(r"ser-ray submit (\w+) cluster/laptop/(\w+\.yaml)", section)
    jobs = {name: read_job(JOBS[verb], str(CLUSTER / "laptop" / name)) for verb, name in submitted}
    assert jobs.keys() == {file.name for file in (CLUSTER / "laptop").glob("*.yaml")}
    (fused,) = (words for words in _commands() if words[0] == "fuse" and "s3://laptop/ensemble" in words)
    members = {job.out for job in jobs.values() if job.verb == "train"}
    assert members == {word for word in fused if "/models/" in word}
    assert {fused[-1], "s3://laptop/calls"} == {jobs["score.yaml"].ensemble, jobs["score.yaml"].archive}
    assert {job.manifest for job in jobs.values() if job.verb != "score"} == {"s3://laptop/corpus.parquet"}


def test_rows_are_the_same_within_the_tolerance_and_in_all_else_exactly() -> None:
    differences = runpy.run_path(str(CLUSTER / "laptop" / "same.py"))["differences"]
    row = {"status": "ok", "confidence": 0.5, "segments": [{"p": {"anger": 0.5}}], "trend": None}
    assert not differences(row, {**row, "confidence": 0.500001}, "a")
    assert differences(row, {**row, "confidence": 0.5001}, "a") == ["a.confidence: 0.5 and 0.5001"]
    assert differences(row, {**row, "segments": [{"p": {"anger": 0.6}}]}, "a")
    assert differences(row, {**row, "segments": []}, "a")
    assert differences(row, {**row, "trend": 0.0}, "a")


def test_example_of_sizing_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ((command, output),) = re.findall(r"^\$ (ser-ray plan .+)\n([^`]+)```", README, re.M)
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert capsys.readouterr().out == output


def test_files_say_what_they_are_and_name_no_index_of_packages() -> None:
    for file in CLUSTER.rglob("*"):
        if not file.is_file() or "__pycache__" in file.parts:
            continue
        text = file.read_text()
        assert not re.search(r"pypi|simple/|/root|/work/|/home/(?!ubuntu)", text), file
        if file.suffix in (".yaml", ".in") or "Dockerfile" in file.name:
            assert text.startswith("# "), file


def test_dashboard_shows_our_metrics_and_metrics_that_ray_has() -> None:
    board = json.loads((CLUSTER / "grafana.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    asked = set(re.findall(r"\bray_\w+", json.dumps([t["expr"] for p in panels for t in p["targets"]])))
    assert {metric for metric in asked if "ser_ray" in metric} == OURS
    assert set(re.findall(r"ray_ser_ray_\w+", README)) <= OURS
    labels = {name: {*keys, "SessionName"} for name, (_, _, keys) in METRICS.items()}
    for ask in (t["expr"] for p in panels for t in p["targets"] if "ser_ray" in t["expr"]):
        used = set(re.findall(r"(\w+)=", ask)) | set(re.findall(r"by \((\w+)\)", ask))
        for metric in re.findall(r"ray_(ser_ray_\w+)", ask):
            assert used <= labels[metric.removesuffix("_total")], ask
    modules = Path(ray.__file__).parent / "dashboard" / "modules"
    source = "".join(
        file.read_text() for folder in ("metrics", "reporter") for file in (modules / folder).rglob("*.py")
    )
    for metric in asked - OURS:  # reporter's own are named there without the prefix
        assert metric in source or f'"{metric.removeprefix("ray_")}"' in source, metric
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells
        taken |= cells
