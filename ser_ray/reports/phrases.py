"""The words of the scores page in one language: phrases, names of emotions and legs, lengths, days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

from ser_ray.errors import UsageError
from ser_ray.reports.phrases_en import EN
from ser_ray.reports.phrases_ko import KO
from ser_ray.reports.records import Stretch
from ser_ray.reports.scores import Problem
from ser_ray.reports.wording import clock, elapsed, signed

Language = Literal["en", "ko"]
TREND_STEP = 0.1  # change of negativity between the first and the last third that counts as a trend
LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True)
class Phrases:
    """A table of phrases: `say(key, name=text)` fills in the names that stand in braces.

    Emotions and legs have keys of their own, `emotion.anger` and `leg.agent`; those without one are shown
    as they are written in the rows.
    """

    language: Language
    table: Mapping[str, str]

    def __call__(self, key: str, /, **values: str) -> str:
        """The phrase of a key; raises KeyError where there is none, or a value is missing."""
        return self.table[key].format(**values)

    def emotion(self, label: str) -> str:
        """The name of an emotion."""
        return self.table.get(f"emotion.{label}", label)

    def leg(self, name: str) -> str:
        """The name of a leg."""
        return self.table.get(f"leg.{name}", name)

    def emotions(self, labels: Iterable[str]) -> str:
        """Names of emotions in one line."""
        return ", ".join(map(self.emotion, labels))

    def calls(self, count: int) -> str:
        """A number of calls."""
        return self("calls_one" if count == 1 else "calls", n=f"{count:,}")

    def problem(self, problem: Problem) -> str:
        """A count that does not add up, in a sentence."""
        return self(f"problem.{problem.key}", **problem.values)

    def percent(self, share: float | None) -> str:
        """A share of one in whole per cent, a dash where there is none."""
        return "–" if share is None else self("percent", share=f"{100 * share:.0f}")

    def finely(self, share: float | None) -> str:
        """A share of one in per cent to one place."""
        return "–" if share is None else self("percent", share=f"{100 * share:.1f}")

    def elapsed(self, seconds: float) -> str:
        """A length of time in its two largest units."""
        return elapsed(
            seconds, [self.table[form] for form in ("hours_minutes", "minutes_seconds", "seconds")]
        )

    def day(self, day: date) -> str:
        """A day of the calendar."""
        return self("day", day=f"{day.day}", month=self(f"month.{day.month}"), year=f"{day.year}")

    def trend(self, change: float | None) -> str:
        """The course of the negativity over a call, in one word; "" where it is not known."""
        if change is None:
            return ""
        if abs(round(change, 2)) < TREND_STEP:
            return self("steady")
        return self("rising" if change > 0 else "falling")

    def course(self, change: float | None) -> str:
        """The trend in a word and a number, a dash where it is not known."""
        return "–" if change is None else f"{self.trend(change)} ({signed(change)})"

    def reason(self, worst: Stretch) -> str:
        """Why a call needs a person, in one line."""
        return " ".join(self.reason_parts(worst))

    def reason_parts(self, worst: Stretch) -> tuple[str, str]:
        """The reason in two parts: who feels what, and when and how it goes."""
        who = self("reason_who", leg=self.leg(worst.leg), emotion=self.emotion(worst.emotion))
        span = self("reason_span", start=clock(worst.start_s), end=clock(worst.end_s))
        share = self("reason_share", share=self.percent(worst.negativity))
        return who, ", ".join(part for part in (span, share, self.trend(worst.trend)) if part)


ENGLISH = Phrases("en", EN)
KOREAN = Phrases("ko", KO)


def phrases(language: str) -> Phrases:
    """The words of a language; raises UsageError where there are none."""
    for known in (ENGLISH, KOREAN):
        if known.language == language:
            return known
    raise UsageError(f"no words of language {language!r}. Give one of {', '.join(LANGUAGES)}.")
