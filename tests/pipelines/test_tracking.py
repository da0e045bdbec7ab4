"""Training figures as TensorBoard and MLflow hold them."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import struct
import sys
from pathlib import Path
from urllib.parse import urlsplit

import fsspec
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from ser_ray import storage
from ser_ray.errors import RunFailed, UsageError
from ser_ray.pipelines.tracking import LOGGER, check_destination, tracker

SETTINGS = {"lr": 0.001, "layers": 2, "attention": True, "features": ["logmel"], "schedule": "cosine"}


def figures(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2.0 / epoch, "held_out_ua": 0.25 * epoch, "lr": 0.5**epoch}


def killed_after(destination: str, name: str, epochs: int) -> None:
    """A training that an interrupt ends."""
    with contextlib.suppress(KeyboardInterrupt), tracker(destination, name, SETTINGS) as track:
        for epoch in range(1, epochs + 1):
            track(figures(epoch))
        raise KeyboardInterrupt


def read_events(folder: str) -> list[Event]:
    """Every event of a folder's files in the order of their names, as TensorBoard reads them."""
    events = []
    for file in storage.list_files(folder):
        content, place = storage.read_bytes(file.uri), 0
        while place < len(content):  # TFRecord: length, its checksum, the data, its checksum
            (length,) = struct.unpack_from("<Q", content, place)
            events.append(Event.FromString(content[place + 12 : place + 12 + length]))
            place += 12 + length + 4
    return events


def shown(folder: str) -> dict[str, dict[int, float]]:
    """What TensorBoard shows: each figure by epoch; a session's start hides its epoch and later ones."""
    curves: dict[str, dict[int, float]] = {}
    for event in read_events(folder):
        if event.session_log.status == SessionLog.START:
            curves = {tag: {k: v for k, v in c.items() if k < event.step} for tag, c in curves.items()}
        for value in event.summary.value:
            if value.HasField("simple_value"):
                curve = curves.setdefault(value.tag, {})
                assert event.step not in curve, f"{value.tag} of epoch {event.step} is there twice"
                curve[event.step] = value.simple_value
    return curves


@pytest.fixture(params=["local", "bucket"])
def folder(request, tmp_path):
    """The same on a disk and in a bucket, for which fsspec's in-memory file system stands."""
    if request.param == "local":
        yield str(tmp_path / "logs")
        return
    fsspec.filesystem("memory").store.clear()
    yield "memory://bucket/logs"
    fsspec.filesystem("memory").store.clear()


def test_tensorboard_holds_every_figure_at_its_epoch_and_the_metrics_at_the_last(folder):
    with tracker(f"tensorboard:{folder}", "crnn-1", SETTINGS) as track:
        track(figures(1))
        assert shown(f"{folder}/crnn-1")["loss"] == {1: 2.0}, "not before the next epoch"
        track(figures(2))
        track.finish({"ua": 0.75})
    expected = {"loss": {1: 2.0, 2: 1.0}, "held_out_ua": {1: 0.25, 2: 0.5}, "lr": {1: 0.5, 2: 0.25}}
    assert shown(f"{folder}/crnn-1") == {**expected, "ua": {2: 0.75}}


def test_tensorboard_holds_the_settings_as_hyperparameters(tmp_path):
    with tracker(f"tensorboard:{tmp_path}", "crnn", SETTINGS) as track:
        track(figures(1))
    (start,) = (
        HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
        for event in read_events(str(tmp_path / "crnn"))
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    )
    assert [start.hparams[key].number_value for key in ("lr", "layers")] == [0.001, 2.0]
    assert start.hparams["attention"].bool_value is True
    assert start.hparams["features"].string_value == "['logmel']"
    assert start.hparams["schedule"].string_value == "cosine"


def test_tensorboard_shows_no_epoch_of_a_resumed_training_twice(folder):
    killed_after(f"tensorboard:{folder}", "crnn", epochs=3)
    with tracker(f"tensorboard:{folder}", "crnn", SETTINGS) as track:
        track({**figures(3), "loss": 0.5})
        track(figures(4))
    assert shown(f"{folder}/crnn")["loss"] == {1: 2.0, 2: 1.0, 3: 0.5, 4: 0.5}


