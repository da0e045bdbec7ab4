"""Folders of searches that are incomplete, damaged, of another form or at odds with themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from ser_ray.errors import BadStore, MissingInput
from ser_ray.reports.searches import Dimension
from ser_ray.reports.tuning_page import has_tuning_page, write_tuning_page
from tests.reports.searches import ROWS, SCHEMA, page_of, write_search


@pytest.mark.parametrize("name", ["tuning.json", "trials.parquet"])
def test_missing_and_cut_files_are_refused_in_one_line_with_the_mend(name: str, tmp_path: Path) -> None:
    folder = write_search(tmp_path / "search")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BadStore, match=rf"{name} is not .*Run the search into this folder again\.") as error:
        write_tuning_page(str(folder), str(tmp_path / "page.html"))
    assert "\n" not in str(error.value)
    (folder / name).unlink()
    with pytest.raises(MissingInput, match=rf"has no {name}.*Run the search into this folder again\."):
        write_tuning_page(str(folder), str(tmp_path / "page.html"))
    assert has_tuning_page(str(folder)) == (name != "tuning.json")
    with pytest.raises(MissingInput, match="search folder not found"):
        write_tuning_page(str(tmp_path / "gone"), str(tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"utterances": "many"}, r"tuning\.json is not what a search writes: utterances: "),
        ({"best": {"settings": {}, "ua": 1.5}}, r"best\.ua: "),
        ({"space": {"C": {"type": "log", "low": 0, "high": 1}}}, r"space\.C: "),
        ({"outer": {"protocol": "loso"}}, r"outer\.utterances: "),
        (
            {"rows": [ROWS[0] | {"settings": "{"}]},
            r"trials\.parquet is not what .*: 0\.settings: Invalid JSON",
        ),
        ({"rows": [ROWS[0] | {"status": "odd"}]}, r"0\.status: "),
        ({"rows": []}, r"trials\.parquet holds no trial"),
    ],
)
def test_values_of_another_form_are_refused_in_one_line(
    changed: dict[str, Any], where: str, tmp_path: Path
) -> None:
    with pytest.raises(BadStore, match=where) as error:
        page_of(tmp_path, **changed)
    assert "\n" not in str(error.value)


def test_table_without_a_column_is_refused(tmp_path: Path) -> None:
    folder = write_search(tmp_path / "search")
    pq.write_table(pa.Table.from_pylist(ROWS, SCHEMA).drop_columns(["settings"]), folder / "trials.parquet")
    with pytest.raises(BadStore, match=r"trials\.parquet is not what a search writes: .*settings"):
        write_tuning_page(str(folder), str(tmp_path / "page.html"))


@pytest.mark.parametrize(
    "bad", [{"type": "log", "low": 0, "high": 1}, {"type": "int", "low": 2, "high": 1}, {"type": "choice"}]
)
def test_dimension_that_cannot_be_drawn_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="must"):
        TypeAdapter(Dimension).validate_python(bad)


def test_files_that_do_not_tell_the_same_are_found_out(tmp_path: Path) -> None:
    shown = page_of(tmp_path, rows=ROWS[1:])
    assert "tuning.json counts 3 trials as done, trials.parquet holds 2." in shown.text
    assert "The best trial, 00003, is not in trials.parquet with its UA." in shown.text
    assert len(shown.all("section", "notice")) == 1
