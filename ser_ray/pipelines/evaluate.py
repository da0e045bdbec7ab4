"""Evaluation: members and fusion rules side by side under a protocol, folds in parallel on Ray.

Every fold trains anew on its training rows alone: standardisation, calibration, fusion weights and
stacking never see a test row. The protocol `unseen` instead takes a saved model as it is to a corpus
that it never heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import storage
from ser_ray.corpora.manifest import labelled
from ser_ray.corpora.splits import Fold, check_protocol, speaker_independent, split
from ser_ray.errors import BadManifest, UsageError
from ser_ray.evaluation import Report, measure
from ser_ray.features import Band, Feature
from ser_ray.fusion import RULES, STACKING, Ensemble, fit_fusion, load_ensemble
from ser_ray.models import FAMILIES, family
from ser_ray.models.training import fit
from ser_ray.pipelines.cluster import Progress, connect, parallel_map, quiet
from ser_ray.pipelines.train import Dataset, chosen_features, load_dataset

UNSEEN = "unseen"


@dataclass(frozen=True)
class Candidate:
    """One member to be evaluated: a family with its settings and features."""

    family: str
    settings: Mapping[str, Any]
    features: tuple[Feature, ...]


@dataclass(frozen=True)
class Evaluation:
    """Reports by name (members first, then `rule:NAME`), and what they were measured on."""

    protocol: str
    folds: tuple[str, ...]
    seed: int
    corpora: tuple[str, ...]
    verdict: str
    reports: dict[str, Report]
    predictions: pa.Table

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json` and for the file."""
        names = ("protocol", "folds", "seed", "corpora", "verdict")
        plain = {name: getattr(self, name) for name in names}
        return {**plain, "reports": {name: asdict(report) for name, report in self.reports.items()}}

    def save(self, uri: str) -> None:
        """Write evaluation.json and predictions.parquet into a folder."""
        storage.write_json(storage.join(uri, "evaluation.json"), self.to_dict())
        storage.write_parquet(storage.join(uri, "predictions.parquet"), self.predictions)


def candidates_of(target: str, specs: Sequence[str] = (), band: Band | None = None) -> dict[str, Candidate]:
    """Members named by families (`svm,xgboost`), or those of a model or ensemble directory.

    Raises:
        UnknownName: neither a family nor a directory.
        UsageError: features were given for a directory, which has its own.
    """
    names = target.split(",")
    if not all(name in FAMILIES for name in names) and storage.exists(target):
        if specs or band:
            raise UsageError("a saved model has its own features and band; leave out --feature and --band.")
        ensemble, _ = load_ensemble(target)
        return {n: Candidate(m.family, m.settings, m.features) for n, m in ensemble.members.items()}
    return {n: Candidate(n, family(n).settings({}), chosen_features(n, specs, band)) for n in names}


def evaluate(
    candidates: Mapping[str, Candidate],
    manifest: pa.Table,
    store: str,
    protocol: str,
    folds: int = 5,
    seed: int = 0,
    progress: Progress = quiet,
) -> Evaluation:
    """Evaluate members, and with two or more of them every fusion rule.

    Args:
        candidates: from `candidates_of`.
        manifest: utterances with emotions.
        store: feature store; what it lacks is extracted first.
        protocol: see `corpora.splits`.
        folds: for the protocols that divide into a number of parts.
        seed: of the protocol and of the models.
        progress: told how far it is.

    Raises:
        UnknownName: no such protocol.
        BadManifest: the rows cannot be divided so.
    """
    check_protocol(protocol)
    connect()
    data = _datasets(candidates, manifest, store, progress)
    first = next(iter(data.values()))
    divided = split(protocol, first.rows, seed, folds)
    tasks = [(fold, name) for fold in divided for name in candidates]

    def run(task: tuple[Fold, str]) -> tuple[np.ndarray, np.ndarray]:
        fold, name = task
        member, rows = candidates[name], data[name]
        groups = None if rows.speakers is None else rows.speakers[fold.train]
        trained = fit(
            family(member.family),
            member.settings,
            rows.X[fold.train],
            rows.y[fold.train],
            groups,
            len(rows.labels),
            seed,
        )
        return trained.out_of_fold, trained.predict_proba(rows.X[fold.test])

    results = dict(zip([(f.name, n) for f, n in tasks], parallel_map(run, tasks), strict=True))
    outputs = _outputs(divided, list(candidates), results, first, seed)
    tested = np.concatenate([fold.test for fold in divided])
    independent = speaker_independent(first.rows, divided)
    return _evaluation(
        first, tested, outputs, protocol, [f.name for f in divided], seed, _verdict(independent)
    )


