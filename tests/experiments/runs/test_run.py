from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.runs import provenance
from experiments.runs import run as run_files
from experiments.runs.run import FoldResult, Run, read_fold, read_predictions, to_csv, write_fold, write_json
from experiments.scoring.summary import COLUMNS, check_predictions, summarise
from preprocessing.artefacts.files import scratch_path
from preprocessing.artefacts.manifest import MANIFEST, write_manifest
from preprocessing.datasets import DataSettings
from preprocessing.errors import ToolkitError, UsageError

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
    write, calls = Path.replace, []

    def interrupted(path: Path, target: Path) -> Path:
        if len(calls) == at:
            raise KeyboardInterrupt
        calls.append(path)
        return write(path, target)

    result = replace(result, history=result.history * 2, predictions=result.predictions.iloc[::-1])
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_fold(tmp_path, "key", result)
    assert read_fold(tmp_path, "key") is None


def test_what_a_killed_process_left_beside_is_swept_away(tmp_path: Path, result: FoldResult) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    with scratch_path(tmp_path, ".csv") as own:
        of_dead, of_living = (own.name.replace(f"-{os.getpid()}-", f"-{n}-") for n in (dead.pid, os.getppid()))
    for name in (of_dead, of_living, ".DS_Store"):
        (tmp_path / name).write_text("clip_id,sub")
    write_fold(tmp_path, "key", result)
    wanted = {run_files.PREDICTIONS, run_files.HISTORY, run_files.DONE, ".DS_Store"}
    assert {p.name for p in tmp_path.iterdir()} - {of_living} == wanted
    assert (tmp_path / of_living).exists() or os.name != "posix", "another process is at work on it"


def test_fold_folders_are_named_by_seed_and_fold(tmp_path: Path) -> None:
    assert Run(tmp_path).fold(3, "toy_s1") == tmp_path / "folds" / "3-toy_s1"


def test_a_system_without_epochs_leaves_an_empty_history(tmp_path: Path, result: FoldResult) -> None:
    """An empty table goes to disk as an empty file, which pandas alone would refuse to read."""
    write_fold(tmp_path, "key", FoldResult(result.predictions, pd.DataFrame(())))
    back = read_fold(tmp_path, "key")
    assert back is not None and back.history.empty and back.warnings == ()
    write_fold(tmp_path, "key", back)
    assert read_fold(tmp_path, "key") is not None


def test_learning_curves_are_those_of_the_pooled_folds(tmp_path: Path, result: FoldResult) -> None:
    """Left over from more seeds is seed 2; the fold without epochs has no curve."""
    run = Run(tmp_path)
    first, second = (result.predictions.assign(seed=seed) for seed in (0, 1))
    run.predictions_file.write_text(to_csv(pd.concat([first, second])))
    for seed, history in ((0, result.history), (1, pd.DataFrame()), (2, result.history)):
        write_fold(run.fold(seed, "toy_s0"), "key", FoldResult(first, history))
    assert [*run.histories()] == ["0-toy_s0"]
    assert run.histories()["0-toy_s0"]["epoch"].tolist() == [1, 2]


class TestArrays:
    def fold(self, run: Run, table: pd.DataFrame, rows: int) -> dict[str, float]:
        """A fold whose clip k has the number ``len(table) + k``."""
        values = len(table) + np.arange(rows, dtype=np.float32)
        fold = str(table["fold"].iloc[0])
        write_fold(run.fold(0, fold), "key", FoldResult(table, pd.DataFrame(), files={"x.npy": values}))
        return dict(zip(table["clip_id"], values.tolist(), strict=False))

    def test_they_come_by_clip_from_all_folds_of_a_seed(self, tmp_path: Path, guesses: Guesses) -> None:
        run, wanted = Run(tmp_path), {}
        for _, table in guesses(subjects=3).groupby("fold"):
            wanted |= self.fold(run, table.iloc[::-1], len(table))
        found = run.arrays("x.npy", 0)
        assert {clip: float(value) for clip, value in found.items()} == wanted and len(wanted) == 27
        assert run.arrays("x.npy", 1) == run.arrays("y.npy", 0) == {}

    def test_rows_that_belong_to_no_clip_are_refused(self, tmp_path: Path, guesses: Guesses) -> None:
        self.fold(Run(tmp_path), guesses(subjects=1), 8)
        with pytest.raises(ToolkitError, match=r"x\.npy holds 8 rows for 9 clips: run `mer train` again"):
            Run(tmp_path).arrays("x.npy", 0)

    def test_those_of_an_older_fold_are_swept_away(self, tmp_path: Path, result: FoldResult) -> None:
        write_fold(tmp_path, "key", FoldResult(result.predictions, pd.DataFrame(), files={"x.npy": np.zeros(9)}))
        write_fold(tmp_path, "other key", result)
        assert not list(tmp_path.glob("*.npy"))

    def test_a_damaged_one_makes_the_fold_undone(self, tmp_path: Path, result: FoldResult) -> None:
        write_fold(tmp_path, "key", FoldResult(result.predictions, pd.DataFrame(), files={"x.npy": np.zeros(9)}))
        np.save(tmp_path / "x.npy", np.ones(9))
        assert read_fold(tmp_path, "key") is None


