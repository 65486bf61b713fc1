"""Sections of the report that a system names: the toolkit's, those of a package, and names that nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.pages import gate
from experiments.pages.sections import SECTIONS, Section
from experiments.runs.run import Run, to_csv, write_json
from fusion_net import MODELS
from preprocessing.errors import UsageError
from tests.experiments.pages.test_report import written


def test_every_section_that_a_network_names_is_there() -> None:
    for model in MODELS.values():
        assert set(model.SECTIONS) <= set(SECTIONS)
    anchors = [section.anchor for section in SECTIONS.values()]
    assert len(set(anchors)) == len(anchors)


class TestOfAPackage:
    """A package brings the facts and a template in its own folder; escaping and filters are the toolkit's."""

    @pytest.fixture
    def named(self, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
        folder = tmp_path / "package"
        folder.mkdir()
        values = "{{ section.clips }} clips, {{ section.share | num(1) }}, {{ section.text }}"
        (folder / "votes.html").write_text(f'<h2 id="votes">Votes</h2>\n<p>{values}</p>')

        def facts(run: Run, about: Mapping[str, Any], predictions: pd.DataFrame, manifest: pd.DataFrame) -> Any:
            assert (run.name, about["model"], len(manifest)) == ("demo", "afn", 25)
            if "y_pred" not in predictions:
                return None
            return {"clips": predictions["clip_id"].nunique(), "share": 0.25, "text": "<i>a & b</i>"}

        section = Section("votes", "Votes by clip", "votes.html", facts, folder)
        monkeypatch.setitem(SECTIONS, "votes", section)  # type: ignore[misc]
        write_json(finished.about_file, finished.about() | {"sections": ["gate", "votes"]})
        return finished

    def test_it_is_drawn_after_the_toolkits_own(self, named: Run, toy_cache: Path) -> None:
        page = written(named, toy_cache)
        assert "24 clips, 0.2, <i>a & b</i>" in page.text, "text, not markup"
        assert [a["href"] for a in page.all("a") if a["href"] in ("#gate", "#votes")] == ["#gate", "#votes"]
        assert [h.get("id") for h in page.all("h2") if h.get("id") in ("gate", "votes")] == ["gate", "votes"]

    def test_its_template_wins_over_one_of_the_toolkit_of_the_same_name_and_only_there(
        self, named: Run, toy_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        section = SECTIONS["votes"]
        assert section.folder is not None
        (section.folder / "votes.html").rename(section.folder / "gate.html")
        same = Section("votes", "Votes", "gate.html", section.facts, section.folder)
        monkeypatch.setitem(SECTIONS, "votes", same)  # type: ignore[misc]
        text = written(named, toy_cache).text
        assert "24 clips, 0.2" in text and "within one network" in text

    def test_without_facts_it_is_left_out(self, named: Run, toy_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        silent = Section("votes", "Votes", "votes.html", lambda *_: None, SECTIONS["votes"].folder)
        monkeypatch.setitem(SECTIONS, "votes", silent)  # type: ignore[misc]
        page = written(named, toy_cache)
        assert "#votes" not in [a["href"] for a in page.all("a")] and "Votes" not in page.text

    def test_a_name_that_nobody_knows_is_told(self, finished: Run, toy_cache: Path) -> None:
        write_json(finished.about_file, finished.about() | {"sections": ["gaet"]})
        with pytest.raises(UsageError, match="report section 'gaet' is unknown: did you mean gate"):
            written(finished, toy_cache)


class TestGate:
    def gated(self, run: Run, weights: dict[str, float]) -> Run:
        table = run.predictions()
        table = table[[name for name in table.columns if not name.startswith("gate_")]]
        run.predictions_file.write_text(to_csv(table.assign(**{f"gate_{n}": w for n, w in weights.items()})))
        return run

    def test_of_three_inputs_each_has_a_column_and_a_figure(self, finished: Run, toy_cache: Path) -> None:
        inputs = {"temporal_ranked": 0.5, "apex_flow": 0.3, "my_own_input": 0.2}
        page = written(self.gated(finished, inputs), toy_cache)
        drawn = [svg["aria-label"] or "" for svg in page.all("svg")]
        titles = ("TRDI", "flow at the apex", "my own input")
        assert [label for label in drawn if label.startswith("Gate weight of")] == [
            f"Gate weight of {title} for every clip, by class" for title in titles
        ]
        assert all(title in page.text for title in titles)

    def test_of_two_inputs_one_figure_says_it_all(self, finished: Run, toy_cache: Path) -> None:
        page = written(self.gated(finished, {"temporal_ranked": 0.6, "motion_intensity": 0.4}), toy_cache)
        drawn = [svg["aria-label"] or "" for svg in page.all("svg")]
        assert sum(label.startswith("Gate weight of MIDI") for label in drawn) == 1
        assert not any(label.startswith("Gate weight of TRDI") for label in drawn)

    def test_numbers_by_hand(self, finished: Run) -> None:
        """Each network's own level is no variation over clips: within one network the weights move by ± 0.1."""
        table = finished.predictions()
        level = 0.3 + 0.2 * table["seed"]
        weight = level + 0.1 * (1 - 2 * (table.groupby(["seed", "fold"]).cumcount() % 2))
        table = table.assign(gate_a=weight, gate_b=1 - weight)[["seed", "fold", "y_true", "gate_a", "gate_b"]]
        found = gate.facts(finished, {"classes": ["calm", "happy", "other"]}, table, pd.DataFrame())
        assert found is not None
        assert found["within"] == pytest.approx({"a": 0.1, "b": 0.1}) and not found["still"]
        assert found["mean"] == pytest.approx({"a": 0.4, "b": 0.6})
        assert found["spread"]["a"] == pytest.approx((0.1**2 + 0.1**2) ** 0.5)
        assert [row["name"] for row in found["by_class"]] == ["calm", "happy", "other"]

    def test_a_run_without_weights_has_none(self, separated: Run) -> None:
        assert gate.facts(separated, separated.about(), separated.predictions(), pd.DataFrame()) is None
