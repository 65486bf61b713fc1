"""Sets of labels from manifests: action units in every notation, and emotions that occur together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from preprocessing.artefacts.manifest import read_manifest, write_manifest
from preprocessing.datasets import DATASETS
from preprocessing.datasets.label_sets import action_unit_rule, joint_rule, names_in
from preprocessing.errors import DatasetError, UsageError
from tests.preprocessing.lookalikes import full_four_dme


def manifest(cells: list[str | None], column: str = "action_units") -> pd.DataFrame:
    rows = [
        {"clip_id": f"x/s/{i}", "subject": "x/s", "emotion": "others", "status": "ok", column: cell}
        for i, cell in enumerate(cells)
    ]
    return pd.DataFrame(rows)


CELLS = ["L4", "12B", "4+7", "R12+ref(4)", "13?+4", "L12?+L14?", None, "61", "L12+R12"]


def test_units_count_by_their_number_if_their_coder_was_sure() -> None:
    classes, rows = action_unit_rule(least=1).apply(manifest(CELLS))
    assert classes == ("AU4", "AU7", "AU12", "AU61")
    assert list(rows["label"]) == ["AU4", "AU12", "AU4+AU7", "AU12", "AU4", "none", "AU61", "AU12"]
    assert "x/s/6" not in set(rows["clip_id"]), "nothing was coded: whether it has units is not known"


def test_a_unit_counts_from_some_clips_on_and_others_leave_no_trace() -> None:
    rule = action_unit_rule(least=3)
    classes, rows = rule.apply(manifest(CELLS))
    assert classes == ("AU4", "AU12") and rule.name == "action_units (in 3 clips or more)"
    assert list(rows["label"])[-2:] == ["none", "AU12"], "a clip whose units are too rare has none and stays"
    with pytest.raises(DatasetError, match="no label occurs in 10 clips or more, the commonest in 3"):
        action_unit_rule().apply(manifest(CELLS))


def test_a_list_of_units_holds_whatever_occurs() -> None:
    """As CD6ME has it: a class list that does not follow from one data set."""
    classes, rows = action_unit_rule([1, 4, 12]).apply(manifest(CELLS))
    assert classes == ("AU1", "AU4", "AU12")
    assert list(rows["label"]).count("none") == 2


def test_a_column_of_numbers_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With a gap among them, a program that reads the table makes 4.0 of 4."""
    write_manifest(tmp_path, manifest(["4", "12", None]).to_dict("records"))
    assert list(action_unit_rule(least=1).apply(read_manifest(tmp_path))[1]["label"]) == ["AU4", "AU12"]


def test_sides_are_told_apart_if_asked_for() -> None:
    classes, rows = action_unit_rule(least=1, by_side=True).apply(manifest(CELLS))
    assert classes == ("AU4", "AU4L", "AU7", "AU12", "AU12L", "AU12R", "AU61")
    assert list(rows["label"])[-1] == "AU12L+AU12R"


def test_rejected_clips_do_not_count_and_a_data_set_without_units_says_so() -> None:
    table = manifest(["4", "12"])
    table.loc[0, "status"] = "rejected"
    assert action_unit_rule(least=1).apply(table)[0] == ("AU12",)
    for nothing in (manifest([None, "?"]), manifest(["4"], column="other")):
        with pytest.raises(DatasetError, match="no usable clip has a label of this kind"):
            action_unit_rule(least=1).apply(nothing)


def test_joint_emotions_of_4dme_are_a_set(tmp_path: Path) -> None:
    root = full_four_dme(tmp_path, {"Negative": 3, "Surprise+Positive": 2, "Surprise": 1, "Negative + amazed": 1})
    clips, _ = DATASETS["4dme"].clips(root)
    table = pd.DataFrame(
        [{"clip_id": c.clip_id, "subject": c.subject, "emotion": c.emotion, "status": "ok"} for c in clips]
    )
    base = DATASETS["4dme"].label_rule()
    assert len(base.apply(table)[1]) == 4, "with one class each the three joint labels are left out"
    classes, rows = joint_rule(base).apply(table)
    assert classes == ("negative", "positive", "surprise", "repression", "others")
    assert len(rows) == 7
    assert rows["label"].value_counts().to_dict() == {"negative": 4, "positive+surprise": 2, "surprise": 1}


def test_a_word_of_no_class_leaves_the_clip_out() -> None:
    table = manifest(["4"] * 3).assign(emotion=["amazed", None, "surprise"])
    _, rows = joint_rule(DATASETS["4dme"].label_rule()).apply(table)
    assert list(rows["label"]) == ["surprise"]


def test_names_of_sets_cannot_hold_what_joins_them() -> None:
    base = DATASETS["4dme"].label_rule("odd", {"4dme": {"odd": {"a+b": ("others",), "c": ("negative",)}}})
    with pytest.raises(DatasetError, match=r"'a\+b' cannot be the name of a label of several"):
        joint_rule(base).apply(manifest(["4"]))


@pytest.mark.parametrize("name", ["joint", "action_units", "action_units_by_side"])
def test_a_users_scheme_cannot_be_called_like_a_kind_of_sets(tmp_path: Path, name: str) -> None:
    from preprocessing.datasets import read_schemes

    path = tmp_path / "mine.toml"
    path.write_text(f'[4dme.{name}]\na = ["negative"]\nb = ["positive"]\n')
    with pytest.raises(UsageError, match=f"'{name}' cannot be the name of a scheme"):
        read_schemes(str(path), DATASETS)


def test_an_empty_set_has_no_names() -> None:
    assert names_in("none") == []
