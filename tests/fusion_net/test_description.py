from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fusion_net import AFNSettings, Checkpoint, Scaler, build_model, load, save
from preprocessing.artefacts.files import key_of
from preprocessing.errors import ToolkitError

Claim = Callable[..., Path]


@pytest.fixture
def claim(tmp_path: Path) -> Claim:
    """A small AFN on disk whose description claims something else, signed as if it had been written so."""
    model = build_model(AFNSettings(widths=(8,), grid=1, features=8), ("calm", "happy"), seed=0)
    scaler = Scaler({"temporal_ranked": 2.0, "motion_intensity": 3.0})
    save(tmp_path, Checkpoint(model, scaler, 32, {"training": {"strength": {"temporal_ranked": [0.1, 2.0]}}}))

    def change(sign: bool = True, **changes: Any) -> Path:
        path = tmp_path / "model.json"
        content = json.loads(path.read_text("utf-8"))
        content.pop("digest") if sign else None
        content.update(changes)
        if sign:
            content["digest"] = key_of(content)
        path.write_text(json.dumps(content), encoding="utf-8")
        return tmp_path

    return change


def test_what_was_written_is_read(claim: Claim) -> None:
    found = load(claim())
    assert (found.size, found.model.classes, found.mirrored) == (32, ("calm", "happy"), True)


def test_one_changed_number_is_noticed(claim: Claim) -> None:
    with pytest.raises(ToolkitError, match="is not as it was written"):
        load(claim(sign=False, size=64))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size": 20000}, "from 16 to 512"),
        ({"size": 0}, "from 16 to 512"),
        ({"size": -1}, "from 16 to 512"),
        ({"size": True}, "from 16 to 512"),
        ({"size": 32.0}, "from 16 to 512"),
        ({"classes": ["calm", "calm"]}, "named twice"),
        ({"classes": ["calm", None]}, "class None is not a name"),
        ({"classes": ["calm", ["happy"]]}, "is not a name"),
        ({"classes": "calm"}, "wanted a list"),
        ({"scales": {"temporal_ranked": 2.0}}, "wanted one for each"),
        ({"scales": {"temporal_ranked": -2.0, "motion_intensity": 3.0}}, "positive number"),
        ({"scales": {"temporal_ranked": 1e308, "motion_intensity": 3.0}}, "positive number"),
        ({"scales": {"temporal_ranked": "2", "motion_intensity": 3.0}}, "positive number"),
        ({"scales": {"temporal_ranked": [2.0, 2.0], "motion_intensity": 3.0}}, "2 scales for 3 channels"),
        ({"about": []}, "about is"),
        ({"about": None}, "about is None"),
        ({"about": {"training": {"strength": None}}}, "strength is None"),
        ({"about": {"training": {"strength": {"temporal_ranked": None}}}}, "two numbers"),
        ({"about": {"training": {"strength": {"temporal_ranked": [0, 0]}}}}, "two numbers"),
        ({"about": {"evaluation": "good"}}, "evaluation is 'good'"),
        ({"mirrored": "yes"}, "wanted true or false"),
        ({"model": "nobody"}, "is not one of afn"),
        ({"model": ["afn"]}, "train it again"),
        ({"inputs": []}, "train it again"),
        ({"inputs": [{"name": "nothing", "settings": {}}]}, "unknown"),
        ({"settings": {}}, "train it again"),
    ],
)
def test_claims_that_cannot_be_are_one_sentence(claim: Claim, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ToolkitError, match=why) as caught:
        load(claim(**changes))
    assert len(str(caught.value)) < 600


def test_settings_of_absurd_size_take_no_memory(claim: Claim) -> None:
    path = claim()
    settings = json.loads((path / "model.json").read_text("utf-8"))["settings"]
    with pytest.raises(ToolkitError, match="parameters, at most"):
        load(claim(settings={**settings, "features": 2_000_000_000}))
    with pytest.raises(ToolkitError, match=r"has shape|are not on both sides"):
        load(claim(settings={**settings, "features": 16}))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = build_model(AFNSettings(widths=(8,), grid=1, features=8), ("calm", "happy"), seed=0)
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    save(tmp_path, Checkpoint(model, Scaler({"temporal_ranked": 2.0, "motion_intensity": 3.0}), 32))
    with pytest.raises(ToolkitError, match="not finite"):
        load(tmp_path)


def test_a_description_nested_very_deep_is_one_sentence(claim: Claim) -> None:
    path = claim() / "model.json"
    path.write_text('{"about": ' + "[" * 100_000 + "]" * 100_000 + "}", encoding="utf-8")
    with pytest.raises(ToolkitError, match="readable checkpoint"):
        load(path.parent)