def test_a_training_killed_after_its_last_epoch_keeps_its_curve(folder):
    killed_after(f"tensorboard:{folder}", "crnn", epochs=3)
    with tracker(f"tensorboard:{folder}", "crnn", SETTINGS) as track:
        track.finish({"ua": 0.75})
    curves = shown(f"{folder}/crnn")
    assert list(curves["loss"]) == [1, 2, 3]
    assert list(curves["ua"].values()) == [0.75]


def test_a_model_without_epochs_logs_its_metrics(tmp_path):
    with tracker(f"tensorboard:{tmp_path}", "svm", {"C": 1.0}) as track:
        track.finish({"ua": 0.5})
    assert shown(str(tmp_path / "svm")) == {"ua": {0: 0.5}}


def test_a_destination_that_fails_warns_once_and_gets_what_it_missed_at_the_end(tmp_path, caplog):
    folder = tmp_path / "crnn"
    with tracker(f"tensorboard:{tmp_path}", "crnn", SETTINGS) as track:
        folder.rmdir()
        folder.write_text("in the way")
        track(figures(1))
        track(figures(2))
        folder.unlink()
        folder.mkdir()
        track(figures(4))
        assert shown(str(folder)) == {}, "asked again, which may cost minutes an epoch"
        track.finish({"ua": 0.75})
    assert ["training goes on: NotADirectoryError" in message for message in caplog.messages] == [True]
    assert shown(str(folder))["loss"] == {1: 2.0, 2: 1.0, 4: 0.5}
    assert shown(str(folder))["ua"] == {4: 0.75}


def test_a_destination_that_stays_broken_never_raises(tmp_path, caplog):
    with tracker(f"tensorboard:{tmp_path}", "crnn", SETTINGS) as track:
        (tmp_path / "crnn").rmdir()
        (tmp_path / "crnn").write_text("in the way")
        track(figures(1))
        track(figures(2))
        track.finish({"ua": 0.75})
    assert len(caplog.messages) == 1


def test_a_destination_that_cannot_be_opened_is_refused_before_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed, match=r"takes no log: NotADirectoryError.* leave out --log"):
        tracker(f"tensorboard:{tmp_path / 'file'}", "crnn", SETTINGS)


def test_without_a_destination_nothing_is_logged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracker(None, "crnn", SETTINGS) as track:
        track(figures(1))
        track.finish({"ua": 0.5})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "destination",
    [
        "mlflow:https://anna:hunter2@host",
        "mlflow:https://hunter2@host/path",
        "mlflow:postgresql://anna:hunt/er2@host/db",
        "mlflow:mysql://host/db?user=anna&password=hunter2",
        "mlflow:https://host?access_token=hunter2",
        "tensorboard:s3://anna:hunter2@bucket/logs",
        "https://anna:hunter2@host",
    ],
)
def test_a_secret_in_the_destination_is_refused_and_not_repeated(destination):
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_TOKEN") as caught:
        tracker(destination, "crnn", SETTINGS)
    assert "er2" not in str(caught.value)


@pytest.mark.parametrize("destination", ["wandb:project", "runs", "tensorboard:", "mlflow:", ""])
def test_an_unknown_destination_is_refused_with_the_known_ones(destination):
    with pytest.raises(UsageError, match="tensorboard:URI or mlflow:URI"):
        check_destination(destination)


def test_a_checked_destination_means_the_same_folder_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert check_destination("tensorboard:logs") == f"tensorboard:{tmp_path}/logs"
    assert check_destination("tensorboard:s3://bucket/logs") == "tensorboard:s3://bucket/logs"