class TestCache:
    """Where a run finds its clips again."""

    def linked(self, folder: Path, cache: Path) -> Run:
        cache.mkdir(parents=True)
        run = Run(folder)
        write_json(run.about_file, {"cache": run.link_to(cache)})
        return run

    def test_run_and_cache_move_together(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        work = tmp_path / "work"
        (work / "runs").mkdir(parents=True)
        monkeypatch.chdir(work)
        run = self.linked(Path("runs/demo"), Path("cache/synthetic"))
        assert run.about()["cache"] == "../../cache/synthetic"
        assert run.cache().resolve() == work / "cache/synthetic"
        monkeypatch.chdir(tmp_path)
        moved = work.rename(tmp_path / "elsewhere")
        assert Run(moved / "runs/demo").cache() == moved / "cache/synthetic"
        assert Run(Path("elsewhere/runs/demo")).cache() == Path("elsewhere/cache/synthetic"), "from any folder"

    @pytest.mark.parametrize("cache", ["elsewhere/mine", "mine", "runs/demo/cache"])
    def test_a_cache_that_was_named_is_found(self, cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        run = self.linked(Path("runs/demo"), Path(cache))
        assert not Path(run.about()["cache"]).is_absolute()
        assert run.cache().resolve() == tmp_path / cache

    def test_one_outside_of_the_working_folder_is_kept_in_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A run that moves keeps the clips of a shared disk."""
        work = tmp_path / "work"
        work.mkdir()
        monkeypatch.chdir(work)
        run = self.linked(Path("runs/demo"), tmp_path / "disk/synthetic")
        assert run.about()["cache"] == str(tmp_path / "disk/synthetic")
        moved = (work / "runs/demo").rename(tmp_path / "demo")
        assert Run(moved).cache() == tmp_path / "disk/synthetic"

    def test_one_that_is_gone_or_was_never_named_is_told_in_one_sentence(self, tmp_path: Path) -> None:
        run = self.linked(tmp_path / "demo", tmp_path / "cache")
        run.cache().rmdir()
        with pytest.raises(UsageError, match=r"the clips of \S+demo were in \S+cache, which is gone: name .* --cache$"):
            run.cache()
        write_json(run.about_file, {})
        with pytest.raises(UsageError, match=r"the clips of \S+demo are not known: name their folder with --cache$"):
            run.cache()


def test_every_file_of_a_run_is_below_its_folder(tmp_path: Path) -> None:
    run = Run(tmp_path / "demo")
    files = [getattr(run, name) for name, kind in vars(Run).items() if isinstance(kind, property) and name != "name"]
    assert len(set(files)) == len(files) >= 9
    assert all(file.parent == run.folder for file in files) and run.name == "demo"


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


def test_a_manifest_that_was_changed_is_not_trained_on(tmp_path: Path) -> None:
    """One changed label would be learnt without a word where no root is given to make the manifest again."""
    cache = tmp_path / "casme2"
    write_manifest(cache, [{"clip_id": "casme2/s/c", "subject": "casme2/s", "status": "ok", "emotion": "happiness"}])
    provenance.check_manifest(cache)
    provenance.describe(cache, [], DataSettings(), None)
    provenance.check_manifest(cache)
    text = (cache / MANIFEST).read_text()
    (cache / MANIFEST).write_text(text.replace("happiness", "disgust"))
    with pytest.raises(ToolkitError, match=r"manifest\.csv was changed since it was written: run `mer dataset casme2`"):
        provenance.check_manifest(cache)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("run.json", Run.about),
        ("metrics.json", Run.metrics),
        ("data.json", provenance.data_summary),
        ("inputs.json", Run.origins),
    ],
)
def test_a_changed_file_of_a_run_is_never_believed(finished: Run, name: str, read: Callable[[Run], Any]) -> None:
    """Every flipped bit, also in a number that would still be one, is named with its cure."""
    provenance.keep(finished, SimpleNamespace(name="toy"), ["toy"])  # type: ignore[arg-type]
    read(finished)
    path = finished.folder / name
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=50):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        if _same_values(damaged, whole):  # the seventeenth digit of a number
            continue
        path.write_bytes(damaged)
        with pytest.raises(ToolkitError, match=name):
            read(finished)
    for damage in (b"", b"{}", b"[]", b"[" * 5000, b"\xff\xfe", whole[: len(whole) // 2]):
        path.write_bytes(damage)
        with pytest.raises(ToolkitError, match=rf"{name}.*run `mer train` again"):
            read(finished)
    path.unlink()
    path.mkdir()
    with pytest.raises(ToolkitError, match=name):
        read(finished)


def _same_values(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_settings_that_are_no_text_are_named(finished: Run) -> None:
    finished.config_file.write_bytes(b"\xff")
    with pytest.raises(ToolkitError, match=r"config\.toml cannot be read .*run `mer train` again"):
        finished.config_text()


def test_a_changed_description_of_a_cache_is_named_with_its_cure(tmp_path: Path) -> None:
    provenance.describe(tmp_path / "casme2", [], DataSettings(), None)
    assert provenance.description(tmp_path / "casme2").startswith("casme2: 0 clips")
    (tmp_path / "casme2" / "dataset.json").write_text("{")
    with pytest.raises(ToolkitError, match=r"dataset\.json is not JSON .*: run `mer dataset casme2` again, with"):
        provenance.description(tmp_path / "casme2")


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
