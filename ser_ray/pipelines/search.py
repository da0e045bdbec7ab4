"""A search through a space by Ray Tune: its searchers, its schedulers, its trials.

A search that was broken off is gone on with from its records (see `trials`): what they hold is told to the
searcher and to the scheduler, and never run again.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the records are ours
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # and so is going on from them
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # which tells of itself whatever the verbosity
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # an interrupt ends a search at once

import optuna
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, PopulationBasedTraining, TrialScheduler
from ray.tune.search import BasicVariantGenerator
from ray.tune.search.optuna import OptunaSearch

from ser_ray import storage
from ser_ray.errors import RunFailed, SerRayError, UsageError
from ser_ray.models.space import Settings, Space
from ser_ray.pipelines.cluster import Progress, connect, count_gpus, is_lost, quiet
from ser_ray.pipelines.tracking import Tracker
from ser_ray.pipelines.trials import METRIC, WORK, Objective, Records, Trial, try_settings

Searcher = Literal["optuna", "random", "grid"]
Scheduler = Literal["asha", "pbt", "none"]

RUNGS = (1, 3, 9)  # ninths of the training after which ASHA compares
STEPS = 8  # of the training after which PBT compares
# What PBT may change while a network is trained.
MUTABLE = ("lr", "weight_decay", "clip", "label_smoothing", "mixup", "specaugment")


@dataclass(frozen=True)
class SearchOptions:
    """How a space is searched.

    Attributes:
        samples: trials; a grid has as many as it has.
        searcher: `optuna` (TPE), `random` or `grid`.
        scheduler: `asha` ends early what does not promise much; `pbt` trains a population that copies its
            best; `none` trains everything to the end.
        points: values of each range in a grid.
        time_s: seconds after which no more is tried; None: no limit.
        at_once: trials side by side; None: as many as the cluster has CPUs or GPUs for.
        gpu_share: of a GPU for each trial of a network, where the cluster has any.
        seed: of the draws.
    """

    samples: int = 50
    searcher: Searcher = "optuna"
    scheduler: Scheduler = "asha"
    points: int = 3
    time_s: float | None = None
    at_once: int | None = None
    gpu_share: float = 1.0
    seed: int = 0


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Ray Tune and Optuna from telling what the progress and the records tell."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "optuna")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@_silent()
def search(
    objective: Objective,
    space: Space,
    folder: str,
    options: SearchOptions,
    staged: bool = False,
    deep: bool = False,
    first: Sequence[Settings] = (),
    progress: Progress = quiet,
    track: Tracker | None = None,
) -> list[Trial]:
    """Search, or go on with a search, until it has as many trials as wanted.

    Args:
        objective: tried in each trial, a Ray actor of one CPU.
        space: what is searched; `fixed` is the objective's business.
        folder: of the records.
        options: how.
        staged: the objective can be tried before its end.
        deep: it trains networks; a trial takes its share of a GPU where there are any.
        first: settings that are tried before all others, where they lie within the space.
        progress: told the number of trials.
        track: told the UA of each trial.

    Returns:
        All trials on record, the earlier ones too.

    Raises:
        UsageError: a scheduler that does not fit.
        BadStore: a record is corrupt.
        RunFailed: every trial failed; the message has the last cause.
    """
    records = Records(folder, progress, track)
    scheduler = options.scheduler if staged else "none"
    mutable = [name for name in space.searched if name in MUTABLE]
    if options.scheduler == "pbt" and not (staged and deep and mutable):
        raise UsageError(
            f"pbt changes {', '.join(MUTABLE)} of a network while it is trained, and none of them is "
            "searched here. Use --scheduler asha."
        )
    queue = _queue(space, options, first)
    wanted = (len(queue) if _exhausts(space, options) else options.samples) - len(records.trials)
    records.total = max(wanted, 0) + len(records.trials)
    progress(len(records.trials), records.total, "trials")
    if wanted <= 0:
        return records.checked()
    cpus, gpus = connect(), count_gpus() if deep else 0
    most = max(1, int(gpus / options.gpu_share) if gpus else cpus)
    config = tune.TuneConfig(
        metric=METRIC if scheduler == "pbt" else None,  # the others have it already
        mode="max" if scheduler == "pbt" else None,
        num_samples=wanted,
        max_concurrent_trials=None if scheduler == "pbt" else min(options.at_once or most, most),
        time_budget_s=options.time_s,
        reuse_actors=True,
        scheduler=_scheduler(scheduler, space, mutable, records.trials, options.seed),
        search_alg=BasicVariantGenerator(points_to_evaluate=queue, random_state=options.seed)
        if scheduler == "pbt"
        else searcher_of(space, options, queue, records.trials),
    )
    work = {"asha": RUNGS, "pbt": tuple(range(1, STEPS + 1))}.get(scheduler, (1,))
    with tempfile.TemporaryDirectory(prefix="ser-ray-tune-") as scratch:
        shared = storage.arrow_filesystem(storage.join(folder, "population")) if scheduler == "pbt" else None
        run = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(try_settings, objective=objective, work=work, keeps=scheduler == "pbt"),
                {"cpu": 1, "gpu": options.gpu_share} if gpus else {"cpu": 1},
            ),
            param_space=domains_of(space) if scheduler == "pbt" else {},
            tune_config=config,
            run_config=tune.RunConfig(
                name="search",
                storage_path=shared[1] if shared else scratch,
                storage_filesystem=shared[0] if shared else None,
                callbacks=[records],
                verbose=0,
            ),
        )
        try:
            run.fit()
        except Exception as error:  # Ray raises what a callback of ours met as an error of its own
            cause: BaseException | None = error
            while cause and not isinstance(cause, SerRayError):
                cause = cause.__cause__
            lost = is_lost(error)
            raise cause or RunFailed(f"the search broke off: {error}. --resume goes on.", lost) from error
        finally:
            if scheduler == "pbt":
                storage.remove(storage.join(folder, "population"))
    return records.checked()


@_silent()
def importance(space: Space, trials: Sequence[Trial]) -> dict[str, float] | None:
    """What share of the differences in UA each setting explains (fANOVA); None where that cannot be said."""
    done = [t for t in trials if t.status == "done"]
    if len(done) < 10 or len({t.ua for t in done}) < 2 or len(space.searched) < 2:
        return None
    distributions = OptunaSearch.convert_search_space(domains_of(space))
    study = optuna.create_study(direction="maximize")
    for trial in done:
        study.add_trial(
            optuna.trial.create_trial(params=trial.settings, distributions=distributions, value=trial.ua)
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return {
        k: float(v) for k, v in optuna.importance.get_param_importances(study, evaluator=evaluator).items()
    }


def domains_of(space: Space) -> dict[str, Any]:
    """The space as Ray Tune has it."""
    made: dict[str, Callable[[Mapping[str, Any]], Any]] = {
        "log": lambda d: tune.loguniform(d["low"], d["high"]),
        "float": lambda d: tune.uniform(d["low"], d["high"]),
        "int": lambda d: tune.randint(d["low"], d["high"] + 1),
        "choice": lambda d: tune.choice(list(d["choices"])),
    }
    return {name: made[d["type"]](d) for name, d in space.searched.items()}


def _exhausts(space: Space, options: SearchOptions) -> bool:
    """Whether all combinations are tried: in a grid, and where choices leave no more than were asked for."""
    choices = all(d["type"] == "choice" for d in space.searched.values())
    return options.searcher == "grid" or (choices and space.grid_size(1) <= options.samples)


def _queue(space: Space, options: SearchOptions, first: Sequence[Settings]) -> list[Settings]:
    """What is tried before the searcher is asked."""
    if _exhausts(space, options):
        return list(space.grid(options.points))
    return [settings for settings in first if space.holds(settings)]


def searcher_of(
    space: Space, options: SearchOptions, queue: Sequence[Settings], known: Sequence[Trial]
) -> OptunaSearch:
    """Optuna, told of what is known."""
    seed = options.seed + 1000 * len(known)  # or a search that goes on would draw the same again
    samplers: dict[str, Any] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "optuna": lambda: optuna.samplers.TPESampler(seed=seed, constant_liar=True),
    }
    done = [t.settings for t in known]
    searcher = OptunaSearch(
        OptunaSearch.convert_search_space(domains_of(space)),
        metric=METRIC,
        mode="max",
        sampler=samplers.get(options.searcher, samplers["random"])(),
        points_to_evaluate=[settings for settings in queue if settings not in done],
    )
    for trial in known:
        searcher.add_evaluated_point(trial.settings, trial.ua, error=trial.ua is None)
    return searcher


def _scheduler(
    name: Scheduler, space: Space, mutable: Sequence[str], known: Sequence[Trial], seed: int
) -> TrialScheduler | None:
    if name == "asha":
        asha = AsyncHyperBandScheduler(
            time_attr=WORK, grace_period=RUNGS[0], reduction_factor=RUNGS[1], max_t=RUNGS[-1]
        )
        asha.set_search_properties(METRIC, "max")
        for trial in known:
            stub = SimpleNamespace(trial_id=f"known-{trial.number}")
            asha.on_trial_add(None, stub)
            for work, ua in trial.rungs:
                asha.on_trial_result(None, stub, {WORK: work, METRIC: ua})
        return asha
    if name == "pbt":
        domains = domains_of(space)
        return PopulationBasedTraining(
            time_attr=WORK,
            perturbation_interval=1,
            hyperparam_mutations={name: domains[name] for name in mutable},
            synch=False,
        )
    return None
