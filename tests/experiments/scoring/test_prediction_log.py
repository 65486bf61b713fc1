"""Scores of somebody's log agree with scikit-learn, an absent class is handled as documented, bad logs are refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score
from typer.testing import CliRunner

from experiments.cli import app
from experiments.score_tables import tables
from experiments.scoring.prediction_log import Assessment, assess, class_list, read_log
from preprocessing.errors import DatasetError, UsageError

NAMES = ("0", "1", "negative", "none")


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def write(*lines: str) -> Path:
        path = tmp_path / "log.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def log_of(true: list[str], predicted: list[str], subjects: list[int]) -> pd.DataFrame:
    rows = zip(true, predicted, subjects, strict=True)
    records = [
        {"clip_id": f"{i}", "subject": f"s{s}", "dataset": "", "seed": 0, "y_true": t, "y_pred": p}
        for i, (t, p, s) in enumerate(rows)
    ]
    return pd.DataFrame(records)


labels = st.lists(st.tuples(st.sampled_from(NAMES[:3]), st.sampled_from(NAMES), st.integers(0, 4)), min_size=1)


@settings(deadline=None)
@given(labels)
def test_agrees_with_scikit_learn_also_where_a_class_is_absent(rows: list[tuple[str, str, int]]) -> None:
    """``none`` is never true: its recall is undefined, its F1 too unless it is predicted, and then that is 0."""
    true, predicted, subjects = (list(column) for column in zip(*rows, strict=True))
    found = assess(log_of(true, predicted, subjects), NAMES)
    options = {"labels": list(NAMES), "average": "macro", "zero_division": np.nan}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that do not occur: that is the point
        expected = {
            "accuracy": accuracy_score(true, predicted),
            "uf1": f1_score(true, predicted, **options),
            "uar": recall_score(true, predicted, **options),
        }
        assert found.macro_precision == pytest.approx(precision_score(true, predicted, **options))
    whole = found.rows[0]
    for metric, value in expected.items():
        assert whole[metric]["value"] == pytest.approx(value), metric
        assert getattr(found.scores, metric) == pytest.approx(value), metric
    assert np.array_equal(found.scores.confusion, confusion_matrix(true, predicted, labels=list(NAMES)))
    assert any("no clip is of class 'none'" in note for note in found.notes)


def test_an_absent_class_that_is_predicted_costs_f1_and_one_that_is_not_costs_nothing() -> None:
    true, predicted = ["a", "a", "b", "b"], ["a", "a", "b", "none"]
    found = assess(log_of(true, predicted, [0, 0, 1, 1]), ("a", "b", "none", "never"))
    assert found.scores.uf1 == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert found.scores.uar == pytest.approx((1 + 1 / 2) / 2)
    assert sum("no clip is of class" in note for note in found.notes) == 2


def test_rows_for_each_data_set_come_from_the_same_predictions(write) -> None:  # type: ignore[no-untyped-def]
    lines = ["subject,y_true,y_pred,dataset"]
    for dataset, right in (("casme2", 4), ("smic", 1)):
        lines += [f"{s},{s % 2},{s % 2 if s < right else 1 - s % 2},{dataset}" for s in range(4)]
    found = assess(read_log(write(*lines)))
    assert [row["system"] for row in found.rows] == ["all clips", "casme2", "smic", "always '0'"]
    assert [row["accuracy"]["value"] for row in found.rows] == [5 / 8, 1, 1 / 4, 1 / 2]
    assert [row["subjects"] for row in found.rows] == [8, 4, 4, 8], "subject 1 of two data sets are two people"


def test_text_stays_text(write) -> None:  # type: ignore[no-untyped-def]
    """``01`` and ``1`` are two subjects, ``NA`` is a class, and labels that are numbers are sorted as numbers."""
    log = read_log(write("subject,y_true,y_pred", "01,10,9", "1,9,10", "1,NA,NA"))
    assert log["subject"].nunique() == 2
    assert assess(log).classes == ("9", "10", "NA")


def test_our_own_table_with_seeds(write) -> None:  # type: ignore[no-untyped-def]
    lines = ["clip_id,subject,fold,seed,y_true,y_pred,p_a,p_b"]
    for seed in (0, 1):
        for i in range(4):
            guess = "ab"[i % 2] if seed == 0 else "a"
            lines.append(f"{'xy'[i // 2]}/s{i}/c,{'xy'[i // 2]}/s{i},f{i},{seed},{'ab'[i % 2]},{guess},1,0")
    found = assess(read_log(write(*lines)))
    assert found.scores.accuracy == pytest.approx((1 + 1 / 2) / 2)
    assert [row["system"] for row in found.rows] == ["all clips", "x", "y", "always 'a'"]
    assert found.rows[0]["clips"] == 4


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["subject,y_true", "1,a"], r"has no column 'y_pred': it has subject, y_true; wanted subject, y_true, y_pred"),
        (["subject,y_true,y_pred", "1,a,"], "line 2: y_pred is empty"),
        (["subject,y_true,y_pred", "1,a"], "line 2: 2 cells, the header has 3"),
        (["subject,y_true,y_pred"], "has a header and no rows"),
        ([""], "is empty"),
        (["subject,y_true,y_pred,seed", "1,a,a,x"], "line 2: seed 'x' is no whole number"),
        (["subject,y_true,y_pred,y_true", "1,a,a,a"], "two columns 'y_true'"),
        (["subject,y_true,y_pred,clip_id", "1,a,a,c", "1,a,a,c"], "line 3: 1/c has a second prediction"),
        (["subject,y_true,y_pred,clip_id,seed", "1,a,a,c,0", "1,b,a,c,1"], "1/c has 2 true labels"),
        (["subject,y_true,y_pred,clip_id,seed", "1,a,a,c,0", "1,a,a,d,1"], "is predicted under 1 of 2 seeds"),
        (['subject,y_true,y_pred\n1,a,"a'], "line 2: not CSV"),
        (
            ["subject,y_true,y_pred,seed", f"1,a,a,{'9' * 5000}"],
            r"seed '9{37}\.{3}' is no whole number of at most 18 dig",
        ),
        (
            ["subject,y_true,y_pred,seed,clip_id", *(f"1,a,a,{i},c" for i in range(1001))],
            "has 1,001 different seeds, at",
        ),
        (["subject,y_true,y_pred", f"1,a,{'b' * 140_000}"], "line 2: not CSV .a cell has more than 131,072 characters"),
        ([",".join(f"c{i}" for i in range(200_000))], "it has c0, c1, .*, c19 and 199,980 more; wanted subject"),
    ],
)
def test_a_log_that_is_none_is_refused_in_one_sentence(write, lines: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DatasetError, match=said):
        read_log(write(*lines))


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"subject,\xff\xfe")
    for path, said in ((tmp_path / "a.csv", "not UTF-8"), (tmp_path / "b.csv", "does not exist"), (tmp_path, "read")):
        with pytest.raises(DatasetError, match=said):
            read_log(path)


def test_the_class_list() -> None:
    assert class_list("negative, positive") == ("negative", "positive")
    for text in ("a", "a,,b", "a,b,a"):
        with pytest.raises(UsageError, match="wanted two or more different names"):
            class_list(text)
    with pytest.raises(UsageError, match="label 'c', not in --classes a,b"):
        assess(log_of(["a"], ["c"], [0]), ("a", "b"))


def test_more_classes_than_anybody_tells_apart_are_told_and_not_counted_out() -> None:
    """A confusion matrix of 3,000 classes for each of 2,000 resamples would be 134 GiB."""
    names = [str(i) for i in range(1001)]
    with pytest.raises(UsageError, match="there are 1,001 different labels, at most 1,000 classes are scored"):
        assess(log_of(names, names, [0] * len(names)))


def test_of_many_classes_the_most_frequent_mistakes_are_printed() -> None:
    true = [str(i) for i in range(40) for _ in range(2)]
    predicted = ["7", "7", *true[2:-1], "3"]
    printed = list(tables(assess(log_of(true, predicted, [i % 2 for i in range(80)]))))[-1]
    columns = [list(column.cells) for column in printed.columns]
    assert columns == [["0", "39"], ["7", "3"], ["2", "1"]]


def test_of_very_many_data_sets_only_the_whole_is_scored() -> None:
    log = log_of(["a", "b"] * 51, ["a"] * 102, [0] * 102)
    found = assess(log.assign(dataset=[f"d{i // 2}" for i in range(102)]))
    assert [row["system"] for row in found.rows] == ["all clips", "always 'a'"]
    assert "51 data sets are not scored one by one, at most 50 are" in found.notes


def test_a_label_of_thousands_of_digits_is_a_word() -> None:
    long = "9" * 5000
    assert assess(log_of([long, "10"], ["9", "10"], [0, 1])).classes == ("9", "10", long)


def test_one_subject_has_no_interval() -> None:
    found: Assessment = assess(log_of(["a", "b"], ["a", "a"], [0, 0]))
    assert any("one subject" in note for note in found.notes)
    assert found.rows[0]["accuracy"]["value"] == 0.5


def test_what_is_printed(write) -> None:  # type: ignore[no-untyped-def]
    path = write("subject;y_true;y_pred;dataset", *(f"{s};{s % 3};{s % 2};{'ab'[s // 6]}" for s in range(12)))
    result = CliRunner().invoke(app, ["score", str(path), "--classes", "0,1,2,3"])
    assert result.exit_code == 0, result.output
    for words in ("all clips", "always '0'", "UF1", "UAR", "true \\ predicted", "no clip is of class '3'"):
        assert words in result.output
    assert max(map(len, result.output.splitlines()[:20])) <= 80


def test_whole_numbers_with_and_without_a_fraction_are_one_label(write) -> None:  # type: ignore[no-untyped-def]
    """A column of numbers with one empty cell comes out of pandas as 0.0, 1.0: as text nothing of it is right."""
    lines = ("subject,y_true,y_pred", "a,0,0.0", "a,1,1.0", "b,1,1.", "b,0,1.0")
    found = assess(read_log(write(*lines)))
    assert found.classes == ("0", "1")
    assert found.rows[0]["accuracy"]["value"] == 0.75
    assert assess(read_log(write(*lines)), ("0.0", "1.0")).classes == ("0", "1")


def test_numbers_stay_text_beside_a_word_or_a_leading_zero(write) -> None:  # type: ignore[no-untyped-def]
    assert assess(read_log(write("subject,y_true,y_pred", "a,1,1.0", "a,none,1"))).classes == ("1", "1.0", "none")
    assert set(assess(read_log(write("subject,y_true,y_pred", "a,1,01", "a,1,1"))).classes) == {"1", "01"}
