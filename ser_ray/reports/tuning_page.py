"""The page of a hyperparameter search: what it found, what that is worth, and every trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ser_ray import storage
from ser_ray.reports.parallel_coordinates import MOST_LINES, parallel_coordinates
from ser_ray.reports.search_course import search_course, ua_axis
from ser_ray.reports.searches import SEARCH, TRIALS, Search, Settings, Trial, read_search, value_text
from ser_ray.reports.template import fill_template, section, table
from ser_ray.reports.timeline import html_text
from ser_ray.reports.wording import elapsed

MOST_ROWS, MOST_FAILED = 500, 100  # trials listed, and failed ones among them
MOST_LETTERS = 300  # of an error


def has_tuning_page(uri: str) -> bool:
    """Whether `uri` is a directory that this page can be made of."""
    return storage.exists(storage.join(uri, SEARCH))


def write_tuning_page(uri: str, target: str) -> None:
    """Write the page of a search to the file `target`, whole or not at all.

    Args:
        uri: folder of the search.
        target: file to write.

    Raises:
        MissingInput: the folder, its tuning.json or its trials.parquet is not there.
        BadStore: one of them is cut short or of another form.
    """
    uri = storage.require(uri, "search folder")
    search, trials = read_search(uri)
    page = fill_template(
        "tuning.html",
        name=html_text(search.family),
        labels=html_text(f"{len(search.labels)} emotions: {', '.join(search.labels)}"),
        facts=_facts(search, uri),
        notice=_notice(search, trials),
        figures=_figures(search),
        sections=_outer(search) + _tried(search, trials) + _settings(search) + _all_trials(search, trials),
        versions=html_text(" · ".join(f"{name} {version}" for name, version in search.versions.items())),
    )
    storage.write_bytes(target, page.encode())


def _facts(search: Search, uri: str) -> str:
    facts = {
        "Corpus": ", ".join(search.corpora),
        "Utterances": f"{search.utterances:,}",
        "Searcher": search.searcher,
        "Scheduler": search.scheduler or "none",
        "Protocol": search.protocol,
        "Seed": search.seed,
        "Time": elapsed(search.wall_s),
        "Directory": uri,
    }
    return "".join(f"<div><dt>{name}</dt><dd>{html_text(fact)}</dd></div>" for name, fact in facts.items())


def _notice(search: Search, trials: Sequence[Trial]) -> str:
    """A warning where the two files do not tell the same."""
    rows = Counter(trial.status for trial in trials)
    told = [
        f"{SEARCH} counts {count:,} trials as {status}, {TRIALS} holds {rows[status]:,}."
        for status, count in search.trials.items()
        if count != rows[status]
    ]
    if (search.best.trial, search.best.ua) not in {(trial.trial, trial.ua) for trial in trials}:
        told.append(f"The best trial, {search.best.trial}, is not in {TRIALS} with its UA.")
    items = "".join(f"<li>{html_text(sentence)}</li>" for sentence in told)
    heading = '<section class="notice bad" aria-label="Error"><h2>The figures do not add up</h2>'
    return f"{heading}<ul>{items}</ul></section>" if told else ""


def _figures(search: Search) -> str:
    best, default, counts = search.best, search.default, search.trials
    words = {"done": "done", "stopped": "stopped early", "failed": "failed"}
    ended = ", ".join(f"{count:,} {words[status]}" for status, count in counts.items())
    tiles = _tile("Best UA", _percent(best.ua), _spread(best.spread), f"inner folds, trial {best.trial}")
    if default:
        tiles += _tile("UA of the defaults", _percent(default.ua), _spread(default.spread), "same folds")
        tiles += _tile("Gain", _points(best.ua - default.ua), "points", "best less defaults")
    else:
        tiles += _tile("UA of the defaults", "–", "", "not measured in this search")
        tiles += _tile("Gain", "–", "", "not known without the defaults")
    tiles += _tile("Trials", f"{sum(counts.values()):,}", "", ended)
    told = (
        f"UA: mean recall of the emotions, by chance {_percent(1 / len(search.labels))}. "
        f"±: standard deviation over the inner folds ({search.protocol}). The best of many flatters itself"
        f"{'' if search.outer else ': only folds that the search did not see tell what it is worth'}."
    )
    return (
        f'<section id="figures" aria-label="Figures"><dl class="figures">{tiles}</dl>'
        f'<p class="lead">{html_text(told)}</p></section>'
    )


def _outer(search: Search) -> str:
    """The figures of the outer folds, "" where there are none."""
    if search.outer is None:
        return ""
    outer, (value, low, high) = search.outer, search.outer.difference
    tuned, usual = outer.tuned.ua, outer.default.ua
    spans = [f"[{100 * least:.1f}, {100 * most:.1f}]" for _, least, most in (tuned, usual)]
    span = f"[{_points(low)}, {_points(high)}]"
    tiles = _tile("Nested UA, tuned", _percent(tuned[0]), spans[0], "each fold by its own search")
    tiles += _tile("Nested UA, defaults", _percent(usual[0]), spans[1], "same folds")
    tiles += _tile("Difference", _points(value), span, "points, tuned less defaults")
    verdict = "The interval of the difference includes zero: these folds cannot tell the two apart."
    if low > 0 or high < 0:
        side = "more" if low > 0 else "less"
        verdict = f"The interval of the difference excludes zero: the tuned settings recognise {side}."
    told = f"{outer.utterances:,} utterances, {outer.protocol}. In brackets: 95 % intervals."
    body = f'<dl class="figures three">{tiles}</dl><p class="lead">{html_text(told)}</p>'
    heads = ("Fold", "Inner UA", "Defaults", "Tuned", "Difference", *map(html_text, search.space))
    rows = ""
    for fold in outer.folds:
        uas = map(_percent, (fold.inner_ua, fold.default_ua, fold.tuned_ua))
        change = _points(fold.tuned_ua - fold.default_ua)
        rows += _row(html_text(fold.fold), *uas, change, *_values(search, fold.settings))
    shown = table("Each outer fold, and the settings chosen without it", heads, rows)
    return section("outer", "On folds that the search did not see", body + shown, verdict)


def _tried(search: Search, trials: Sequence[Trial]) -> str:
    """The course of the search, what it tried, and what mattered."""
    best, default = search.best, search.default
    uas = [trial.ua for trial in trials if trial.ua is not None]
    axis = ua_axis(uas, best.ua, *([default.ua] if default else []))
    low = sum(100 * ua < axis.low for ua in uas)
    beneath = f" Below the axis of UA, and drawn at its lower end: {low:,}." if low else ""
    course = "Only trials that were done count for the best: stopped ones were measured in mid-training."
    drawing, drawn = parallel_coordinates(search.space, trials, best, default, axis)
    tried = "Each line is a trial, from its settings down to its UA; within a choice it lies by its UA."
    if drawn < len(trials):
        tried += f" Drawn: {drawn:,} of {len(trials):,}"
        tried += ", evenly from the worst to the best" if drawn == MOST_LINES else ""
        tried += f"; without a UA: {len(trials) - len(uas):,}."
    return (
        section("course", "Course", search_course(trials, best, default, axis), course + beneath)
        + section("tried", "What was tried", drawing, tried + beneath)
        + _importance(search, [trial.ua for trial in trials if trial.status == "done"])
    )


def _importance(search: Search, done: Sequence[float | None]) -> str:
    if search.importance is None:
        why = f"Trials to the end: {len(done)}, too few to say how much each setting matters."
        if len(search.space) == 1:
            why = "Only one setting was searched: there is nothing to weigh it against."
        elif len(set(done)) == 1 < len(done):
            why = "All trials done have the same UA: no setting can be said to matter."
        return section("importance", "What mattered", "", why)
    ranked = sorted(search.importance.items(), key=lambda item: -item[1])
    most = max([share for _, share in ranked if share > 0], default=1.0)
    bar = '<svg class="bar" width="100%" height="10" aria-hidden="true"><rect width="{:.2f}%" height="10"/>'
    rows = "".join(
        _row(html_text(name), _percent(share), bar.format(100 * max(share, 0) / most) + "</svg>")
        for name, share in ranked
    )
    lead = "How much of the differences in UA each setting accounts for, estimated from the trials."
    shown = table("Importance", ("Setting", "Share", ""), rows, "bars aside")
    return section("importance", "What mattered", shown, lead)


def _settings(search: Search) -> str:
    best = search.best.settings
    # What is neither searched nor given is the default, though `default` may not name it.
    own = {name: v for name, v in best.items() if name not in search.space and name not in search.fixed}
    usual = own | dict(search.default.settings) if search.default else own
    changed = [name for name in best if name in usual and best[name] != usual[name]]
    rows = ""
    for name in sorted(best, key=lambda name: name not in search.space):
        source = str(search.space.get(name, "given" if name in search.fixed else "not searched"))
        texts = value_text(best[name]), value_text(usual[name]) if name in usual else "–", source
        tag = " <small>changed</small>" * (name in changed)
        row = _row(html_text(name) + tag, *map(html_text, texts))
        rows += row.replace("<tr>", "<tr class=changed>", 1) if tag else row
    lead = f"{len(best)} settings, {len(changed) or 'none'} other than the default."
    if search.default is None:
        lead = "The defaults were not measured: they lie outside what was searched, or failed."
    if edge := [name for name, d in search.space.items() if name in best and d.at_edge(best[name])]:
        lead += f" At the edge of its range, so that better may lie beyond: {html_text(', '.join(edge))}."
    shown = table("Best settings", ("Setting", "Best", "Default", "Searched"), rows, "settings aside")
    return section("settings", "Best settings", shown, lead)


def _all_trials(search: Search, trials: Sequence[Trial]) -> str:
    ranked = sorted(trials, key=lambda trial: (trial.ua is None, -(trial.ua or 0), trial.trial))
    lost = [trial for trial in ranked if trial.ua is None][:MOST_FAILED]
    shown = [trial for trial in ranked if trial.ua is not None][: MOST_ROWS - len(lost)] + lost
    heads = ("Trial", "UA", "Spread", "Outcome", "Time", *map(html_text, search.space))
    rows = ""
    for trial in shown:
        name, spread = html_text(trial.trial), None if trial.spread is None else f"{100 * trial.spread:.1f}"
        name += " <b>best</b>" * (trial.trial == search.best.trial)
        time = "–" if trial.seconds is None else elapsed(trial.seconds)
        figures = _percent(trial.ua), spread or "–", trial.outcome, time
        rows += _row(name, *figures, *_values(search, trial.settings))
        if trial.error:
            text = trial.error if len(trial.error) <= MOST_LETTERS else f"{trial.error[:MOST_LETTERS]} …"
            rows += f'<tr class="cause"><td colspan="{len(heads)}"><span>{html_text(text)}</span></td></tr>'
    lead = "By UA, the highest first; those that failed last, each with the cause."
    if len(shown) < len(trials):
        lead += f" Here are {len(shown):,} of {len(trials):,}; the rest is in {TRIALS}."
    return section("trials", "Trials", table("All trials", heads, rows, "numbers aside"), lead)


def _values(search: Search, settings: Settings) -> Iterator[str]:
    """The text of each searched setting."""
    return (html_text(value_text(settings[name])) if name in settings else "–" for name in search.space)


def _row(name: str, *cells: str) -> str:
    return f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _tile(name: str, value: str, beside: str, meaning: str) -> str:
    shown = f"<b>{value}</b> <span>{beside}</span><small>{html_text(meaning)}</small>"
    return f"<div><dt>{name}</dt><dd>{shown}</dd></div>"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _points(change: float) -> str:
    """A difference of two shares, in points."""
    points = round(100 * change, 1)
    return f"{points:+.1f}".replace("-", "\N{MINUS SIGN}") if points else "0.0"


def _spread(spread: float | None) -> str:
    return "" if spread is None else f"± {100 * spread:.1f}"
