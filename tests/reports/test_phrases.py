"""The words of the scores page: every one in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ser_ray.corpora.labels import EMOTIONS
from ser_ray.errors import UsageError
from ser_ray.reports import write_scores_page
from ser_ray.reports.phrases import ENGLISH, KOREAN, phrases
from tests.reports.pages import Page

HANGUL = re.compile("[가-힣]")


def test_both_languages_have_the_same_phrases_with_the_same_places() -> None:
    assert ENGLISH.table.keys() == KOREAN.table.keys()
    for key, english in ENGLISH.table.items():
        places, theirs = (re.findall(r"{\w+", text) for text in (english, KOREAN.table[key]))
        assert set(places) == set(theirs), key


def test_every_emotion_has_a_name_in_both_languages() -> None:
    assert all(ENGLISH.emotion(label) == label for label in EMOTIONS)
    assert all(HANGUL.search(KOREAN.emotion(label)) for label in EMOTIONS)
    assert len({KOREAN.emotion(label) for label in EMOTIONS}) == len(EMOTIONS)


def test_headings_of_the_korean_page_are_korean(scores: str, tmp_path: Path) -> None:
    write_scores_page(scores, str(tmp_path / "ko.html"), language="ko")
    page = Page((tmp_path / "ko.html").read_text())
    assert page.all("html") == [{"lang": "ko"}]
    assert all(HANGUL.search(name) for name in page.facts)
    heads = [cell for rows in page.tables.values() for cell in rows[0]]
    assert all(HANGUL.search(head) for head in heads)
    labels = [attributes["aria-label"] or "" for _, attributes in page.elements if "aria-label" in attributes]
    assert all(HANGUL.search(label) for label in labels)


def test_another_language_is_refused(scores: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no words of language 'fr'"):
        phrases("fr")
