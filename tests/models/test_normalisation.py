"""Normalisation: what is asked for, mean and variance, and what holds for all kinds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ser_ray.errors import UnknownName, UsageError
from ser_ray.models.normalisation import get, spec_of
from ser_ray.models.normaliser import TRANSDUCTIVE
from tests.models.examples import ALL, EXACT, FOR_VECTORS, pieces, rows, standard

# What is asked for.


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cmvn", "cmvn"),
        ("cmvn(scope=corpus)", "cmvn"),
        (" cmvn( scope = speaker , prior = 8 ) ", "cmvn(scope=speaker,prior=8.0)"),
        ("equalise(scope=speaker)", "equalise"),
        ("equalise(scope=utterance)", "equalise(scope=utterance)"),
        ("none", "none"),
    ],
)
def test_a_normalisation_is_found_by_its_text_and_gives_it_back(text, canonical):
    assert spec_of(get(text)) == canonical
    assert get(canonical) == get(text)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("cmn", UnknownName, "unknown normalisation 'cmn'.*cmvn"),
        (
            "cmvn(scope=session)",
            UsageError,
            "scope=session will not do, it must be one of utterance, speaker",
        ),
        ("equalise(scope=corpus)", UsageError, "one of speaker, utterance"),
        ("cmvn(prior=2)", UsageError, "prior=2.0 will not do, it says nothing to scope=corpus"),
        ("cmvn(scope=speaker,prior=-1)", UsageError, "number from 0"),
        ("cmvn(scope=speaker,prior=nan)", UsageError, "prior=nan will not do"),
        ("cmvn(scope=speaker", UsageError, "is not of the form"),
    ],
)
def test_what_cannot_be_is_refused_with_the_mend(text, error, message):
    with pytest.raises(error, match=message):
        get(text)


@pytest.mark.parametrize("name", ["cmvn", "equalise"])
def test_a_vector_is_not_normalised_by_itself(name):
    with pytest.raises(
        UsageError, match=r"needs frame sequences.*Use scope=speaker, or cmvn\(scope=corpus\)"
    ):
        get(f"{name}(scope=utterance)").fit(rows())


@pytest.mark.parametrize("name", ["cmvn", "equalise"])
def test_unknown_speakers_are_refused_in_training_and_at_test(name):
    chosen, speakers = get(f"{name}(scope=speaker)"), ["a", "b"] * 20
    message = r"needs to know who speaks\. Give the column speaker.* or use cmvn\(scope=corpus\)"
    for groups in (None, [None, *speakers[1:]]):
        with pytest.raises(UsageError, match=message):
            chosen.fit(rows(), groups)
        with pytest.raises(UsageError, match=message):
            chosen.fit(rows(), speakers)(rows(), groups)


def test_features_that_are_no_numbers_are_refused():
    for bad in (np.nan, np.inf):
        X = rows()
        X[3, 1] = bad
        for text in ("cmvn", "equalise"):
            with pytest.raises(UsageError, match="NaN or infinite"):
                get(text).fit(X, ["a"] * 40)


def test_only_speakers_are_called_transductive():
    assert [get(t).transductive for t in ("cmvn", "cmvn(scope=utterance)", "equalise")] == [
        False,
        False,
        True,
    ]
    assert TRANSDUCTIVE.startswith("transductive")


# Mean and variance.


def test_the_corpus_is_brought_to_mean_zero_and_variance_one_and_measures_all_else():
    X, unseen = rows(shift=5.0, scale=3.0), rows(7, seed=1)
    normaliser = get("cmvn").fit(X)
    np.testing.assert_allclose(normaliser(X).mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(normaliser(X).var(axis=0), 1.0, **EXACT)
    np.testing.assert_allclose(normaliser(unseen), standard(unseen, X), **EXACT)
    alone = np.concatenate([normaliser(unseen[i : i + 1]) for i in range(7)])
    np.testing.assert_array_equal(alone, normaliser(unseen))


def test_the_corpus_of_sequences_is_all_their_frames():
    X = pieces([3, 50, 1, 20], shift=4.0)
    done = get("cmvn").fit(X)(X)
    for before, after in zip(X, done, strict=True):
        np.testing.assert_allclose(after, standard(before, np.concatenate(list(X))), **EXACT)


matrices = st.integers(1, 4).flatmap(
    lambda columns: st.integers(2, 30).flatmap(
        lambda n: arrays(np.float64, (n, columns), elements=st.floats(-1e3, 1e3, width=32))
    )
)


@settings(max_examples=80, deadline=None)
@given(matrices)
def test_each_utterance_has_mean_zero_and_variance_one_or_none(X):
    done = get("cmvn(scope=utterance)").fit([X, X + 1.0])([X])[0]
    np.testing.assert_allclose(done.mean(axis=0), 0.0, atol=1e-3)
    variance, still = done.var(axis=0), X.std(axis=0) < 1e-6 * np.abs(X.mean(axis=0)) + 1e-12
    np.testing.assert_allclose(variance[~still], 1.0, atol=1e-6)
    np.testing.assert_allclose(done[:, X.std(axis=0) == 0], 0.0, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_a_prior_each_speaker_has_mean_zero_and_variance_one(data):
    X = data.draw(arrays(np.float64, (30, 2), elements=st.floats(-1e3, 1e3, width=32)))
    X += np.linspace(0, 30, 30)[:, None]  # no column of a speaker stands still
    speakers = np.array(data.draw(st.lists(st.sampled_from("abc"), min_size=30, max_size=30)))
    done = get("cmvn(scope=speaker,prior=0)").fit(X, speakers)(X, speakers)
    for speaker in set(speakers):
        own = X[speakers == speaker]
        varied = own.std(axis=0) > 1e-3
        np.testing.assert_allclose(done[speakers == speaker].mean(axis=0), 0.0, atol=1e-6)
        np.testing.assert_allclose(done[speakers == speaker].var(axis=0)[varied], 1.0, atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 200])
def test_a_speaker_is_measured_as_if_utterances_of_the_corpus_stood_beside_their_own(n):
    """With the whole corpus as prior, that is what its rows put beside them give."""
    corpus, own = rows(40), rows(n, seed=1, shift=8.0, scale=0.5)
    normaliser = get("cmvn(scope=speaker,prior=40)").fit(corpus, ["x"] * 40)
    expected = standard(own, np.concatenate([own, corpus]))
    np.testing.assert_allclose(normaliser(own, ["new"] * n), expected, **EXACT)


def test_training_speakers_and_test_speakers_are_measured_by_the_same_rule():
    corpus, speakers = rows(40), np.array(["a", "b"] * 20)
    normaliser = get("cmvn(scope=speaker)").fit(corpus, speakers)
    renamed = np.where(speakers == "a", "unheard", "heard less")
    np.testing.assert_array_equal(normaliser(corpus, renamed), normaliser(corpus, speakers))


def test_of_sequences_the_prior_counts_utterances_not_frames():
    corpus, own = pieces([30, 30]), pieces([10, 20, 5], seed=1, shift=8.0)
    normaliser = get("cmvn(scope=speaker,prior=1)").fit(corpus, ["x", "y"])
    frames, known = np.concatenate(list(own)), np.concatenate(list(corpus))
    weight = 3 / (3 + 1)
    mean = weight * frames.mean(axis=0) + (1 - weight) * known.mean(axis=0)
    square = weight * (frames**2).mean(axis=0) + (1 - weight) * (known**2).mean(axis=0)
    done = normaliser(own, ["z"] * 3)
    for before, after in zip(own, done, strict=True):
        np.testing.assert_allclose(after, (before - mean) / np.sqrt(square - mean**2), **EXACT)


def test_little_of_a_speaker_moves_little():
    """One utterance far off stays off; of many, the distance of the speaker is all but gone."""
    corpus = rows(400)
    normaliser = get("cmvn(scope=speaker)").fit(corpus, ["x"] * 400)
    far = [np.abs(normaliser(rows(n, seed=n, shift=6.0), ["new"] * n).mean()) for n in (1, 4, 16, 256)]
    assert far == sorted(far, reverse=True)
    assert far[0] > 1.0  # of 6 deviations
    assert far[-1] < 0.1


@pytest.mark.parametrize("text", ["cmvn", "cmvn(scope=speaker)", "cmvn(scope=speaker,prior=0)", "equalise"])
def test_columns_that_never_vary_divide_by_nothing(text):
    X = rows(20).astype(np.float32)
    X[:, 0], X[:, 1] = 0.1, 0.0
    speakers = np.repeat(["a", "b"], 10)
    normaliser = get(text).fit(X, speakers)
    with np.errstate(all="raise"):
        done = normaliser(X, speakers)
        moved = normaliser(X + np.float32(1e-6), speakers)  # nor are they made much of at test
    assert np.isfinite(done).all()
    np.testing.assert_allclose(moved[:, :2], done[:, :2], atol=1e-5)


def test_rounding_in_a_column_that_never_varies_is_no_variance():
    X = np.full((20, 1), 0.1, np.float32)
    X[3] = np.nextafter(np.float32(0.1), np.float32(1.0))
    unseen = np.full((1, 1), 0.2, np.float32)
    assert get("cmvn").fit(X)(unseen) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("scope", ["speaker,prior=0", "utterance"])
def test_what_stands_still_in_one_group_is_measured_by_the_corpus(scope):
    known = pieces([30, 30])
    still = [np.full((5, 3), 2.0)]
    normaliser = get(f"cmvn(scope={scope})").fit(known, ["a", "b"])
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(normaliser(still, ["c"])[0], np.zeros((5, 3)))
    nearly = [np.array([[2.0], [2.0], [2.0 + 1e-8]]) * np.ones(3)]  # rounding, not variance
    assert np.abs(normaliser(nearly, ["c"])[0]).max() < 1e-7


# What holds for all.


@pytest.mark.parametrize("text", FOR_VECTORS)
def test_a_row_depends_on_its_own_group_only_to_the_bit(text):
    X, speakers = rows(30), np.array([f"s{i % 4}" for i in range(30)])
    normaliser = get(text).fit(rows(60, seed=2), ["x"] * 60)
    mine = speakers == "s1"
    others = X.copy()
    others[~mine] = 1e6
    np.testing.assert_array_equal(normaliser(others, speakers)[mine], normaliser(X, speakers)[mine])
    np.testing.assert_array_equal(normaliser(X[mine], speakers[mine]), normaliser(X, speakers)[mine])
    named = [(int(s[1]), "agent") for s in speakers]  # anything that can be compared names a group
    np.testing.assert_array_equal(normaliser(X, named), normaliser(X, speakers))


@pytest.mark.parametrize("text", FOR_VECTORS)
def test_test_rows_change_no_statistics(text):
    normaliser = get(text).fit(rows(), ["x"] * 40)
    before = {name: values.copy() for name, values in normaliser.statistics.items()}
    normaliser(rows(seed=1, shift=100.0), ["y"] * 40)
    for name, values in before.items():
        np.testing.assert_array_equal(normaliser.statistics[name], values)


@pytest.mark.parametrize("text", ALL)
def test_lists_stacks_and_object_arrays_are_one_and_the_same(text):
    stack = np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32)
    objects = np.empty(4, object)
    objects[:] = list(stack)
    speakers = ["a", "b", "a", "a"]
    done = [get(text).fit(X, speakers)(X, speakers) for X in (stack, list(stack), objects)]
    assert (done[0].shape, done[0].dtype, done[1].dtype) == ((4, 9, 2), np.float32, object)
    for k in range(4):
        assert done[2][k].dtype == np.float32
        np.testing.assert_array_equal(done[0][k], done[1][k])
        np.testing.assert_array_equal(done[0][k], done[2][k])


@pytest.mark.parametrize("text", ALL)
def test_the_features_themselves_are_left_alone(text):
    X = pieces([4, 5])
    before = [x.copy() for x in X]
    get(text).fit(X, ["a", "b"])(X, ["a", "b"])
    for x, y in zip(X, before, strict=True):
        np.testing.assert_array_equal(x, y)
