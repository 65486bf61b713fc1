from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.runs import run as run_files
from experiments.runs.run import FoldResult, read_fold, read_predictions, to_csv, write_fold
from experiments.scoring.protocols import Fold
from experiments.scoring.summary import COLUMNS, check_predictions, summarise
from preprocessing.errors import ToolkitError

Guesses = Callable[..., pd.DataFrame]
K = ("calm", "happy", "other")


def with_probabilities(table: pd.DataFrame) -> pd.DataFrame:
    p = np.random.default_rng(0).dirichlet(np.ones(len(K)), len(table)).astype(np.float32)
    return table.assign(**{f"p_{name}": p[:, k] for k, name in enumerate(K)})


def test_tables_survive_the_disk_to_the_byte(tmp_path: Path, guesses: Guesses) -> None:
    table = with_probabilities(guesses(seeds=2))
    path = tmp_path / "predictions.csv"
    path.write_text(to_csv(table))
    back = read_predictions(path)
    np.testing.assert_array_equal(back["p_calm"].astype(np.float32), table["p_calm"])
    assert to_csv(back) == path.read_text()


def test_names_stay_text(tmp_path: Path) -> None:
    """pandas would read the class "NA" as missing and the subject "01" as a number."""
    table = pd.DataFrame([("01", "007", "1", 0, "NA", "none")], columns=list(COLUMNS))
    path = tmp_path / "predictions.csv"
    path.write_text(to_csv(table))
    assert read_predictions(path).iloc[0].tolist() == ["01", "007", "1", 0, "NA", "none"]


