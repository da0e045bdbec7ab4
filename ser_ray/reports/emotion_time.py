"""Time in each emotion by leg, as bars and a table."""

from __future__ import annotations

from ser_ray.reports.phrases import Phrases
from ser_ray.reports.ranking import swatch
from ser_ray.reports.scores import LegTime, Summary
from ser_ray.reports.timeline import html_text, stacked_bar


def emotion_time(summary: Summary, say: Phrases) -> str:
    """Bars and table over all scored calls."""
    legs = [leg for leg in summary.emotion_time if leg.total_s > 0]
    if not legs:
        return f'<p class="lead">{html_text(say("time_none"))}</p>'
    ensemble = summary.run.ensemble
    known = ensemble.certain_from is not None
    bars = "".join(_leg_bar(leg, ensemble.negative, known, say) for leg in legs)
    emotions = dict.fromkeys(emotion for leg in legs for emotion in leg.seconds)
    heads = "".join(f'<th scope="col">{html_text(say.leg(leg.leg))}</th>' for leg in legs)
    rows = "".join(
        f'<tr><th scope="row">{swatch(emotion)}{html_text(say.emotion(emotion))}</th>'
        f"{''.join(_cell(leg, leg.seconds.get(emotion, 0.0), say) for leg in legs)}</tr>"
        for emotion in emotions
    )
    total = "".join(
        f"<td>{say('percent', share='100')} <small>{say.elapsed(leg.total_s)}</small></td>" for leg in legs
    )
    return (
        f'{bars}<div class="scroll"><table class="times"><caption>{html_text(say("time_caption"))}</caption>'
        f'<thead><tr><th scope="col">{html_text(say("column_emotion"))}</th>{heads}</tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><th scope="row">{html_text(say("all"))}</th>{total}</tr></tfoot>'
        "</table></div>"
    )


def _leg_bar(leg: LegTime, negative: tuple[str, ...], known: bool, say: Phrases) -> str:
    share = sum(leg.seconds.get(label, 0.0) for label in negative) / leg.total_s
    text = say("time_negative", share=say.percent(share), length=say.elapsed(leg.total_s))
    if known:
        text += "; " + say("time_uncertain", share=say.percent(leg.uncertain_s / leg.total_s))
    name = say.leg(leg.leg)
    return (
        f'<div class="leg-bar"><h3>{html_text(name)}</h3><p>{html_text(text)}</p>'
        f"{stacked_bar(name, leg.seconds, say)}</div>"
    )


def _cell(leg: LegTime, time_s: float, say: Phrases) -> str:
    return f"<td>{say.finely(time_s / leg.total_s)} <small>{say.elapsed(time_s)}</small></td>"
