from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from preprocessing.datasets import DATASETS, DataSettings
from preprocessing.datasets.labels import SCHEMES, class_of, column_rule, find_scheme, scheme_rule
from preprocessing.errors import DatasetError, UsageError

ALL = [(dataset, name) for dataset, schemes in SCHEMES.items() for name in schemes]


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_a_word_belongs_to_at_most_one_class(dataset: str, name: str) -> None:
    words = [word for words in SCHEMES[dataset][name].values() for word in words]
    assert len(words) == len(set(words))
    assert all(word == word.lower().strip() for word in words), "emotions of clips are lower case"


@pytest.mark.parametrize(("dataset", "name"), ALL)
def test_every_word_finds_its_class(dataset: str, name: str) -> None:
    found_name, scheme = find_scheme(dataset, SCHEMES[dataset], name)
    assert found_name == name
    assert {class_of(word, scheme) for words in scheme.values() for word in words} == set(scheme)
    assert class_of("no such word", scheme) is None
    assert class_of(None, scheme) is None


def test_an_objective_class_is_no_emotion() -> None:
    _, scheme = find_scheme("casme2", SCHEMES["casme2"], "objective")
    assert class_of("disgust", scheme, "3") == "III"
    assert class_of("disgust", scheme, "7") is None
    assert class_of("disgust", scheme) is None
    assert class_of("disgust", find_scheme("casme2", SCHEMES["casme2"])[1], "3") == "disgust"


def test_the_first_scheme_is_the_default() -> None:
    assert find_scheme("synthetic", SCHEMES["synthetic"]) == ("5", SCHEMES["synthetic"]["5"])


def test_what_does_not_exist_is_refused_with_the_choice() -> None:
    with pytest.raises(DatasetError, match="choose one of 5, 3"):
        find_scheme("synthetic", SCHEMES["synthetic"], "7")
    with pytest.raises(DatasetError, match="'videos' has no labels"):
        find_scheme("videos", {})


@pytest.fixture
def manifest() -> pd.DataFrame:
    rows = [
        ("a", "happiness", "ok"),
        ("b", "repression", "ok"),
        ("c", "others", "ok"),
        ("d", None, "ok"),
        ("e", "surprise", "rejected"),
    ]
    return pd.DataFrame(rows, columns=["clip_id", "emotion", "status"])


class TestRules:
    def test_usable_rows_of_the_scheme_have_their_class(self, manifest: pd.DataFrame) -> None:
        (five, of_five), (three, of_three) = (
            DATASETS["synthetic"].label_rule(name).apply(manifest) for name in ("5", "3")
        )
        assert five == ("happiness", "surprise", "disgust", "repression", "others")
        assert three == ("positive", "negative", "surprise")
        assert dict(zip(of_five["clip_id"], of_five["label"], strict=True)) == {
            "a": "happiness",
            "b": "repression",
            "c": "others",
        }
        assert dict(zip(of_three["clip_id"], of_three["label"], strict=True)) == {"a": "positive", "b": "negative"}

    def test_no_words_at_all(self, manifest: pd.DataFrame) -> None:
        bare = manifest.assign(emotion=np.nan)  # as pandas reads a column that is empty
        classes, rows = scheme_rule("5", SCHEMES["synthetic"]["5"]).apply(bare)
        assert (len(classes), len(rows)) == (5, 0)

    def test_objective_classes_are_a_column_of_their_own(self, manifest: pd.DataFrame) -> None:
        numbered = manifest.assign(objective_class=["1", "2", None, "3", "4"])
        _, rows = DATASETS["casme2"].label_rule("objective").apply(numbered)
        assert dict(zip(rows["clip_id"], rows["label"], strict=True)) == {"a": "I", "b": "II", "d": "III"}

    def test_labels_that_stand_in_the_table_are_the_classes(self, manifest: pd.DataFrame) -> None:
        """Numbers by value and then words, those of rejected clips too: a class list does not depend on the files."""
        table = manifest.assign(emotion=["10", "b", "9", None, "a"])
        classes, rows = column_rule().apply(table)
        assert classes == ("9", "10", "a", "b")
        assert list(rows["label"]) == ["10", "b", "9"]
        assert column_rule().apply(table)[0] == DATASETS["streams"].label_rule().apply(table)[0]

    def test_each_kind_refuses_a_scheme_that_has_no_effect(self) -> None:
        with pytest.raises(UsageError, match="has no effect on streams: the column label is the class"):
            DATASETS["streams"].label_rule("3")
        with pytest.raises(DatasetError, match="'videos' has no labels"):
            DATASETS["videos"].label_rule()

    def test_a_part_of_a_data_set_may_have_its_own_schemes(self) -> None:
        part = DATASETS["casme_cubed"].label_rule(settings=DataSettings(options={"part": "c"}))
        assert (part.name, DATASETS["casme_cubed"].label_rule().name) == ("4", "7")
