"""The figures of a recipe: rows of its table, and the answers to its claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter

from ser_ray import storage
from ser_ray.corpora.audit import audit
from ser_ray.corpora.splits import split
from ser_ray.errors import BadStore
from ser_ray.evaluation import Interval, Report, compare, measure, unweighted_accuracy
from ser_ray.models.normalisation import spec_of
from ser_ray.models.normaliser import TRANSDUCTIVE
from ser_ray.pipelines.recipes.outputs import Measured, outputs_by_row
from ser_ray.pipelines.recipes.results import plain_name
from ser_ray.pipelines.train import versions
from ser_ray.recipes.recipe import PART, RULE

RECIPE = "recipe.json"


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        what: it is.
        report: over all folds and seeds.
        spread: standard deviation of UA over the seeds.
        fit_s: seconds of all fits together; None of a rule or a part, which cost nothing of their own.
        predict_ms: of each utterance tested.
        findings: what its classifiers tell of their fits, mean over them.
        curve: figures of each epoch of the network of the first fold.
    """

    what: str
    report: Report
    spread: float
    fit_s: float | None
    predict_ms: float | None
    findings: Mapping[str, float]
    curve: list[dict[str, float]]


@dataclass(frozen=True)
class Answer:
    """What became of a claim: the difference in UA, better less worse; None where a row is not there."""

    says: str
    better: str
    worse: str
    difference: Interval

    @property
    def verdict(self) -> str:
        """`yes`, `no, it costs`, or `undecided` where the interval holds zero."""
        if self.difference.low > 0:
            return "yes"
        return "no, it costs" if self.difference.high < 0 else "undecided"


@dataclass(frozen=True)
class Table:
    """The figures of one protocol."""

    folds: int
    verdict: str
    rows: Mapping[str, Row]
    answers: Sequence[Answer]


