from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from preprocessing.datasets import DATASETS, find_dataset, read_schemes
from preprocessing.errors import UsageError

MINE = """
[casme2.mine]
positive = ["happiness"]
negative = ["Disgust", "repression"]
[casme2.other]
"strong feeling" = ["surprise"]
rest = ["others"]
[samm.mine]
negative = ["anger"]
positive = ["happiness"]
"""


def write(tmp_path: Path, text: str) -> str:
    (tmp_path / "my_schemes.toml").write_text(text, encoding="utf-8")
    return str(tmp_path / "my_schemes.toml")


def test_a_scheme_of_ones_own_labels_clips_beside_those_that_are_there(tmp_path: Path) -> None:
    schemes = read_schemes(write(tmp_path, MINE), DATASETS)
    rule = DATASETS["casme2"].label_rule("mine", schemes)
    manifest = pd.DataFrame({"clip_id": list("abc"), "emotion": ["disgust", "happiness", "others"], "status": "ok"})
    classes, rows = rule.apply(manifest)
    assert (rule.name, classes) == ("mine", ("positive", "negative"))
    assert list(rows["label"]) == ["negative", "positive"], "words of clips are lower case"
    assert DATASETS["casme2"].label_rule(None, schemes).name == "5", "the default stays"
    assert DATASETS["casme2"].label_rule("other", schemes).classes == ("strong feeling", "rest")


def test_several_data_sets_share_it(tmp_path: Path) -> None:
    schemes = read_schemes(write(tmp_path, MINE), DATASETS)
    assert find_dataset("casme2+samm").label_rule("mine", schemes).classes == ("positive", "negative")


def test_without_a_file_there_are_none() -> None:
    assert read_schemes(None, DATASETS) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[casme22.mine]\na = ['x']\nb = ['y']\n", "there is no data set 'casme22'; did you mean casme2"),
        ("[streams.mine]\na = ['x']\nb = ['y']\n", r"data set streams takes no label schemes, so \[streams\] has no"),
        ("[megc2019.mine]\na = ['x']\nb = ['y']\n", "data set megc2019 takes no label schemes"),
        ("[videos.mine]\na = ['x']\nb = ['y']\n", "data set videos takes no label schemes"),
        ("casme2 = 3\n", r"casme2 = 3, wanted tables like \[casme2.mine\]"),
        ("[casme2]\nmine = 3\n", r"\[casme2.mine\] is 3, wanted a table of classes"),
        ("[casme2.5]\na = ['x']\nb = ['y']\n", "casme2 has a scheme '5' already; choose another name"),
        ("[casme2.none]\na = ['x']\nb = ['y']\n", "'none' cannot be the name of a scheme"),
        ("[casme2.'a/b']\na = ['x']\nb = ['y']\n", "'a/b' cannot be the name of a scheme"),
        ("[casme2.mine]\na = ['x']\n", r"\[casme2.mine\] has 1 classes, wanted two or more"),
        ("[casme2.mine]\na = ['x']\nb = []\n", "class b has no words"),
        ("[casme2.mine]\na = ['x']\nb = 'y'\n", "b = 'y', wanted a list of emotion words"),
        ("[casme2.mine]\na = ['x']\nb = [1]\n", r"b = \[1\], wanted a list of emotion words"),
        ("[casme2.mine]\na = ['x']\n'' = ['y']\n", "'' cannot be the name of a class"),
        ("[casme2.mine]\na = ['x']\nb = ['y', 'X ']\n", "'x' is in the classes a and b; a word has one class"),
        ("[casme2.mine\n", "my_schemes.toml is not TOML"),
        ("[casme2.mine]\na = " + "[" * 3000, "nested deeper than 100 levels"),
    ],
)
def test_a_file_that_cannot_be_is_told_in_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        read_schemes(write(tmp_path, text), DATASETS)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml cannot be read \(No such file"):
        read_schemes(str(tmp_path / "none.toml"), DATASETS)
    with pytest.raises(UsageError, match="cannot be read"):
        read_schemes(str(tmp_path), DATASETS)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="are not UTF-8 text"):
        read_schemes(str(tmp_path / "a.toml"), DATASETS)