def test_a_good_table_comes_back_sorted_with_the_same_rows(guesses: Guesses) -> None:
    table = with_probabilities(guesses(seeds=2))
    shuffled = check_predictions(table.sample(frac=1, random_state=0), K)
    pd.testing.assert_frame_equal(shuffled, table.sort_values(["seed", "clip_id"], ignore_index=True))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: pd.concat([t, t.head(1)]), "two predictions under seed 0"),
        (lambda t: t.drop(index=t.index[-1]), "predicted under 1 of 2 seeds"),
        (lambda t: t.assign(y_pred="angry"), "y_pred holds 'angry'"),
        (lambda t: t.assign(y_true=["happy" if i else "calm" for i in t["seed"]]), "more than one label"),
        (lambda t: t.assign(fold=[f"f{c[-1]}" for c in t["clip_id"]]), "is tested in 9 folds"),
        (lambda t: t.drop(columns="fold"), "lack the column 'fold'"),
        (lambda t: t.assign(p_calm=1.0), "probability columns are p_calm"),
        (lambda t: t.assign(p_calm=0.5, p_happy=0.2, p_other=0.2), "sum to 0.9"),
        (lambda t: t.assign(p_calm=np.nan, p_happy=0.5, p_other=0.5), "sum to nan"),
    ],
)
def test_dishonest_tables_are_refused(
    guesses: Guesses, change: Callable[[pd.DataFrame], pd.DataFrame], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        check_predictions(change(guesses(seeds=2)), K)


@pytest.fixture
def result(guesses: Guesses) -> FoldResult:
    history = pd.DataFrame({"epoch": [1.0, 2.0], "loss": [1 / 3, 0.1]})
    return FoldResult(with_probabilities(guesses(subjects=1)), history, ("careful",))


def test_a_fold_is_read_back_under_its_key_only(tmp_path: Path, result: FoldResult) -> None:
    write_fold(tmp_path, "key", result)
    back = read_fold(tmp_path, "key")
    assert back is not None
    assert to_csv(back.predictions) == to_csv(result.predictions)
    assert to_csv(back.history) == to_csv(result.history)
    assert back.warnings == ("careful",)
    assert read_fold(tmp_path, "another key") is None


@pytest.mark.parametrize("name", [run_files.PREDICTIONS, run_files.HISTORY, run_files.DONE])
@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_fold_is_not_done(tmp_path: Path, result: FoldResult, name: str, damage: str) -> None:
    write_fold(tmp_path, "key", result)
    path = tmp_path / name
    text = path.read_text()
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(text[: len(text) // 2] if damage == "cut" else text.replace("0", "1", 1).replace("k", "q", 1))
    assert read_fold(tmp_path, "key") is None


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interruption_while_writing_leaves_no_fold(
    tmp_path: Path, result: FoldResult, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an older result of the same fold was there."""
    write_fold(tmp_path, "key", result)
    write, calls = run_files.write_text, []

    def interrupted(path: Path, text: str) -> None:
        if len(calls) == at:
            raise KeyboardInterrupt
        calls.append(path)
        write(path, text)

    monkeypatch.setattr(run_files, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_fold(tmp_path, "key", result)
    assert read_fold(tmp_path, "key") is None


def test_what_a_killed_process_left_beside_is_swept_away(tmp_path: Path, result: FoldResult) -> None:
    (tmp_path / ".predictions.csv.4711").write_text("clip_id,sub")
    write_fold(tmp_path, "key", result)
    assert {p.name for p in tmp_path.iterdir()} == {run_files.PREDICTIONS, run_files.HISTORY, run_files.DONE}


def test_fold_folders_are_named_by_seed_and_fold(tmp_path: Path) -> None:
    fold = Fold("toy_s1", "toy/s1", (0,), (1,))
    assert run_files.fold_folder(tmp_path, 3, fold) == tmp_path / "folds" / "3-toy_s1"


def test_the_summary_holds_every_system_with_intervals_and_is_json(tmp_path: Path, guesses: Guesses) -> None:
    table = guesses(right=0.8, seeds=2)
    summary = summarise(table, {"majority": guesses(right=0.0), "chance": guesses(right=0.0, seeds=3)}, K, "afn")
    run_files.write_json(tmp_path / "metrics.json", summary)
    back = run_files.read_json(tmp_path / "metrics.json")
    assert [row["system"] for row in back["rows"]] == ["afn", "majority", "chance"]
    for row in back["rows"]:
        assert (row["clips"], row["subjects"]) == (54, 6)
        for metric in ("accuracy", "uf1", "uar"):
            assert row[metric]["low"] <= row[metric]["value"] <= row[metric]["high"]
    assert [row["seeds"] for row in back["rows"]] == [2, 1, 3]
    first, second = back["differences"]
    assert first["uf1"]["low"] > 0
    assert [t["seed"] for t in first["mcnemar"]] == [0, 1] and second["mcnemar"] == []
    assert sum(s["clips"] for s in back["subjects"]) == 54
    mean = sum(s["accuracy"] * s["clips"] for s in back["subjects"]) / 54
    assert mean == pytest.approx(back["rows"][0]["accuracy"]["value"])


def test_a_class_without_clips_is_null_and_named(tmp_path: Path, guesses: Guesses) -> None:
    summary = summarise(guesses(right=1.0), {}, (*K, "fear"), "afn")
    run_files.write_json(tmp_path / "metrics.json", summary)
    back = json.loads((tmp_path / "metrics.json").read_text())
    assert back["classes"][3] == {"name": "fear", "clips": 0, "precision": None, "recall": None, "f1": None}
    assert back["rows"][0]["uf1"]["value"] == 1  # 0.75 if the absent class counted as 0
    assert "'fear'" in back["undefined"][0]


def test_files_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match=r"metrics\.json does not exist"):
        run_files.read_json(tmp_path / "metrics.json")
    with pytest.raises(ToolkitError, match=r"predictions\.csv does not exist"):
        read_predictions(tmp_path / "predictions.csv")
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(ToolkitError, match="is not JSON"):
        run_files.read_json(tmp_path / "metrics.json")
    (tmp_path / "predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ToolkitError, match="is no prediction table"):
        read_predictions(tmp_path / "predictions.csv")


def test_each_data_set_has_its_part_of_the_same_predictions(guesses: Guesses) -> None:
    """Their confusions add up to the whole, and the class list stays the whole one's."""
    table = guesses(subjects=6, seeds=2)
    renamed = [name if int(name[5]) < 4 else f"far{name[3:]}" for name in table["clip_id"]]
    table = table.assign(clip_id=renamed, subject=[name.rsplit("/", 1)[0] for name in renamed])
    table.loc[table["clip_id"].str.startswith("far"), ["y_true", "y_pred"]] = "calm"
    summary = summarise(table, {"same": table}, K, "net")
    parts = {part["dataset"]: part for part in summary["datasets"]}
    assert sorted(parts) == ["far", "toy"]
    assert [row["system"] for row in parts["far"]["rows"]] == ["net", "same"]
    assert sum(part["rows"][0]["clips"] for part in parts.values()) == summary["rows"][0]["clips"] == 54
    whole, sizes = summary["rows"][0]["accuracy"]["value"], {"toy": 4 / 6, "far": 2 / 6}
    assert sum(sizes[name] * part["rows"][0]["accuracy"]["value"] for name, part in parts.items()) == pytest.approx(
        whole
    )
    assert parts["far"]["rows"][0]["uar"]["value"] == 1
    assert sum("no clip is of class" in text for text in parts["far"]["undefined"]) == 2


def test_one_data_set_has_no_parts(guesses: Guesses) -> None:
    assert summarise(guesses(), {}, K, "net")["datasets"] == []
