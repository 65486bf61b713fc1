from __future__ import annotations

import pytest

from preprocessing.datasets.labels import SCHEMES, class_of, find_scheme
from preprocessing.errors import DatasetError

ALL = [(dataset, name) for dataset, schemes in SCHEMES.items() for name in schemes]


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_a_word_belongs_to_at_most_one_class(dataset: str, name: str) -> None:
    words = [word for words in SCHEMES[dataset][name].values() for word in words]
    assert len(words) == len(set(words))
    assert all(word == word.lower().strip() for word in words), "emotions of clips are lower case"


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_every_word_finds_its_class(dataset: str, name: str) -> None:
    found_name, scheme = find_scheme(dataset, name)
    assert found_name == name
    assert {class_of(word, scheme) for words in scheme.values() for word in words} == set(scheme)
    assert class_of("no such word", scheme) is None
    assert class_of(None, scheme) is None


def test_an_objective_class_is_no_emotion() -> None:
    _, scheme = find_scheme("casme2", "objective")
    assert class_of("disgust", scheme, "3") == "III"
    assert class_of("disgust", scheme, "7") is None
    assert class_of("disgust", scheme) is None
    assert class_of("disgust", find_scheme("casme2")[1], "3") == "disgust"


def test_the_first_scheme_is_the_default() -> None:
    assert find_scheme("synthetic") == ("5", SCHEMES["synthetic"]["5"])


def test_what_does_not_exist_is_refused_with_the_choice() -> None:
    with pytest.raises(DatasetError, match="choose one of 5, 3"):
        find_scheme("synthetic", "7")
    with pytest.raises(DatasetError, match="'videos' has no labels"):
        find_scheme("videos")
