"""Evaluation: members and fusion rules side by side under a protocol, folds in parallel on Ray.

Every fold trains anew on its training rows alone: standardisation, calibration, fusion weights and
stacking never see a test row. The protocol `unseen` instead takes a saved model as it is to a corpus
that it never heard.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ser_ray import storage
from ser_ray.corpora.audit import Audit, Crossing, audit, conclude
from ser_ray.corpora.splits import Fold, check_protocol, split
from ser_ray.errors import BadManifest
from ser_ray.evaluation import Report, measure
from ser_ray.features import Feature
from ser_ray.fusion import RULES, STACKING, Ensemble, fit_fusion
from ser_ray.models import family
from ser_ray.models.normaliser import TRANSDUCTIVE
from ser_ray.models.training import INNER_FOLDS, epochs_of, fits_of
from ser_ray.pipelines.candidates import Candidate, labelled_for
from ser_ray.pipelines.cluster import Progress, connect, quiet
from ser_ray.pipelines.dataset import Dataset, Utterances, check_normalisation, load_dataset
from ser_ray.pipelines.parallel import Epochs, parallel_map
from ser_ray.pipelines.train import learn

UNSEEN = "unseen"


@dataclass(frozen=True)
class Evaluation:
    """Reports by name (members first, then `rule:NAME`), and what they were measured on."""

    protocol: str
    folds: tuple[str, ...]
    seed: int
    corpora: tuple[str, ...]
    verdict: str
    audit: Audit
    reports: dict[str, Report]
    predictions: pa.Table

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json` and for the file."""
        names = ("protocol", "folds", "seed", "corpora", "verdict")
        plain = {name: getattr(self, name) for name in names}
        plain["audit"] = self.audit.to_dict()
        return {**plain, "reports": {name: asdict(report) for name, report in self.reports.items()}}

    def save(self, uri: str) -> None:
        """Write evaluation.json and predictions.parquet into a folder."""
        storage.write_json(storage.join(uri, "evaluation.json"), self.to_dict())
        storage.write_parquet(storage.join(uri, "predictions.parquet"), self.predictions)


@dataclass(frozen=True)
class Tested:
    """What one member gave in one fold: out of fold for the rows `predicted`, and for the test rows."""

    predicted: np.ndarray
    out_of_fold: np.ndarray
    tested: np.ndarray


def evaluate(
    candidates: Mapping[str, Candidate],
    manifest: pa.Table,
    store: str,
    protocol: str,
    folds: int = 5,
    seed: int = 0,
    progress: Progress = quiet,
    inner_folds: int = INNER_FOLDS,
) -> Evaluation:
    """Evaluate members, and with two or more of them every fusion rule.

    Args:
        candidates: from `candidates.candidates_of`.
        manifest: utterances with emotions.
        store: feature store; what it lacks is extracted first.
        protocol: see `corpora.splits`.
        folds: for the protocols that divide into a number of parts.
        seed: of the protocol and of the models.
        progress: told how far it is.
        inner_folds: inside each training fold, for calibration and fusion; see `models.training.fits_of`.
            With 0 probabilities stay as they are, and no rule is measured.

    Raises:
        UnknownName: no such protocol.
        BadManifest: the rows cannot be divided so.
    """
    check_protocol(protocol)
    for member in candidates.values():
        fits_of(family(member.family), member.settings, inner_folds)
    connect()
    data = datasets_of(candidates, manifest, store, progress)
    first = next(iter(data.values()))
    divided = split(protocol, first.rows, seed, folds)
    results = predicted_members(candidates, data, divided, seed, inner_folds, progress)
    outputs = outputs_of(divided, list(candidates), results, first, seed)
    tested = np.concatenate([fold.test for fold in divided])
    found = audit(first.rows, divided, protocol, [_hash(x) for x in first.X])
    verdict = _verdict(found, candidates)
    return _evaluation(first, tested, outputs, [f.name for f in divided], seed, found, verdict)


