import pickle

import pytest

from ser_ray import errors

ALL = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SerRayError)
]


def test_an_unknown_name_is_answered_with_the_nearest_ones():
    error = errors.UnknownName("family", "random-forrest", ["svm", "random_forest", "xgboost"])
    assert str(error) == "unknown family 'random-forrest'. Did you mean: random_forest?"


def test_a_name_like_no_other_is_answered_with_what_there_is():
    error = errors.UnknownName("rule", "qqqq", ["soft", "max"])
    assert str(error) == "unknown rule 'qqqq'. Did you mean: max, soft?"


@pytest.mark.parametrize(
    "error",
    [
        errors.UnknownName("corpus", "emo-db", ["emodb", "ravdess"]),
        errors.UnreadableAudio("truncated", "half of it is gone"),
        errors.BadStore("no value"),
        errors.StorageFailed("the store is busy", passing=True),
    ],
)
def test_errors_travel_between_processes_whole(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_what_the_user_can_mend_exits_with_2_and_failures_with_1():
    assert {kind.__name__ for kind in ALL if kind.exit_code == 1} == {
        "SerRayError",
        "StorageFailed",
        "RunFailed",
        "UnreadableAudio",
    }
    assert {kind.exit_code for kind in ALL} == {1, 2}


def test_only_a_failure_that_says_so_is_worth_another_attempt():
    assert [kind.__name__ for kind in ALL if kind.passing] == []
    assert errors.StorageFailed("the store is busy", passing=True).passing
    assert not errors.StorageFailed("no permission").passing