@dataclass(frozen=True)
class Outcome:
    """All figures of a recipe, by protocol; `card` is what they were measured on and how."""

    card: Mapping[str, Any]
    tables: Mapping[str, Table]
    predictions: Mapping[str, pa.Table] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`, for the file and for the page."""
        tables = {name: asdict(table) for name, table in self.tables.items()}
        for name, table in self.tables.items():
            for plain, answer in zip(tables[name]["answers"], table.answers, strict=True):
                plain["verdict"] = answer.verdict
        return {**self.card, "protocols": tables}

    def save(self, uri: str) -> None:
        """Write recipe.json and the predictions of each protocol."""
        for protocol, table in self.predictions.items():
            storage.write_parquet(storage.join(uri, f"predictions-{plain_name(protocol)}.parquet"), table)
        storage.write_json(storage.join(uri, RECIPE), self.to_dict())


def outcome_of(measured: Measured, models: Mapping[str, str], wall_s: float) -> Outcome:
    """The figures of everything that was fitted; `models` says where models of the whole corpus are."""
    asked, recorded, differences = measured.asked, measured.recorded, list(measured.asked.differences)
    protocols = list(dict.fromkeys(protocol for protocol, _ in measured.folds))
    card = {
        "recipe": asked.name,
        "title": asked.title,
        "source": asked.source,
        "corpora": sorted({corpus or "unnamed" for corpus in recorded.rows["corpus"].to_pylist()}),
        "labels": list(recorded.labels),
        "utterances": len(recorded.y),
        "speakers": None if recorded.speakers is None else len(set(recorded.speakers)),
        "seeds": measured.request.seeds,
        "variants": {
            v.name: {
                "what": v.what,
                "family": v.family,
                "settings": dict(measured.candidates[v.name].settings),
                "features": [f.spec for f in measured.candidates[v.name].features],
                "normalisation": spec_of(measured.candidates[v.name].normalisation),
                "copies": list(v.copies),
            }
            for v in measured.variants
        },
        "prepared": {name: made.to_dict() for name, made in measured.made.items()},
        "published": [asdict(each) for each in asked.published],
        "differences": differences,
        "models": dict(models),
        "wall_s": round(wall_s, 1),
        "versions": versions(),
    }
    found = {protocol: _table(measured, protocol) for protocol in protocols}
    tables, predictions = ({p: pair[k] for p, pair in found.items()} for k in range(2))
    unfused = [p for p, table in tables.items() if not any(name.startswith(RULE) for name in table.rows)]
    if unfused and sum(v.name in asked.fused for v in measured.variants) > 1:
        differences.append(
            f"Nothing is fused under {', '.join(unfused)}: the held-out slices hold too little of some "
            "emotion. Use more --inner-folds, or --set held_out=0.2."
        )
    return Outcome(card, tables, predictions)


def read_outcome(uri: str) -> Outcome:
    """The figures that a recipe's folder holds.

    Raises:
        MissingInput: it holds none.
        BadStore: they are cut short or of another form.
    """
    place = storage.require(storage.join(uri, RECIPE), "figures of a recipe")
    try:
        content = storage.read_json(place)
        tables = TypeAdapter(dict[str, Table]).validate_python(content.pop("protocols"))
        return Outcome(content, tables)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = " ".join(str(error).split())[:300]
        raise BadStore(f"{place} is not what a recipe writes: {what}. Run the recipe again.") from error


def _table(measured: Measured, protocol: str) -> tuple[Table, pa.Table]:
    recorded = measured.recorded
    tested: list[np.ndarray] = []
    outputs: dict[str, list[np.ndarray]] = {}
    for seed in range(measured.request.seeds):
        rows, found = outputs_by_row(measured, protocol, seed)
        tested.append(rows)
        for name, p in found.items():
            outputs.setdefault(name, []).append(p)
    seeds = measured.request.seeds
    together = {name: np.concatenate(parts) for name, parts in outputs.items() if len(parts) == seeds}
    rows = np.concatenate(tested)
    y = recorded.y[rows]
    speakers = None if recorded.speakers is None else recorded.speakers[rows]
    ends = np.cumsum([len(part) for part in tested])[:-1]
    truths = np.split(y, ends)
    table = {
        name: Row(
            _what(measured, name),
            measure(y, p, recorded.labels, speakers),
            float(np.std([unweighted_accuracy(a, b) for a, b in zip(truths, outputs[name], strict=True)])),
            *_costs(measured, protocol, name, len(y)),
        )
        for name, p in together.items()
    }
    if measured.asked.ranked:
        table = dict(sorted(table.items(), key=lambda item: -item[1].report.ua.value))
    answers = [
        Answer(c.says, c.better, c.worse, compare(y, together[c.better], together[c.worse], speakers))
        for c in measured.asked.claims
        if c.better in together and c.worse in together
    ]
    first = next(iter(measured.folds[protocol, 0].values()))
    columns = {
        f"{n}:{label}": p[:, k] for n, p in together.items() for k, label in enumerate(recorded.labels)
    }
    predictions = {
        "id": recorded.rows["id"].take(pa.array(rows)),
        "seed": np.repeat(np.arange(len(tested)), [len(part) for part in tested]),
        "emotion": recorded.rows["emotion"].take(pa.array(rows)),
        **columns,
    }
    return Table(len(first), _verdict(measured, protocol), table, answers), pa.table(predictions)


def _what(measured: Measured, name: str) -> str:
    if name.startswith(RULE):
        return "fusion"
    own, _, part = name.partition(PART)
    return f"part of {own}" if part else measured.asked.variant(own).what


def _costs(
    measured: Measured, protocol: str, name: str, tested: int
) -> tuple[float | None, float | None, dict[str, float], list[dict[str, float]]]:
    results = [r for p, r in measured.results.items() if (p.protocol, p.variant) == (protocol, name)]
    if not results:
        return None, None, {}, []
    keys = dict.fromkeys(key for result in results for key in result.findings)
    findings = {key: float(np.mean([r.findings[key] for r in results if key in r.findings])) for key in keys}
    predict_s = sum(result.predict_s for result in results)
    fit_s = sum(result.fit_s for result in results)
    return fit_s, 1000 * predict_s / tested, findings, results[0].curve


def _verdict(measured: Measured, protocol: str) -> str:
    rows = measured.recorded.rows
    divided = split(protocol, rows, 0, measured.request.folds)
    chosen = {name: c.normalisation for name, c in measured.candidates.items()}
    transductive = [name for name, each in chosen.items() if each and each.transductive]
    heard = [name for name, made in measured.made.items() if made.transductive]
    notes = [f"{TRANSDUCTIVE} ({', '.join(transductive)})"] if transductive else []
    notes += [f"{name} learned from the unlabelled speech of test speakers" for name in heard]
    return "; ".join([audit(rows, divided, protocol, [None] * len(rows)).verdict, *notes])