def predicted_members(
    candidates: Mapping[str, Candidate],
    data: Mapping[str, Dataset],
    divided: list[Fold],
    seed: int,
    inner_folds: int,
    progress: Progress = quiet,
) -> dict[tuple[str, str], Tested]:
    """Each member trained anew in each fold, on Ray, by the names of fold and member."""
    kinds = {name: family(member.family) for name, member in candidates.items()}
    epochs_each = [
        epochs_of(kinds[n], m.settings) * fits_of(kinds[n], m.settings, inner_folds)
        for n, m in candidates.items()
    ]
    tasks = [(fold, name) for fold in divided for name in candidates]
    epochs = Epochs(len(divided) * sum(epochs_each), progress)

    def run(task: tuple[Fold, str]) -> Tested:
        fold, name = task
        member, rows = candidates[name], data[name]
        kind, voices = kinds[name], rows.voices
        trained = learn(
            kind, member.settings, rows, fold.train, member.normalisation, seed, map, inner_folds, epochs.tell
        )
        tested = trained.predict_proba(rows.X[fold.test], None if voices is None else voices[fold.test])
        return Tested(fold.train[trained.predicted], trained.out_of_fold, tested)

    done = parallel_map(run, tasks, lambda task: kinds[task[1]].deep, epochs.show)
    return dict(zip([(f.name, n) for f, n in tasks], done, strict=True))


def evaluate_unseen(
    ensemble: Ensemble, manifest: pa.Table, store: str, progress: Progress = quiet
) -> Evaluation:
    """A saved ensemble as it is, on utterances that none of its members learned from.

    Raises:
        BadManifest: an utterance was in the training set, or no label is known to the model.
    """
    connect()
    candidates = {n: Candidate.of(m) for n, m in ensemble.members.items()}
    recorded = labelled_for(candidates, manifest.filter(pc.is_null(manifest["source_id"])))
    known = recorded.filter(pc.is_in(recorded["emotion"], value_set=pa.array(ensemble.labels)))
    heard = {i for m in ensemble.members.values() for i in m.out_of_fold.ids} & set(known["id"].to_pylist())
    if heard:
        raise BadManifest(
            f"{len(heard)} of these utterances trained the model, such as {min(heard)}. Use --protocol loso."
        )
    data = datasets_of(candidates, known, store, progress)
    first = next(iter(data.values()))
    members = {n: m.predict_proba(data[n].X, data[n].voices) for n, m in ensemble.members.items()}
    p = np.stack(list(members.values()))
    outputs = {**members, f"rule:{ensemble.fusion.rule}": ensemble.fusion(p)} if len(members) > 1 else members
    y = np.array([ensemble.labels.index(first.labels[k]) for k in first.y])
    relabelled = replace(first, y=y, labels=ensemble.labels)
    trained_by = {s for m in ensemble.members.values() for s in m.out_of_fold.speakers}
    speakers = first.rows["speaker"].to_pylist()
    both = [s for s in speakers if s in trained_by - {None}]
    unknown = speakers.count(None) + (None in trained_by)
    crossings = {"speaker": Crossing("speaker", len(y), len(both), unknown)}
    found = Audit(
        UNSEEN,
        1,
        len(y),
        dict(Counter(first.labels[k] for k in first.y)),
        crossings,
        None,
        conclude(crossings),
    )
    verdict = _verdict(found, candidates)
    return _evaluation(relabelled, np.arange(len(y)), outputs, [UNSEEN], 0, found, verdict)


