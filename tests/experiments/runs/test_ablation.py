from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from experiments.runs.ablation import ablate, markdown, table
from experiments.runs.system_registry import CLASSICAL, find_system, system_names
from experiments.runs.systems import Network, System
from fusion_net import ClipTensors

Guesses = Callable[..., pd.DataFrame]


def test_variants_share_folds_and_seeds_and_end_in_one_table(
    toy_data: ClipTensors, tiny: Network, tmp_path: Path
) -> None:
    variants: dict[str, System] = {
        mode: dataclasses.replace(tiny, settings=dataclasses.replace(tiny.settings, fusion=mode))
        for mode in ("gated", "temporal_only")
    }
    told: list[tuple[int, int, str]] = []
    rows = ablate(toy_data, variants, tmp_path, seeds=(0, 1), progress=lambda *step: told.append(step))
    assert rows["variant"].tolist() == ["gated", "temporal_only", "Majority baseline"]
    assert rows["seeds"].tolist() == [2, 2, 1] and set(rows["clips"]) == {24}
    assert [step[:2] for step in told] == [(i + 1, 16) for i in range(16)]
    assert told[-1][2].startswith("temporal_only: seed 1")
    assert (tmp_path / "gated" / "predictions.csv").is_file()
    assert pd.read_csv(tmp_path / "ablation.csv")["uf1"].tolist() == pytest.approx(rows["uf1"].tolist(), abs=1e-5)
    assert len((tmp_path / "ablation.md").read_text().splitlines()) == 2 + 3 + 2


def test_differences_are_paired_with_the_first_variant(guesses: Guesses) -> None:
    predictions = {"good": guesses(right=0.9), "bad": guesses(right=0.1)}
    rows = table(predictions, ("calm", "happy", "other"))
    good, bad = rows.to_dict("records")
    assert pd.isna(good["uf1_minus_first"])
    assert bad["uf1_minus_first"] == pytest.approx(bad["uf1"] - good["uf1"])
    assert bad["uf1_minus_first_low"] <= bad["uf1_minus_first"] <= bad["uf1_minus_first_high"] < 0


def test_the_markdown_shows_signs_and_empty_cells(guesses: Guesses) -> None:
    rows = table({"good": guesses(right=1.0), "bad": guesses(right=0.1)}, ("calm", "happy", "other"))
    lines = markdown(rows.assign(parameters=pd.array([1234, None], dtype="Int64"))).splitlines()
    assert "UF1 minus good" in lines[0]
    assert lines[2].startswith("| good | 1,234 | 1.000 [1.000, 1.000] |") and lines[2].endswith("|  |")
    assert "| −0." in lines[3]
    assert "54 clips, 6 subjects, 1 seeds" in lines[-1]


def test_nothing_to_compare_is_refused(toy_data: ClipTensors, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no variants"):
        ablate(toy_data, {}, tmp_path)


def test_a_system_without_parameters_leaves_their_cell_empty(
    toy_data: ClipTensors, svm: System, tmp_path: Path
) -> None:
    variants = {
        cost: dataclasses.replace(svm, settings=dataclasses.replace(svm.settings, costs=(float(cost),)))
        for cost in ("0.01", "0.1")
    }
    rows = ablate(toy_data, variants, tmp_path)
    assert rows["parameters"].isna().all()
    assert (tmp_path / "ablation.md").read_text().splitlines()[2].startswith("| 0.01 |  | ")


@pytest.mark.parametrize("name", [*system_names()])
def test_every_variant_of_every_system_is_a_setting_of_its_own(name: str) -> None:
    """A variant that equals the first would look like a finding."""
    found = find_system(name)
    usual = found.Settings()
    variants = found.variants(usual, found.uses(usual))
    settings = [found.Settings(**change) for change in variants.values()]
    assert settings[0] == usual
    assert len({repr(one) for one in settings}) == len(settings)
    assert len(settings) > 1 or name in CLASSICAL, "a network of the toolkit has parts to leave out"
