"""No text of a user is a formula for a spreadsheet, and every text comes back as it was."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.runs.run import read_predictions, to_csv
from experiments.scoring.prediction_log import read_log
from preprocessing.artefacts.cells import guarded, guarded_table, unguarded, unguarded_table
from preprocessing.artefacts.manifest import MANIFEST, read_manifest, write_manifest

FORMULAS = ("=1+1", "=HYPERLINK(1) 0.png", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "'=1+1", "''@x")


@given(st.text(alphabet="'=+-@\t\r1a.e ", max_size=8))
def test_every_text_comes_back(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in ("=", "@", "\t", "\r") or guarded(text) == ""


@pytest.mark.parametrize("text", ["", "happiness", "-1", "+1.5", "-1e-3", "'quoted'", "don't", "a=b", "1-2"])
def test_plain_texts_and_numbers_stay(text: str) -> None:
    assert guarded(text) == text == unguarded(text)


def test_numbers_and_gaps_of_a_table_stay() -> None:
    table = pd.DataFrame({"a": [-1.5, 2.0], "b": ["=1", None], "c": [-1, None]}).convert_dtypes()
    there = guarded_table(table)
    assert there["b"].tolist()[0] == "'=1" and there["b"].isna()[1]
    assert there["a"].tolist() == [-1.5, 2.0]
    pd.testing.assert_frame_equal(unguarded_table(there), table, check_dtype=False)


def test_a_manifest_holds_no_formula(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = [
        {"clip_id": f"d/s/{i}", "subject": "d/s", "emotion": text, "status": "rejected", "reason": text}
        for i, text in enumerate(FORMULAS)
    ]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path)["reason"].tolist() == read_manifest(tmp_path)["emotion"].tolist() == list(FORMULAS)
    assert not any(f",{text}" in (tmp_path / MANIFEST).read_text() for text in FORMULAS if text[0] != "'")


def test_predictions_hold_no_formula_and_logs_of_ours_and_of_others_are_scored_alike(tmp_path) -> None:  # type: ignore[no-untyped-def]
    n = len(FORMULAS)
    facts = {"clip_id": [f"d/s/{i}" for i in range(n)], "subject": "d/s", "fold": "d_s", "seed": 0}
    table = pd.DataFrame({**facts, "y_true": FORMULAS, "y_pred": FORMULAS[::-1]})
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    ours.write_text(to_csv(table))
    assert not any(f",{text}" in ours.read_text() for text in FORMULAS if text[0] != "'")
    pd.testing.assert_frame_equal(read_predictions(ours), table)
    plain = table.assign(y_true=[text.strip("\t'") for text in FORMULAS], y_pred="@SUM(A1)")
    plain.to_csv(theirs, index=False)
    assert read_log(theirs)["y_true"].tolist() == plain["y_true"].tolist()
    assert read_log(ours)["y_pred"].iloc[-1] == "=1+1"
