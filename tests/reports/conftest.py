"""Pages and what they are of, made once for all tests of reports."""

from __future__ import annotations

import pytest

from ser_ray.models import Model
from tests.reports import models, searches
from tests.reports.nights import night, write_scores
from tests.reports.pages import Page


@pytest.fixture(scope="session")
def model_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a support vector machine."""
    return Page(models.page_of(models.model(), tmp_path_factory.mktemp("svm")))


@pytest.fixture(scope="session")
def perceptron() -> Model:
    """A network of two epochs."""
    return models.model("mlp", epochs=2, hidden="8", batch=8)


@pytest.fixture(scope="session")
def scores(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The scores folder of a usual night."""
    return write_scores(tmp_path_factory.mktemp("night") / "scores", night())


@pytest.fixture(scope="session")
def search_page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The page of a search with outer folds."""
    return searches.page_of(tmp_path_factory.mktemp("search"), outer=searches.OUTER)