def evaluate_unseen(
    ensemble: Ensemble, manifest: pa.Table, store: str, progress: Progress = quiet
) -> Evaluation:
    """A saved ensemble as it is, on utterances that none of its members learned from.

    Raises:
        BadManifest: an utterance was in the training set, or no label is known to the model.
    """
    connect()
    known = manifest.filter(pc.is_in(manifest["emotion"], value_set=pa.array(ensemble.labels)))
    heard = {i for m in ensemble.members.values() for i in m.out_of_fold.ids} & set(known["id"].to_pylist())
    if heard:
        raise BadManifest(
            f"{len(heard)} of these utterances trained the model, such as {min(heard)}. Use --protocol loso."
        )
    candidates = {n: Candidate(m.family, m.settings, m.features) for n, m in ensemble.members.items()}
    data = _datasets(candidates, known, store, progress)
    first = next(iter(data.values()))
    members = {n: m.predict_proba(data[n].X) for n, m in ensemble.members.items()}
    p = np.stack(list(members.values()))
    outputs = {**members, f"rule:{ensemble.fusion.rule}": ensemble.fusion(p)} if len(members) > 1 else members
    y = np.array([ensemble.labels.index(first.labels[k]) for k in first.y])
    relabelled = Dataset(first.rows, first.X, y, ensemble.labels, first.speakers, first.lost)
    trained_by = {s for m in ensemble.members.values() for s in m.out_of_fold.speakers}
    speakers = set(first.rows["speaker"].to_pylist())
    independent = None if None in speakers | trained_by else not (speakers & trained_by)
    return _evaluation(relabelled, np.arange(len(y)), outputs, UNSEEN, [UNSEEN], 0, _verdict(independent))


def _datasets(
    candidates: Mapping[str, Candidate], manifest: pa.Table, store: str, progress: Progress
) -> dict[str, Dataset]:
    """One dataset for each member, all of the same rows."""
    rows = labelled(manifest, "evaluation")
    loaded: dict[tuple[Feature, ...], Dataset] = {}
    for member in candidates.values():
        if member.features not in loaded:
            loaded[member.features] = load_dataset(rows, store, member.features, progress)
    ids = [set(d.rows["id"].to_pylist()) for d in loaded.values()]
    if any(i != ids[0] for i in ids):
        raise BadManifest(
            "some utterances failed for one feature and not for another; see the ledger of the store."
        )
    return {name: loaded[member.features] for name, member in candidates.items()}


def _outputs(
    divided: list[Fold],
    names: list[str],
    results: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]],
    data: Dataset,
    seed: int,
) -> dict[str, np.ndarray]:
    """Test probabilities of each member and each rule, folds one after the other [tested, labels]."""
    outputs: dict[str, list[np.ndarray]] = {}
    for fold in divided:
        inner = np.stack([results[fold.name, n][0] for n in names])
        outer = np.stack([results[fold.name, n][1] for n in names])
        for k, name in enumerate(names):
            outputs.setdefault(name, []).append(outer[k])
        if len(names) > 1:
            groups = None if data.speakers is None else data.speakers[fold.train]
            for rule in (*RULES, STACKING):
                fusion = fit_fusion(rule, inner, data.y[fold.train], groups, seed)
                outputs.setdefault(f"rule:{rule}", []).append(fusion(outer))
    return {name: np.concatenate(parts) for name, parts in outputs.items()}


def _evaluation(
    data: Dataset,
    tested: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    protocol: str,
    folds: list[str],
    seed: int,
    verdict: str,
) -> Evaluation:
    y = data.y[tested]
    speakers = None if data.speakers is None else data.speakers[tested]
    rows = data.rows.take(pa.array(tested))
    columns = {
        f"{name}:{label}": p[:, k] for name, p in outputs.items() for k, label in enumerate(data.labels)
    }
    return Evaluation(
        protocol=protocol,
        folds=tuple(folds),
        seed=seed,
        corpora=tuple(sorted({c or "unnamed" for c in rows["corpus"].to_pylist()})),
        verdict=verdict,
        reports={name: measure(y, p, data.labels, speakers, seed) for name, p in outputs.items()},
        predictions=pa.table({"id": rows["id"], "emotion": rows["emotion"], **columns}),
    )


def _verdict(independent: bool | None) -> str:
    if independent is None:
        return "speakers not known: whether they cross the split cannot be said"
    return "speaker-independent" if independent else "NOT speaker-independent: speakers stand on both sides"
