"""The page of a trained model or an ensemble: what it is, how well it recognises, and how it learned."""

from __future__ import annotations

from collections.abc import Mapping

from ser_ray import storage
from ser_ray.corpora.labels import EMOTIONS
from ser_ray.evaluation import Interval, selections
from ser_ray.evaluation.metrics import BINS as ECE_BINS
from ser_ray.fusion import load_ensemble
from ser_ray.reports.confusion import class_table, confusion_table
from ser_ray.reports.reject import reject_curve, reject_table
from ser_ray.reports.reliability import BINS, reliability, reliability_diagram, reliability_table
from ser_ray.reports.subjects import MEMBERS, Subject, ensemble_subject, model_subject
from ser_ray.reports.template import fill_template, section
from ser_ray.reports.timeline import html_text

MODEL, ENSEMBLE = "model.json", "ensemble.json"


def has_model_page(uri: str) -> bool:
    """Whether `uri` is a directory that this page can be made of."""
    return any(storage.exists(storage.join(uri, name)) for name in (MODEL, ENSEMBLE))


def default_page(uri: str) -> str:
    """Where the page of the directory `uri` goes: beside it, because a file in it changes its fingerprint.

    The page of an ensemble's member goes beside the ensemble, for the same reason.
    """
    uri = storage.absolute(uri)
    folder, _, name = uri.rpartition("/")
    ensemble, _, inside = folder.rpartition("/")
    if inside == MEMBERS and storage.exists(storage.join(ensemble, ENSEMBLE)):
        return f"{ensemble}-{name}.html"
    return f"{uri}.html"


def write_model_page(model_uri: str, target: str) -> None:
    """Write the page of a model or an ensemble to the file `target`, whole or not at all.

    Args:
        model_uri: model or ensemble directory.
        target: file to write.

    Raises:
        MissingInput: there is nothing at `model_uri`.
        BadModel: it is no model or ensemble directory, or a corrupt one.
    """
    uri = storage.require(model_uri, "model")
    ensemble, fingerprint = load_ensemble(uri)
    if storage.exists(storage.join(uri, MODEL)):
        (model,) = ensemble.members.values()
        subject = model_subject(model, uri)
    else:
        subject = ensemble_subject(ensemble, uri)
    versions = " · ".join(f"{name} {version}" for name, version in subject.card.versions.items())
    page = fill_template(
        "model.html",
        kind=subject.kind,
        name=html_text(subject.name),
        labels=html_text(f"{len(subject.labels)} {_noun(subject)}: {', '.join(subject.labels)}"),
        facts=_facts({**subject.facts, "Directory": uri, "Fingerprint": fingerprint}),
        figures=_figures(subject),
        sections=subject.before + _recognition(subject) + subject.after,
        versions=html_text(versions),
    )
    storage.write_bytes(target, page.encode())


def _noun(subject: Subject) -> str:
    """What its labels are: emotions, or classes of something else."""
    return "emotions" if set(subject.labels) <= set(EMOTIONS) else "classes"


def _facts(facts: Mapping[str, object]) -> str:
    return "".join(
        f"<div><dt>{name}</dt><dd>{html_text(fact)}</dd></div>"
        for name, fact in facts.items()
        if fact is not None
    )


def _figures(subject: Subject) -> str:
    if subject.predictions is None:
        return (
            '<section class="notice warn" aria-label="Warning"><h2>No out-of-fold predictions</h2>'
            f"<p>This {subject.kind} comes without any, so this page cannot say how well it recognises. "
            "Measure it with <code>ser-ray evaluate</code>.</p></section>"
        )
    report = subject.predictions.report
    chance = 1 / sum(n > 0 for n in report.n)
    tiles = (
        _tile("UA", report.ua, f"mean recall of the {_noun(subject)}; by chance {100 * chance:.1f} %", chance)
        + _tile("WA", report.wa, "share of all utterances that is right")
        + _tile("Macro-F1", report.f1, f"mean F1 of the {_noun(subject)}")
        + _tile("ECE", report.ece, f"calibration error, {ECE_BINS} bins; less is better")
    )
    protocol = subject.card.metrics.protocol if subject.card.metrics else "out of fold"
    told = (
        f"{sum(report.n):,} utterances; {protocol}. In brackets: 95 % intervals of a bootstrap over "
        f"{report.resampled}."
    )
    return (
        f'<section id="figures" aria-label="Figures"><dl class="figures">{tiles}</dl>'
        f'<p class="lead">{html_text(told)}</p></section>'
    )


def _tile(name: str, figure: Interval, meaning: str, chance: float | None = None) -> str:
    value, low, high = 100 * figure.value, 100 * figure.low, 100 * figure.high
    mark = "" if chance is None else f'<rect class="chance" x="{100 * chance:.2f}%" width="2" height="12"/>'
    return (
        f"<div><dt>{name}</dt><dd><b>{value:.1f} %</b> <span>[{low:.1f}, {high:.1f}]</span>"
        '<svg class="range" aria-hidden="true" width="100%" height="12">'
        f'<rect class="track" y="5" width="100%" height="2"/>{mark}'
        f'<rect class="interval" x="{low:.2f}%" width="{high - low:.2f}%" y="4" height="4"/>'
        f'<circle cx="{value:.2f}%" cy="6" r="4"/></svg><small>{meaning}</small></dd></div>'
    )


def _recognition(subject: Subject) -> str:
    found, certain = subject.predictions, subject.card.certain
    if found is None:
        return ""
    report, bins = found.report, reliability(found.y, found.p)
    surest = selections(found.y, found.p, found.speakers)
    curve = reject_curve(surest, certain.chosen if certain else None)
    confusion = section(
        "confusion",
        "Confusion",
        f'<div class="pair">{confusion_table(report)}{class_table(report)}</div>',
        "UA is the mean of the recalls, macro-F1 that of the F1.",
    )
    calibration = section(
        "reliability",
        "Calibration",
        f'<div class="pair"><figure>{reliability_diagram(bins)}</figure>{reliability_table(bins)}</div>',
        "How often the chosen emotion is right, by the probability that it was given; on the diagonal the "
        f"two agree. {BINS} bins of equal width; gap: confidence less accuracy, in points.",
    )
    return (
        confusion
        + calibration
        + section(
            "reject",
            "Reject option",
            f'<div class="pair"><figure>{curve}</figure>{reject_table(surest)}</div>',
            "Precision: how often the surest predictions are right; coverage: their share of all. At least: "
            "lower end of a one-sided 95 % interval, which <code>ser-ray fuse --precision</code> goes by.",
        )
    )
