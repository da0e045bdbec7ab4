"""Times, reasons and foreign text as a reader meets them."""

from __future__ import annotations

import pytest

from ser_ray.reports.phrases import ENGLISH, KOREAN
from ser_ray.reports.records import Stretch
from ser_ray.reports.wording import clock, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00"), (59.6, "01:00"), (130.2, "02:10"), (3599.7, "1:00:00"), (7384, "2:03:04")],
)
def test_clock_reads_as_in_a_player(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("trend", "word", "korean"),
    [
        (0.3, ", rising", ", 상승"),
        (-0.3, ", falling", ", 하락"),
        (0.05, ", steady", ", 유지"),
        (0.096, ", rising", ", 상승"),  # shown as +0.10
        (None, "", ""),
    ],
)
def test_reason_is_a_sentence(trend: float | None, word: str, korean: str) -> None:
    stretch = Stretch("customer", 130.0, 168.0, "anger", 0.81, 11.8, trend)
    assert ENGLISH.reason(stretch) == f"customer: anger from 02:10 to 02:48, 81 % negative{word}"
    assert KOREAN.reason(stretch) == f"고객: 분노 02:10부터 02:48까지, 부정도 81%{korean}"


@pytest.mark.parametrize(("text", "safe"), [("a\nb\tc", "a b c"), ("\x1b[2J", "�[2J"), ("Zoë 東", "Zoë 東")])
def test_printable_keeps_words_and_marks_control_characters(text: str, safe: str) -> None:
    assert printable(text) == safe