def datasets_of(
    candidates: Mapping[str, Candidate], manifest: pa.Table, store: str, progress: Progress
) -> dict[str, Dataset]:
    """One dataset for each member, all of the same rows."""
    rows = labelled_for(candidates, manifest)
    loaded: dict[tuple[Feature, ...], Dataset] = {}
    for member in candidates.values():
        check_normalisation(member.normalisation, member.features, rows)
    for member in candidates.values():
        if member.features not in loaded:
            loaded[member.features] = load_dataset(rows, store, member.features, progress)
    ids = [set(d.rows["id"].to_pylist()) for d in loaded.values()]
    if any(i != ids[0] for i in ids):
        raise BadManifest(
            "some utterances failed for one feature and not for another; see the ledger of the store."
        )
    return {name: loaded[member.features] for name, member in candidates.items()}


def common_rows(members: Sequence[Tested]) -> np.ndarray:
    """Rows that all members predicted out of fold, ascending."""
    return np.asarray(reduce(np.intersect1d, [member.predicted for member in members]))


def fusable(data: Utterances, common: np.ndarray) -> bool:
    """Whether the rows that all members predicted out of fold hold two of each emotion, or more."""
    return int(np.bincount(data.y[common], minlength=len(data.labels)).min()) >= 2


def out_of_fold_of(members: Sequence[Tested], rows: np.ndarray) -> np.ndarray:
    """What the members gave for rows that all of them predicted [members, rows, labels]."""
    return np.stack([m.out_of_fold[np.searchsorted(m.predicted, rows)] for m in members])


def outputs_of(
    divided: list[Fold],
    names: list[str],
    results: Mapping[tuple[str, str], Tested],
    data: Utterances,
    seed: int,
) -> dict[str, np.ndarray]:
    """Test probabilities of each member and each rule, folds one after the other [tested, labels]."""
    outputs: dict[str, list[np.ndarray]] = {}
    for fold in divided:
        found = [results[fold.name, name] for name in names]
        outer = np.stack([member.tested for member in found])
        for k, name in enumerate(names):
            outputs.setdefault(name, []).append(outer[k])
        common = common_rows(found)
        if len(names) > 1 and len(common):
            if not fusable(data, common):
                raise BadManifest(
                    "the held-out slices hold too little of some emotion to fuse by. Use more --inner-folds, "
                    "or --set held_out=0.2."
                )
            inner = out_of_fold_of(found, common)
            groups = None if data.speakers is None else data.speakers[common]
            for rule in (*RULES, STACKING):
                fusion = fit_fusion(rule, inner, data.y[common], groups, seed)
                outputs.setdefault(f"rule:{rule}", []).append(fusion(outer))
    return {name: np.concatenate(parts) for name, parts in outputs.items()}


def _evaluation(
    data: Dataset,
    tested: np.ndarray,
    outputs: Mapping[str, np.ndarray],
    folds: list[str],
    seed: int,
    found: Audit,
    verdict: str,
) -> Evaluation:
    y = data.y[tested]
    speakers = None if data.speakers is None else data.speakers[tested]
    rows = data.rows.take(pa.array(tested))
    columns = {
        f"{name}:{label}": p[:, k] for name, p in outputs.items() for k, label in enumerate(data.labels)
    }
    return Evaluation(
        protocol=found.protocol,
        folds=tuple(folds),
        seed=seed,
        corpora=tuple(sorted({c or "unnamed" for c in rows["corpus"].to_pylist()})),
        verdict=verdict,
        audit=found,
        reports={name: measure(y, p, data.labels, speakers, seed) for name, p in outputs.items()},
        predictions=pa.table({"id": rows["id"], "emotion": rows["emotion"], **columns}),
    )


def _verdict(found: Audit, candidates: Mapping[str, Candidate]) -> str:
    """The audit's, and which members are transductive."""
    transductive = [n for n, c in candidates.items() if c.normalisation and c.normalisation.transductive]
    return found.verdict + (f"; {TRANSDUCTIVE} ({', '.join(transductive)})" if transductive else "")


def _hash(features: np.ndarray | tuple[np.ndarray, ...]) -> str:
    """Equal for equal features, which only identical audio has."""
    digest = hashlib.sha256()
    for values in features if isinstance(features, tuple) else (features,):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()