def test_a_missing_mlflow_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
    with pytest.raises(UsageError, match=r"^--log mlflow needs the package mlflow.*'ser-ray\[mlflow\]'$"):
        check_destination("mlflow:https://host")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A database with MLflow's tables, which take seconds to make; without MLflow the test is skipped."""
    pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed", exc_type=ImportError)
    path = tmp_path_factory.mktemp("mlflow") / "tables.db"
    with tracker(f"mlflow:sqlite:///{path}", "none", {}):
        pass
    _execute(path, "DELETE FROM tags", "DELETE FROM runs", "DELETE FROM experiments")
    return path


@pytest.fixture
def database(tables, tmp_path):
    """An MLflow database that holds nothing."""
    return f"sqlite:///{shutil.copy(tables, tmp_path)}"


def runs(database: str) -> list:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=database)
    experiment = client.get_experiment_by_name("ser_ray").experiment_id
    return client.search_runs([experiment], order_by=["attributes.start_time ASC"])


def curve(database: str, run, key: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    history = MlflowClient(tracking_uri=database).get_metric_history(run.info.run_id, key)
    return [(metric.step, metric.value) for metric in history]


def test_mlflow_holds_settings_figures_at_their_epochs_and_metrics(database):
    with tracker(f"mlflow:{database}", "crnn", SETTINGS) as track:
        track(figures(1))
        track(figures(2))
        track.finish({"ua": 0.75})
    (run,) = runs(database)
    assert (run.info.run_name, run.info.status) == ("crnn", "FINISHED")
    assert run.data.params == {key: str(value) for key, value in SETTINGS.items()}
    assert curve(database, run, "loss") == [(1, 2.0), (2, 1.0)]
    assert curve(database, run, "held_out_ua") == [(1, 0.25), (2, 0.5)]
    assert curve(database, run, "ua") == [(2, 0.75)]
    assert curve(database, run, "epoch") == [(1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("name", ["crnn", "감정 모델/it's-1"])
def test_mlflow_goes_on_in_the_run_of_a_resumed_training(database, name):
    killed_after(f"mlflow:{database}", name, epochs=3)
    assert [run.info.status for run in runs(database)] == ["FAILED"]
    with tracker(f"mlflow:{database}", name, SETTINGS) as track:
        for epoch in (3, 4):
            track(figures(epoch))
    (run,) = runs(database)
    assert run.info.status == "FINISHED"
    assert [epoch for epoch, _ in curve(database, run, "loss")] == [1, 2, 3, 4]


def test_mlflow_begins_a_new_run_after_a_finished_one_and_for_other_settings(database):
    with tracker(f"mlflow:{database}", "crnn", SETTINGS) as track:
        track(figures(1))
    killed_after(f"mlflow:{database}", "crnn", epochs=1)
    with tracker(f"mlflow:{database}", "crnn", {**SETTINGS, "layers": 3}) as track:
        track(figures(1))
    found = [(run.info.status, run.data.params["layers"]) for run in runs(database)]
    assert found == [("FINISHED", "2"), ("FAILED", "2"), ("FINISHED", "3")]


def test_an_mlflow_that_fails_in_mid_training_gets_what_it_missed_at_the_end(database, caplog):
    path = urlsplit(database).path
    with tracker(f"mlflow:{database}", "crnn", SETTINGS) as track:
        track(figures(1))
        _execute(path, "ALTER TABLE metrics RENAME TO gone")
        track(figures(2))
        track(figures(3))
        _execute(path, "ALTER TABLE gone RENAME TO metrics")
        track.finish({"ua": 0.75})
    ours = [record.message for record in caplog.records if record.name == LOGGER.name]
    assert ["training goes on" in message for message in ours] == [True]
    (run,) = runs(database)
    assert run.info.status == "FINISHED"
    assert [epoch for epoch, _ in curve(database, run, "loss")] == [1, 2, 3]


def _execute(database: str | Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_an_mlflow_server_that_does_not_answer_is_refused_before_the_training(tables, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2")
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(RunFailed, match=f"{server} takes no log") as caught:
            tracker(f"mlflow:{server}", "crnn", SETTINGS)
    assert "hunter2" not in str(caught.value)
