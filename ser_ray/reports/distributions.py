"""How the scored calls are distributed, and what was heard in those of each agent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean, quantiles

from ser_ray.reports.phrases import Phrases
from ser_ray.reports.plot import Axis, counting_axis, plot, round_axis
from ser_ray.reports.records import Call
from ser_ray.reports.scores import Summary
from ser_ray.reports.template import fold, table
from ser_ray.reports.timeline import html_text

BINS = 20
HEIGHT = 130  # of a histogram, px
OUTLYING = 0.99  # share of scores that the axis reaches to; higher ones are in the last bin
FEW = 20  # calls of an agent below which chance alone moves its shares widely
UNFOLDED = 15  # agents up to which their table needs no unfolding


def distributions(summary: Summary, say: Phrases) -> str:
    """Histograms of negativity, score and confidence over the scored calls."""
    calls = summary.scored
    shares = Axis(0, 1, tuple((tick / 4, say.percent(tick / 4)) for tick in range(5)))
    scores = [call.worst_score or 0.0 for call in calls]
    return "".join(
        _histogram(f"histogram_{name}", values, axis or _score_axis(scores), told, say)
        for name, values, axis, told in (
            ("negativity", [c.negativity for c in calls if c.negativity is not None], shares, say.percent),
            ("score", scores, None, lambda score: f"{score:.1f}"),
            ("confidence", [c.confidence for c in calls if c.confidence is not None], shares, say.percent),
        )
        if values
    )


def agents(summary: Summary, say: Phrases) -> str:
    """A row for each agent, those with the largest share of negative stretches first; "" without agents."""
    of_agent: dict[str | None, list[Call]] = defaultdict(list)
    for call in summary.calls:
        of_agent[call.agent].append(call)
    if not of_agent.keys() - {None}:
        return ""
    rows = [_AgentRow(name, calls) for name, calls in of_agent.items()]
    rows.sort(key=lambda row: (row.few, -row.ranked, row.name or ""))
    known = summary.run.ensemble.certain_from is not None
    columns = ["agent", "calls", "failed", "ranked", "negativity", "confidence", *["uncertain"] * known]
    shown = table(
        html_text(say("agents")),
        [html_text(say(f"column_{column}")) for column in columns],
        "".join(row.cells(known, say) for row in rows),
    )
    if len(rows) <= UNFOLDED:
        return shown
    return fold(html_text(say("agents_fold", n=f"{len(of_agent.keys() - {None}):,}")), shown)


class _AgentRow:
    """What the calls of an agent come to."""

    def __init__(self, name: str | None, calls: Sequence[Call]) -> None:
        scored = [call for call in calls if call.status == "ok"]
        heard = [call.negativity for call in scored if call.negativity is not None]
        sure = [call.confidence for call in scored if call.confidence is not None]
        legs = [leg for call in scored for leg in call.legs or ()]
        speech_s = sum(leg.speech_s for leg in legs)
        self.name, self.calls, self.few = name, len(calls), len(scored) < FEW
        self.failed = sum(call.status == "error" for call in calls)
        self.ranked = sum((c.worst_score or 0) > 0 for c in scored) / len(scored) if scored else 0.0
        self.negativity, self.confidence = fmean(heard) if heard else None, fmean(sure) if sure else None
        self.uncertain = sum(leg.uncertain_s for leg in legs) / speech_s if speech_s else None

    def cells(self, uncertain_known: bool, say: Phrases) -> str:
        mark = f' <abbr title="{html_text(say("few_calls"))}">*</abbr>' if self.few else ""
        shares = [self.ranked, self.negativity, self.confidence, *[self.uncertain] * uncertain_known]
        cells = [f"{self.calls:,}", f"{self.failed:,}", *map(say.percent, shares)]
        name = say("not_known") if self.name is None else self.name
        columns = "".join(f"<td>{html_text(cell)}</td>" for cell in cells)
        return f'<tr><th scope="row"><bdi>{html_text(name)}</bdi>{mark}</th>{columns}</tr>'


def _score_axis(scores: Sequence[float]) -> Axis:
    highest = sorted(scores)[int(OUTLYING * (len(scores) - 1))]
    return round_axis([0.0, highest or 1.0])


def _histogram(key: str, values: Sequence[float], x: Axis, told: Callable[[float], str], say: Phrases) -> str:
    width = (x.high - x.low) / BINS
    counts = [0] * BINS
    for value in values:
        counts[min(max(int((value - x.low) / width), 0), BINS - 1)] += 1
    y = counting_axis(0, max(counts))
    bars = "".join(
        f'<rect class="count" x="{100 * n / BINS + 0.4:.2f}%" width="{100 / BINS - 0.8:.2f}%" '
        f'y="{100 - y.place(count):.2f}%" height="{y.place(count):.2f}%">'
        f"<title>{told(x.low + n * width)}–{told(x.low + (n + 1) * width)}: {say.calls(count)}</title></rect>"
        for n, count in enumerate(counts)
        if count
    )
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [values[0]]
    sentence = say("distribution", low=told(low), middle=told(middle), high=told(high))
    name = say(key)
    label = say("distribution_of", name=name, sentence=sentence)
    return (
        f"<figure><h3>{html_text(name)}</h3><figcaption>{html_text(sentence)}</figcaption>"
        f"{plot('histogram', label, HEIGHT, x, y, bars)}</figure>"
    )
