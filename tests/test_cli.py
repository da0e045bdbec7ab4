"""The command line as its user meets it: exit codes, one clear line, JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ser_ray import cli
from ser_ray.corpora import read_manifest


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `ser-ray ARGUMENTS`, in this process."""
    monkeypatch.setattr(sys, "argv", ["ser-ray", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


VERBS = [c.name or c.callback.__name__ for c in cli.app.registered_commands]  # type: ignore[union-attr]


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_has_an_example(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, verb, "--help")
    assert code == 0
    assert f"Example: ser-ray {verb}" in " ".join(out.split())


def bad_requests(corpus: str, ensemble: str, tmp: Path) -> dict[str, tuple[list[object], str]]:
    """Wrong requests by name: arguments, and a word of the mend."""
    (tmp / "empty").mkdir()
    (tmp / "text.parquet").write_text("not parquet")
    (tmp / "labels.csv").write_text("path,mood\na.wav,angry\n")
    (tmp / "unknown.csv").write_text("path,emotion\na.wav,angry\nb.wav,grumpy\n")
    (tmp / "occupied").mkdir()
    (tmp / "occupied" / "thesis.txt").write_text("mine")
    table = pq.read_table(corpus)
    pq.write_table(table.drop(["uri"]), tmp / "no-uri.parquet")
    pq.write_table(pa.concat_tables([table, table]), tmp / "twice.parquet")
    (tmp / "space.yaml").write_text("C: {low: 10, high: 1}\n")
    (tmp / "night.yaml").write_text("archive: s3://calls\nensemble: s3://e\nout: s3://scores\n")
    (tmp / "here.yaml").write_text("archive: s3://calls\nensemble: s3://e\nout: scores\n")
    (tmp / "best.yaml").write_text("family: mlp\nsettings: {}\n")
    s, o = ["--store", tmp / "store"], ["-o", tmp / "out"]
    return {
        "no verb like it": (["scores"], "No such command"),
        "missing option": (["fuse", "a", "b"], "--output"),
        "corpus": (["index", "emodbb", tmp, *o], "emodb"),
        "no folder": (["index", "emodb", tmp / "gone", *o], "not found"),
        "empty folder": (["index", "emodb", tmp / "empty", *o], "03a01Fa.wav"),
        "csv column": (["index", "csv", tmp / "labels.csv", *o], "--map emotion="),
        "csv label": (["index", "csv", tmp / "unknown.csv", *o], "--label grumpy="),
        "variant": (["index", "savee", tmp / "empty", *o, "--variant", "5class"], "7class"),
        "audit protocol": (["audit", corpus, "--protocol", "losso"], "loso"),
        "audit without sessions": (["audit", corpus, "--protocol", "session"], "have no session"),
        "augmentation": (["augment", corpus, *o, "-a", "sped"], "speed"),
        "augmentation's parameter": (["augment", corpus, *o, "-a", "speed(factor=0)"], "factor=0"),
        "frames for vectors": (["train", "svm", corpus, *s, *o, "-f", "logmel"], "a network"),
        "normalisation": (["train", "svm", corpus, *s, *o, "--normalise", "cmn"], "cmvn"),
        "no checkpoint": (["extract", corpus, *o, "-f", "wav2vec"], "checkpoint="),
        "map form": (["index", "csv", tmp / "labels.csv", *o, "--map", "emotion"], "NAME=VALUE"),
        "no manifest": (["extract", tmp / "gone.parquet", *o], "not found"),
        "no parquet": (["extract", tmp / "text.parquet", *o], "ser-ray index"),
        "lacks a column": (["extract", tmp / "no-uri.parquet", *o], "'uri'"),
        "ids twice": (["extract", tmp / "twice.parquet", *o], "more than once"),
        "feature": (["extract", corpus, *o, "-f", "mfc"], "mfcc"),
        "parameter": (["extract", corpus, *o, "-f", "mfcc(size=3)"], "size"),
        "family": (["train", "forest", corpus, *s, *o], "random_forest"),
        "setting": (["train", "svm", corpus, *s, *o, "--set", "D=1"], "C"),
        "band": (["train", "svm", corpus, *s, *o, "--band", "phone"], "telephone"),
        "another family's settings": (
            ["train", "svm", corpus, *s, *o, "--config", tmp / "best.yaml"],
            "of the family mlp",
        ),
        "tune nothing": (["tune", corpus, *s, *o], "give a family and a manifest"),
        "tune nowhere": (["tune", "svm", corpus, *s], "-o is missing"),
        "tune a space": (["tune", "svm", corpus, *s, *o, "--space", tmp / "space.yaml"], "from 10 to 1"),
        "tune all fixed": (["tune", "svm", corpus, *s, *o, "--set", "C=1", "--set", "gamma=1"], "nothing"),
        "go on with what is no search": (
            ["tune", "svm", corpus, *s, "-o", tmp / "occupied", "--resume"],
            "another -o",
        ),
        "fusion of nobody": (["tune", "fusion", corpus, *s, *o], "tuned of members"),
        "members of no fusion": (["tune", "svm", corpus, *s, *o, "--members", "svm"], "for the fusion"),
        "too small a contest": (["tune", "--all", corpus, *s, *o, "--samples", "5"], "too few"),
        "occupied output": (["train", "svm", corpus, *s, "-o", tmp / "occupied"], "another -o"),
        "rule": (["fuse", "a", "b", *o, "--rule", "papers"], "paper"),
        "one model": (["fuse", tmp / "empty", *o], "two models"),
        "no model": (["fuse", tmp / "empty", tmp / "occupied", *o], "model.json"),
        "protocol": (["evaluate", "svm", corpus, *s, "--protocol", "losso"], "loso"),
        "no target": (["evaluate", tmp / "gone", corpus, *s], "svm"),
        "no archive": (["score", tmp / "gone", "-m", ensemble, *o], "not found"),
        "no call": (["score", tmp / "empty", "-m", ensemble, *o], "no recording"),
        "no ensemble": (["score", tmp / "empty", "-m", tmp / "empty", *o], "ensemble.json"),
        "max errors": (["score", tmp, "-m", tmp, *o, "--max-errors", "many"], "max_errors"),
        "night": (["score", tmp / "{date}", "-m", tmp, *o], "archive has {date} and no date is given"),
        "date": (["score", tmp / "{date}", "-m", tmp, *o, "--date", "monday"], "2026-11-22"),
        "keep days": (["score", tmp, "-m", tmp, *o, "--keep-days", "9"], "{date} in out"),
        "notify": (["score", tmp, "-m", tmp, *o, "--notify", "https://me:pw@host"], "environment"),
        "night of a job": (["submit", "score", tmp / "night.yaml", "--date", "monday"], "2026-11-22"),
        "legs": (["score", tmp, "-m", tmp, *o, "--legs", "a,a"], "legs"),
        "certain from": (["score", tmp, "-m", tmp, *o, "--certain-from", "72"], "certain-from"),
        "smoothing": (["score", tmp, "-m", tmp, *o, "--smooth", "mean"], "median"),
        "calls": (["simulate", corpus, *o, "--calls", "0"], "at least one call"),
        "codec": (["simulate", corpus, *o, "--codec", "ulaw"], "mulaw"),
        "no dashboard": (["submit", "score", tmp / "night.yaml"], "--address"),
        "dashboard's port": (["status", "--address", "ray://head:10001"], "http://HEAD:8265"),
        "relative output": (["submit", "score", tmp / "here.yaml"], "begins with /"),
        "job of another verb": (["submit", "train", tmp / "night.yaml"], "family"),
        "follow all": (["status", "--follow", "--address", "http://head"], "--follow needs"),
        "no scores": (["report", tmp / "empty"], "run.json"),
        "demo in a used folder": (["demo", tmp / "occupied"], "another"),
    }


def test_wrong_requests_end_with_code_2_and_one_line_that_says_the_mend(
    corpus: str,
    deployment: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = bad_requests(corpus, deployment.ensemble, tmp_path)
    before = sorted(p for p in tmp_path.rglob("*") if "store" not in p.parts)
    wrong = {}
    for name, (arguments, mend) in requests.items():
        code, _, err = run(capsys, monkeypatch, *arguments)
        if code != 2 or err.count("\n") != 1 or not err.startswith("error: ") or mend not in err:
            wrong[name] = (code, err)
    assert wrong == {}
    assert sorted(p for p in tmp_path.rglob("*") if "store" not in p.parts) == before


def test_index_extract_train_fuse_evaluate_score_report_by_command(
    corpus: str,
    deployment: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ok(*arguments: object) -> str:
        code, out, err = run(capsys, monkeypatch, *arguments)
        assert code == 0, err
        return out

    rows = read_manifest(corpus).to_pylist()
    lines = [f"{r['uri']};{r['emotion']};{r['speaker']}" for r in rows]
    (tmp_path / "labels.csv").write_text("\n".join(["file;mood;who", *lines]))
    manifest, store = tmp_path / "corpus.parquet", tmp_path / "store"
    columns = ["--map", "uri=file", "--map", "emotion=mood", "--map", "speaker=who"]
    index = json.loads(ok("index", "csv", tmp_path / "labels.csv", "-o", manifest, *columns, "--json"))
    assert (index["utterances"], index["speakers"]) == (60, 5)
    extracted = json.loads(ok("extract", manifest, "-o", store, "-f", "mfcc_stats", "--json"))
    assert extracted["extracted"] == 60
    common = [manifest, "--store", store, "--json"]
    for family, setting in (("svm", "C=5"), ("random_forest", "trees=20")):
        trained = json.loads(
            ok("train", family, *common, "-o", tmp_path / family, "--set", setting, "--band", "telephone")
        )
        assert trained["band"] == "telephone"
    members = [tmp_path / "svm", tmp_path / "random_forest"]
    own = ["--precision", "0.6", "--groups", "negative=anger+sadness,rest=neutral"]
    fused = ok("fuse", *members, "-o", tmp_path / "ensemble", "--rule", "soft", *own)
    assert "rule soft (chosen)" in fused
    assert "confidence from" in fused
    assert ", for 60 % right; on speakers held out" in fused
    code, _, err = run(capsys, monkeypatch, "fuse", *members, "-o", tmp_path / "ensemble")
    assert code == 2
    assert "--overwrite" in err
    evaluated = ok("evaluate", tmp_path / "ensemble", manifest, "--store", store, "-o", tmp_path / "figures")
    assert "verdict: speaker-independent" in evaluated
    score = ["score", deployment.archive, "-m", tmp_path / "ensemble", "-o", tmp_path / "scores"]
    code, out, err = run(capsys, monkeypatch, *score)
    assert code == 1
    assert "--max-errors" in err
    assert "40 listed = 28 ok + 1 no speech + 11 failed" in out
    assert json.loads(ok(*score, "--max-errors", "30%", "--json"))["counts"]["error"] == 11
    ensemble = json.loads((tmp_path / "scores" / "run.json").read_text())["ensemble"]
    assert ensemble["groups"] == {"negative": ["anger", "sadness"], "rest": ["neutral"]}
    assert 0 < ensemble["certain_from"] < 1
    code, _, err = run(capsys, monkeypatch, *score, "--smooth", "hmm")
    assert (code, "option" in err) == (2, True)  # the calls would be heard in another way
    reported = ok("report", tmp_path / "scores", "--truth", Path(deployment.archive) / "truth.parquet")
    assert "segments against the truth" in reported
    assert ("of the segments are certain; of these" in reported) == _some_uncertain(tmp_path / "scores")
    assert "calls hold anger" in reported
    assert "<svg" in (tmp_path / "scores" / "report.html").read_text()


def _some_uncertain(scores: Path) -> bool:
    return not all(pq.read_table(scores / "segments")["certain"].to_pylist())


def test_tune_train_with_what_it_found_and_report_by_command(
    corpus: str,
    local_ray: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, store = tmp_path / "tuned", tmp_path / "store"
    (tmp_path / "space.yaml").write_text("C: [1, 10]\n")
    tune = ["tune", "svm", corpus, "--store", store, "-o", out, "--inner-folds", 2, "--set", "gamma=0.5"]
    tune += ["--space", tmp_path / "space.yaml"]
    code, said, err = run(capsys, monkeypatch, *tune, "--resume")  # from where there is nothing yet too
    assert code == 0, err
    assert "2 trials to the end, 0 stopped, 0 failed" in said
    assert "2/2 trials" in err
    assert "<svg" in (out / "report.html").read_text()
    code, _, err = run(capsys, monkeypatch, *tune)
    assert code == 2
    assert "--resume goes on with it, or pass --overwrite" in err
    code, again, _ = run(capsys, monkeypatch, *tune, "--resume", "--json")
    assert (code, json.loads(again)["trials"]["done"]) == (0, 2)
    config = ["--store", store, "--config", out / "best.yaml", "--inner-folds", 2]
    code, _, err = run(capsys, monkeypatch, "train", "svm", corpus, "-o", tmp_path / "svm", *config)
    assert code == 0, err
    found = json.loads(again)["best"]["settings"]
    assert json.loads((tmp_path / "svm" / "model.json").read_text())["settings"] == found
    assert found["gamma"] == 0.5
    contest = ["tune", "--all", "--families", "svm,random_forest", corpus, "--store", store, "--samples", 2]
    code, said, err = run(capsys, monkeypatch, *contest, "-o", tmp_path / "all", "--inner-folds", 2)
    assert code == 0, err
    assert sum(line.lstrip().startswith(("svm", "random_forest")) for line in said.splitlines()) == 3
    assert "/best" in said


def test_audit_says_what_each_protocol_lets_through(
    corpus: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, "audit", corpus, "--json")
    told = json.loads(out)
    assert code == 0
    shares = {a["protocol"]: a["crossings"]["speaker"]["share"] for a in told["audits"]}
    assert shares == {"random": 1.0, "random70": 1.0, "kfold": 1.0, "twin_safe": 1.0, "speaker": 0, "loso": 0}
    assert set(told["not_possible"]) == {"session", "official"}
    code, out, _ = run(capsys, monkeypatch, "audit", corpus, "--protocol", "loso")
    assert code == 0
    assert "loso: speaker-independent" in out


def test_augment_adds_copies_that_extract_takes_and_refuses_to_copy_twice(
    corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = tmp_path / "more.parquet"
    wanted = ["-a", "speed(factor=.8)", "-a", "noise(snr_db=5) + gain(db=-3)", "--copies", 2]
    code, out, _ = run(capsys, monkeypatch, "augment", corpus, "-o", more, *wanted, "--json")
    assert (code, json.loads(out)["copies"]) == (0, 240)
    assert read_manifest(str(more))["source_id"].null_count == 60
    code, _, err = run(capsys, monkeypatch, "augment", more, "-o", tmp_path / "twice.parquet", *wanted)
    assert code == 2
    assert "holds augmented copies" in err


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        ("index", "iemocap"),
        ("extract", "is09_lld("),
        ("augment", "reverb("),
        ("pretrain", "crop_s"),
        ("train", "cnn2d_bilstm("),
        ("tune", "xgboost"),
    ],
)
def test_verbs_list_what_they_know(
    verb: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run(capsys, monkeypatch, verb, "--list")
    assert code == 0
    assert any(line.startswith(name) for line in out.splitlines())


def test_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "ser_ray.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "simulate" in done.stdout
