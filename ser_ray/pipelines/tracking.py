"""The figures of a training, epoch by epoch, to TensorBoard or MLflow.

A destination is `tensorboard:URI`, a folder here or in a bucket that gets one folder a training, or
`mlflow:URI`, a tracking server (`https://host`) or a database (`sqlite:////path`). User, password and
token come from MLflow's own environment variables, and so does the time that it gives a server which
does not answer (`MLFLOW_HTTP_REQUEST_MAX_RETRIES`, `MLFLOW_HTTP_REQUEST_TIMEOUT`).
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from ser_ray import storage
from ser_ray.errors import RunFailed, UsageError
from ser_ray.features.extras import require_extra

EXPERIMENT = "ser_ray"  # of MLflow
IDENTITY = "ser_ray.identity"  # tag by which MLflow finds a run again
SECRET = re.compile(r"://[^@]*:[^@]*@|https?://[^/]*@|[?&;][^=&;]*(password|token|secret)[^=&;]*=", re.I)

LOGGER = logging.getLogger(__name__)

Figures = Mapping[str, float]


class Tracker:
    """Called with the figures of each epoch, `epoch` among them; without a log it does nothing.

    A destination that fails costs one warning, never the training. It is not asked again before
    `finish`, which hands over all that it missed.
    """

    def __init__(self, log: _TensorBoard | _Mlflow | None = None) -> None:
        self._log = log
        self._missed: list[Figures] = []
        self._lost = self._warned = False

    def __call__(self, figures: Figures) -> None:
        self._missed.append(dict(figures))
        if not self._lost:
            self._hand_over()

    def finish(self, metrics: Figures) -> None:
        """Log what the training came to, under other names than the figures of its epochs."""
        self._hand_over(metrics)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if self._log and not self._lost:
            with self._forgiving():
                self._log.close(ended=error is None)

    def _hand_over(self, metrics: Figures | None = None) -> None:
        with self._forgiving():
            if self._log:
                for figures in self._missed:
                    if figures["epoch"] > self._log.done:
                        self._log.write(figures)
                if metrics:
                    self._log.write({**metrics, "epoch": self._log.done})
            self._missed, self._lost = [], False

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any kind: MLflow lets those of its database and HTTP packages through
            self._lost = True
            if not self._warned:
                LOGGER.warning("no more figures are logged, training goes on: %s", _line(error))
                self._warned = True


class _TensorBoard:
    """Event files in the folder URI/name, put into a bucket after each epoch.

    They are written in this thread: a full disk would end tensorboardX's own, and then block ours.
    """

    def __init__(self, uri: str, name: str, settings: Mapping[str, Any]) -> None:
        known = (bool, int, float, str)
        self._settings = {k: v if isinstance(v, known) else str(v) for k, v in settings.items()}
        self._uri = storage.join(uri, name)
        self._copy = None if storage.is_local(uri) else TemporaryDirectory(prefix="ser-ray-")
        self._folder = Path(self._copy.name) if self._copy else storage.local_path(self._uri)
        self._folder.mkdir(parents=True, exist_ok=True)
        storage.exists(self._uri)  # a bucket that refuses does so now
        self._events: Any = None
        self.done = 0  # the last epoch that it has

    def write(self, figures: Figures) -> None:
        from tensorboardX.summary import scalar

        epoch = int(figures["epoch"])
        if self._events is None:
            self._begin(epoch)
        for key, value in figures.items():
            if key != "epoch":
                self._add(epoch, summary=scalar(key, value))
        self.done = epoch
        self._events.flush()
        for path in self._folder.iterdir() if self._copy else ():
            storage.write_bytes(storage.join(self._uri, path.name), path.read_bytes())

    def close(self, ended: bool) -> None:
        if self._events:
            self._events.close()
        if self._copy:
            self._copy.cleanup()

    def _begin(self, epoch: int) -> None:
        """A new file, for which TensorBoard forgets this epoch and later ones of older files."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.summary import hparams

        # Files are read in the order of their names, and tensorboardX's hold no more than whole seconds.
        self._events = EventsWriter(str(self._folder / "events"), f".{epoch:06d}")
        if epoch:  # none where nothing but the metrics is left to log
            self._add(epoch, session_log=SessionLog(status=SessionLog.START))
        _, start, _ = hparams(self._settings, {})  # TensorBoard sums the experiment up from all trainings
        self._add(0, summary=start)

    def _add(self, epoch: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        self._events.write_event(Event(wall_time=time.time(), step=epoch, **content))


class _Mlflow:
    """A run of MLflow: the one of this name and these settings that did not finish, or a new one."""

    def __init__(self, uri: str, name: str, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it tells its makers of each run
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where our JSON goes
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        params = {key: str(value) for key, value in settings.items()}
        known = client.search_runs([experiment], f"tags.`{IDENTITY}` = {name!r} and status != 'FINISHED'")
        same = [run for run in known if run.data.params.items() <= params.items()]
        run = same[0] if same else client.create_run(experiment, run_name=name, tags={IDENTITY: name})
        self._run, self.done = run.info.run_id, int(run.data.metrics.get("epoch", 0))
        client.update_run(self._run, status="RUNNING")
        client.log_batch(self._run, params=[Param(key, value) for key, value in params.items()])

    def write(self, figures: Figures) -> None:
        from mlflow.entities import Metric

        epoch, now = int(figures["epoch"]), int(1000 * time.time())
        new = {key: value for key, value in figures.items() if key != "epoch" or epoch > self.done}
        metrics = [Metric(key, float(value), now, epoch) for key, value in new.items()]
        self._client.log_batch(self._run, metrics=metrics)
        self.done = epoch

    def close(self, ended: bool) -> None:
        self._client.set_terminated(self._run, "FINISHED" if ended else "FAILED")


LOGS: dict[str, type[_TensorBoard | _Mlflow]] = {"tensorboard": _TensorBoard, "mlflow": _Mlflow}


def check_destination(destination: str) -> str:
    """The destination, a local folder made absolute; nothing is opened.

    Raises:
        UsageError: no such kind, a missing package, or a secret in it, which the message does not repeat.
    """
    kind, _, uri = destination.partition(":")
    if SECRET.search(destination):
        raise UsageError(
            "--log holds a password or token. Leave it out: MLflow reads MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    if kind not in LOGS or not uri:
        raise UsageError(f"--log takes tensorboard:URI or mlflow:URI, not {destination!r}.")
    if kind == "mlflow":
        require_extra("mlflow", "mlflow", "--log mlflow")
        return destination
    return f"{kind}:{storage.absolute(uri)}"


def tracker(destination: str | None, name: str, settings: Mapping[str, Any]) -> Tracker:
    """A tracker of one training, for a `with` block around it.

    Args:
        destination: see the module; None: the figures go nowhere.
        name: of the training: one that resumes goes on under it, and no epoch is there twice.
        settings: hyperparameters.

    Raises:
        UsageError: see `check_destination`.
        RunFailed: the destination cannot be opened; nothing is trained yet, so nothing is lost.
    """
    if destination is None:
        return Tracker()
    kind, _, uri = check_destination(destination).partition(":")
    try:
        return Tracker(LOGS[kind](uri, name, settings))
    except Exception as error:  # of any kind, as in `Tracker`
        raise RunFailed(
            f"{destination} takes no log: {_line(error)}. Check it, or leave out --log."
        ) from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
