"""Many systems on several boards: what does not fit is said, what is done is used, one table says it all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from experiments import leaderboard as boards
from experiments.leaderboard import Board, Entry, Log, Recipe, Row, claims, read, read_recipe, run, table, write
from experiments.pages.leaderboard import MARKDOWN, write_page
from experiments.progress import Progress, progress
from experiments.runs.run import to_csv
from experiments.scoring.statistics import bootstraps
from fusion_net import MODELS
from preprocessing.errors import DatasetError, ToolkitError, UsageError
from tests.experiments.conftest import Guesses

STREAMS = Board("examples", "streams", "streams/streams.csv", example=True)


@pytest.fixture
def quiet() -> Progress:
    return lambda title: progress(title, Console(quiet=True))


def row(name: str, predictions: pd.DataFrame, model: str = "afn") -> Row:
    classes = sorted(set(predictions["y_true"]))
    return Row("toy", name, model, 1, 54, 6, bootstraps(predictions, classes), predictions=predictions)


class TestRecipes:
    @pytest.mark.parametrize("quick", [False, True])
    def test_the_shipped_ones_name_every_network(self, quick: bool) -> None:
        recipe = read_recipe(None, quick)
        assert set(MODELS) <= {entry.model for entry in recipe.systems}
        assert recipe.seeds == (1 if quick else 3)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name = 'a'\ntitle = 'b'\nboards = []\nsystems = []", "boards, systems and at least one seed"),
            ("name = 'a/b'\ntitle = 'b'\n[[boards]]\nname = 'x'\n[[systems]]\nmodel = 'svm'", "name of one folder"),
            ("name = 'a'\ntitle = 'b'\n[[boards]]\nname = 'x'\n[[systems]]\nmodel = 'afn'", "'svm' is not among"),
            (
                "name = 'a'\ntitle = 'b'\n[[boards]]\nname = 'x'\n" + 2 * "[[systems]]\nmodel = 'svm'\n",
                "two systems have one name",
            ),
            (
                "name = 'a'\ntitle = 'b'\n[[boards]]\nname = 'x'\n[[systems]]\nmodel = 'svm'\nboards = ['y']",
                "board 'y' is none of x",
            ),
            ("nome = 'a'", "nome"),
        ],
    )
    def test_mistakes_are_told(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "recipe.toml"
        path.write_text(text)
        with pytest.raises(UsageError, match=said):
            read_recipe(path)

    def test_printed_figures_have_a_source_and_a_rule(self) -> None:
        found = claims()
        assert set(found["model"]) <= set(MODELS)
        assert (found[["source", "rule", "data", "measure"]].map(len) > 0).all().all()


class TestTable:
    def test_differences_are_to_the_best_plain_baseline(self, guesses: Guesses) -> None:
        rows = [row("poor", guesses(right=0.0, rng=1), "chance"), row("plain", guesses(right=0.7, rng=2), "svm")]
        rows.append(row("network", guesses(right=1.0, rng=3)))
        found = list(boards._compared([*rows, Row("toy", "none", "fdp", reason="no frames")], ("svm", "chance")))
        assert [one.name for one in found] == ["network", "plain", "poor", "none"]
        by_name = {one.name: one for one in found}
        assert by_name["plain"].difference is None
        assert by_name["network"].difference is not None and by_name["network"].difference.low > 0
        assert by_name["poor"].difference is not None and by_name["poor"].difference.high < 0

    def test_what_is_written_is_read_back(self, guesses: Guesses, tmp_path: Path) -> None:
        rows = [row("one", guesses()), Row("toy", "none", "fdp", reason="no frames")]
        path = write(rows, tmp_path)
        found = read(tmp_path)
        assert found["name"].tolist() == ["one", "none"] and found["reason"].tolist() == ["", "no frames"]
        assert found["uf1"][0] == pytest.approx(table(rows)["uf1"][0]) and pd.isna(found["uf1"][1])
        assert pd.read_csv(path)["uf1_low"][0] == pytest.approx(found["uf1_low"][0], rel=1e-5)
        with pytest.raises(ToolkitError, match="holds no leaderboard"):
            read(tmp_path / "elsewhere")

    def test_the_page_shows_who_is_missing_and_why(self, guesses: Guesses, tmp_path: Path) -> None:
        rows = [row(name, guesses(rng=i)) for i, name in enumerate(("a", "b", "c"))]
        page = write_page("Systems", [*rows, Row("toy", "d", "fdp", reason="frames cannot be had")], tmp_path)
        text = page.read_text("utf-8")
        assert "d is not here: frames cannot be had" in text and "mean rank" in text and "arXiv:2510.09730" in text
        assert "| a | " in (tmp_path / MARKDOWN).read_text("utf-8")


class TestLogs:
    def test_a_log_of_the_same_clips_stands_in_the_table(self, guesses: Guesses, tmp_path: Path) -> None:
        ours, theirs = guesses(rng=1), guesses(rng=2)
        (tmp_path / "log.csv").write_text(to_csv(theirs))
        found = boards._of_log(Log("toy", "theirs", str(tmp_path / "log.csv")), [row("ours", ours)])
        assert found.name == "theirs (log)" and found.clips == ours["clip_id"].nunique() and found.scores is not None

    def test_a_log_of_other_clips_is_refused(self, guesses: Guesses, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text(to_csv(guesses(clips=5)))
        with pytest.raises(DatasetError, match="is not of the clips of board 'toy': 24 clips are in one table only"):
            boards._of_log(Log("toy", "theirs", str(tmp_path / "log.csv")), [row("ours", guesses())])


class TestRun:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.slow
    def test_from_nothing_and_again(self, tmp_path: Path, quiet: Progress) -> None:
        """What is done is used; what the clips do not offer is said; permuted labels score like chance."""
        entries = (Entry("svm"), Entry("majority"), Entry("ststnet", changes=("fit.epochs=2",)), Entry("fdp"))
        changes = ("evaluation.protocol=k_fold", "evaluation.k=3")
        recipe = Recipe("few", "A few", (STREAMS,), entries, seeds=1, changes=changes)
        rows = run(recipe, tmp_path / "runs", 1, quiet)
        assert [one.model for one in rows if one.scores is None] == ["fdp"]
        svm = next(one for one in rows if one.model == "svm")
        assert svm.scores is not None and svm.permuted is not None
        assert svm.scores["uf1"].low > 0.6 > 0.45 > svm.permuted.value  # chance scores about 0.32
        done = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("done.json")}
        again = run(recipe, tmp_path / "runs", 1, quiet)
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("done.json")} == done
        strip = [dataclasses.replace(one, cost=None, predictions=None) for one in rows]
        assert [dataclasses.replace(one, cost=None, predictions=None) for one in again] == strip
