"""Every family can be searched: its space is drawn from, and what is drawn can be trained and tried."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ser_ray import features
from ser_ray.models import FAMILIES, family
from ser_ray.models.inputs import joined
from ser_ray.models.space import space_of
from ser_ray.pipelines.objectives import FamilyObjective
from ser_ray.pipelines.search import RUNGS, SearchOptions, searcher_of

ROWS = 24
QUICK = {"epochs": 3, "batch": 8, "folds": 2, "min_leaf": 1, "trees": {"low": 18, "high": 36}}
NEEDED: dict[str, dict[str, Any]] = {  # what has no default of use here
    "vgg_attention": {"weights": "none"},
    "gan_blstm": {"negative": "a", "gan_epochs": 1},
}


def values_of(spec: str, rng: np.random.Generator) -> np.ndarray:
    """What a feature might give for utterances of two classes in turn; pictures and waves are small ones."""
    feature = features.get(spec)
    found = np.empty(ROWS, object)
    for row in range(ROWS):
        shape = {"image": (32, 32), "colour_image": (32, 32, 3)}.get(feature.name, feature.shape)
        if feature.name.startswith("waveform"):
            shape = (4000, 1)
        size = [rng.integers(40, 60) if n is None else n for n in shape]
        found[row] = rng.normal(row % 2, 1.0, size).astype(np.float32)
    return np.stack(found) if len(feature.shape) == 1 else found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny speech encoder of random weights."""
    transformers = pytest.importorskip("transformers", reason="the extra `ssl` is not installed")
    folder = str(tmp_path_factory.mktemp("encoder"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.Wav2Vec2Config(**sizes, conv_dim=(8,) * 7, num_conv_pos_embedding_groups=2)
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_what_the_searcher_draws_can_be_tried(name: str, request: pytest.FixtureRequest) -> None:
    kind, rng = family(name), np.random.default_rng(0)
    given = {**{k: v for k, v in QUICK.items() if k in kind.defaults}, **NEEDED.get(name, {})}
    if name == "ssl_finetune":
        given["checkpoint"] = request.getfixturevalue("checkpoint")
    space = space_of(kind, given)
    X = joined([values_of(spec, rng) for spec in kind.features])
    y, speakers = np.arange(ROWS) % 2, np.arange(ROWS) // 6
    data = SimpleNamespace(y=y, labels=("a", "b"), speakers=speakers, voices=None, sources=np.arange(ROWS))
    variants: Any = SimpleNamespace(data=data, of=lambda settings: X)
    objective = FamilyObjective(name, space.fixed, variants, np.arange(ROWS), 2, 0)
    searcher = searcher_of(space, SearchOptions(seed=1), [], [])
    settings = searcher.suggest("one")
    assert space.holds(settings)
    tried = list(objective(settings, [work / RUNGS[-1] for work in RUNGS]))
    assert len(tried) == (len(RUNGS) if kind.grow else 1)
    assert all(len(stop.scores) == 2 and all(0 <= ua <= 1 for ua in stop.scores) for stop in tried)
    if not kind.deep:
        assert np.mean(tried[-1].scores) > 0.7  # the classes lie apart
