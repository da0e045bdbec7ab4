"""What the page of a model is about: a model or an ensemble, with the facts and sections of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ser_ray import storage
from ser_ray.errors import UsageError
from ser_ray.evaluation import Report, measure
from ser_ray.fusion import Ensemble, out_of_fold
from ser_ray.fusion.ensemble import aligned
from ser_ray.models import Model, family
from ser_ray.reports.card import Card, read_card, read_curve
from ser_ray.reports.curves import training_curves
from ser_ray.reports.template import fold, section, table
from ser_ray.reports.timeline import html_text
from ser_ray.reports.wording import elapsed

MEMBERS = "members"  # folder of an ensemble's members


@dataclass(frozen=True)
class Predictions:
    """Out-of-fold probabilities p [rows, labels], truth y and speakers [rows], and how well they agree."""

    y: np.ndarray
    p: np.ndarray
    speakers: np.ndarray | None
    report: Report


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Attributes:
        kind: what it is, in a word.
        name: what it is called.
        labels: the emotions that it tells apart.
        facts: name -> what; None is not known.
        card: of its making.
        predictions: out of fold; None where there are none.
        before: sections before those of its predictions, HTML.
        after: sections after them, HTML.
    """

    kind: str
    name: str
    labels: tuple[str, ...]
    facts: Mapping[str, object]
    card: Card
    predictions: Predictions | None
    before: str = ""
    after: str = ""


def model_subject(model: Model, uri: str) -> Subject:
    """A single model; raises BadModel where its card or curve is of another form."""
    card, oof = read_card(model.card, uri), model.out_of_fold
    speakers = None if any(s is None for s in oof.speakers) else np.array(oof.speakers)
    learned = card.trained_on
    facts = {
        "Family": family(model.family).summary,
        "Features": ", ".join(feature.spec for feature in model.features),
        "Normalisation": model.normalisation.spec if model.normalisation else "none",
        "Corpus": learned and ", ".join(learned.corpora),
        "Utterances": learned and f"{learned.utterances:,}",
        "Augmented copies": learned and f"{learned.copies:,}",
        "Speakers": learned and ("not known" if learned.speakers is None else f"{learned.speakers:,}"),
        "Band": model.band,
        "Rate": f"{model.rate / 1000:g} kHz",
        "Calibration scale": f"{model.calibration.scale:.3g}",
        "Seed": card.seed,
        "Training time": None if card.wall_s is None else elapsed(card.wall_s),
    }
    return Subject(
        kind="model",
        name=model.family,
        labels=model.labels,
        facts=facts,
        card=card,
        predictions=_predictions(oof.y, oof.probabilities, model.labels, speakers),
        after=_training(model, uri) + _left_out(card) + _settings(model),
    )


def ensemble_subject(ensemble: Ensemble, uri: str) -> Subject:
    """An ensemble, measured as `fuse` does; raises BadModel where its card is of another form."""
    card, fusion, rate = read_card(ensemble.card, uri), ensemble.fusion, ensemble.features[0].rate
    facts = {
        "Rule": fusion.rule,
        "Members": ", ".join(ensemble.members),
        "Groups": "; ".join(f"{name}: {', '.join(members)}" for name, members in ensemble.groups.items()),
        "Counted as negative": ", ".join(ensemble.negative) or "none",
        "Band": ensemble.band,
        "Rate": f"{rate / 1000:g} kHz",
        "Calibration": fusion.calibration.kind,
        "Certain": card.certain,
        "Seed": card.seed,
    }
    predictions, reports = _fused(ensemble, card.seed or 0)
    return Subject(
        kind="ensemble",
        name=storage.name(uri),
        labels=ensemble.labels,
        facts=facts,
        card=card,
        predictions=predictions,
        before=_members(ensemble, uri, reports, predictions),
    )


def _predictions(
    y: np.ndarray, p: np.ndarray, labels: tuple[str, ...], speakers: np.ndarray | None
) -> Predictions | None:
    return Predictions(y, p, speakers, measure(y, p, labels, speakers)) if len(y) else None


def _fused(ensemble: Ensemble, seed: int) -> tuple[Predictions | None, dict[str, Report]]:
    """Fused out-of-fold predictions, and the report of each member on the same utterances."""
    try:
        p, y, speakers, _ = aligned(ensemble.members)
    except UsageError:  # members that share no utterance cannot be measured together
        return None, {}
    labels = ensemble.labels
    fused = out_of_fold(ensemble.fusion, p, y, speakers, seed)
    reports = {name: measure(y, p[k], labels, speakers) for k, name in enumerate(ensemble.members)}
    return _predictions(y, fused, labels, speakers), reports


def _training(model: Model, uri: str) -> str:
    curve = read_curve(model.classifier, uri)
    if curve:
        return section("training", "Training", training_curves(curve))
    return section("training", "Training", "", f"{model.family} does not learn in epochs: it has no curve.")


def _left_out(card: Card) -> str:
    if card.trained_on is None:
        return ""
    left_out = card.trained_on.left_out
    if not left_out:
        return section("left-out", "Left out", "", "Nothing: every labelled utterance gave its features.")
    rows = "".join(
        f'<tr><th scope="row">{html_text(kind)}</th><td>{count:,}</td></tr>'
        for kind, count in sorted(left_out.items(), key=lambda item: -item[1])
    )
    total = sum(left_out.values())
    lead = f"{total:,} labelled utterance{'s' * (total != 1)} gave no features."
    shown = table("Left out by type of failure", ("Failure", "Utterances"), rows, "numbers aside")
    return section("left-out", "Left out", shown, lead)


def _settings(model: Model) -> str:
    defaults = family(model.family).defaults
    changed = [name for name, value in model.settings.items() if defaults.get(name) != value]
    rows = "".join(
        f'<tr{" class=changed" * (name in changed)}><th scope="row">{html_text(name)}</th>'
        f"<td>{html_text(value)}</td><td>{html_text(defaults.get(name, '–'))}</td></tr>"
        for name, value in model.settings.items()
    )
    told = f"{len(model.settings)} hyperparameters, {len(changed) or 'none'} other than the default"
    shown = table("Hyperparameters", ("Name", "Value", "Default"), rows, "settings aside")
    return section("settings", "Settings", fold(told, shown))


def _members(ensemble: Ensemble, uri: str, reports: Mapping[str, Report], fused: Predictions | None) -> str:
    rows = "".join(_member(name, model.family, reports.get(name)) for name, model in ensemble.members.items())
    last = _member("fused", ensemble.fusion.rule, fused.report) if fused else ""
    example = html_text(storage.join(uri, MEMBERS, next(iter(ensemble.members))))
    lead = f"% of the utterances that all learned from. A page of one: <code>ser-ray report {example}</code>"
    heads = ("Member", "UA", "WA", "Macro-F1", "ECE")
    shown = table("Members, then all of them fused", heads, rows, "numbers aside", last)
    return section("members", "Members", shown, lead)


def _member(name: str, kind: str, report: Report | None) -> str:
    figures = (report.ua, report.wa, report.f1, report.ece) if report else ("–",) * 4
    cells = "".join(f"<td>{figure}</td>" for figure in figures)
    return f'<tr><th scope="row">{html_text(name)} <small>{html_text(kind)}</small></th>{cells}</tr>'
