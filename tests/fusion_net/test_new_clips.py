"""New clips go the whole way to an answer: real faces are looked for, as in training, and nothing is left of labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dynamic_images.build import ImageSettings
from dynamic_images.inputs import use
from dynamic_images.pipeline import StageSettings
from fusion_net.checkpoint import Checkpoint, load, save
from fusion_net.inference import predict
from fusion_net.inputs import Scaler, load_clips, strength
from fusion_net.models import AFNSettings, build_model
from fusion_net.new_clips import predict_clips
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.clips import Clip
from preprocessing.errors import ToolkitError
from preprocessing.pipeline import FaceSettings
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.video import image_sequence

CLASSES = ("calm", "happiness", "surprise")
STAGES = StageSettings(faces=FaceSettings(size=64), images=ImageSettings(weights="linear"))
FRAMES = 8


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_frames: Callable[..., Path]) -> list[Clip]:
    """A drawn person who begins to smile, a wall, and the smile of another one without a label."""
    root = tmp_path_factory.mktemp("clips")
    settings = CorpusSettings(width=320, height=360, noise=0)
    for name, subject in (("a", 1), ("b", 2)):
        truth, frames = draw_clip(settings, subject=subject, clip=0, emotion="happiness")
        steps = set(np.linspace(truth.onset, truth.apex, FRAMES).astype(int).tolist())
        write_frames(root / name, [frame for t, frame in enumerate(islice(frames, truth.apex + 1)) if t in steps])
    plaster = np.random.default_rng(0).integers(60, 120, (360, 320, 3)).astype(np.uint8)
    write_frames(root / "wall", [plaster] * FRAMES)
    emotions = {"a": "happiness", "wall": "calm", "b": None}
    return [
        Clip(f"mine/s/{name}", "mine/s", image_sequence(root / name), offset=FRAMES - 1, fps=25.0, emotion=emotion)
        for name, emotion in emotions.items()
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the tests: what is fresh in it is reused."""
    return tmp_path_factory.mktemp("cache") / "mine"


def checkpoint(mirrored: bool = True, stages: StageSettings | None = STAGES) -> Checkpoint:
    """A network of a flow with strain and of a dynamic image, with random weights."""
    uses = (use("apex_strain"), use("temporal_ranked"))
    model = build_model(AFNSettings(widths=(8,), grid=2, features=16, gate_hidden=8), CLASSES, 1, uses).eval()
    scaler = Scaler({"apex_strain": (0.5, 0.5, 0.02), "temporal_ranked": 2.0})
    return Checkpoint(model, scaler, 32, stages=stages, mirrored=mirrored)


def probabilities(table: pd.DataFrame) -> np.ndarray:
    return table[[f"p_{name}" for name in CLASSES]].to_numpy(float)


def test_every_clip_has_a_row_and_a_rejected_one_its_reason(clips: list[Clip], cache: Path) -> None:
    told: list[str] = []
    table = predict_clips(checkpoint(), clips, cache, on_clip=lambda row: told.append(row["clip_id"]))
    assert list(table["clip_id"]) == told == [clip.clip_id for clip in clips]
    assert list(table["status"]) == ["ok", "rejected", "ok"]
    assert list(table["code"].fillna("")) == ["", "no_face", ""]
    np.testing.assert_allclose(probabilities(table)[[0, 2]].sum(axis=1), 1)
    answers = [name for name in table if name.startswith(("p_", "gate_", "strength_"))]
    assert answers == [
        *(f"p_{name}" for name in CLASSES),
        *(f"{what}_{name}" for what in ("gate", "strength") for name in ("apex_strain", "temporal_ranked")),
    ]
    assert table.loc[1, [*answers, "y_pred"]].isna().all(), "no answer without a face"
    assert set(table["y_pred"].dropna()) <= set(CLASSES) and "y_true" not in table


@pytest.mark.parametrize("mirrored", [True, False])
def test_it_answers_in_the_way_in_which_it_was_judged(clips: list[Clip], cache: Path, mirrored: bool) -> None:
    """The mean over a clip and its mirror image is another model than the one that looked at clips alone."""
    own = checkpoint(mirrored)
    table = predict_clips(own, clips, cache)
    data = own.scaler(load_clips(read_manifest(cache), cache, own.model.inputs, CLASSES, None, own.size))
    same, other = (probabilities(predict(own.model, data, mirrored=way)) for way in (mirrored, not mirrored))
    np.testing.assert_array_equal(probabilities(table)[[0, 2]], same)
    assert np.abs(same - other).max() > 1e-4
    for name in data.inputs:
        np.testing.assert_allclose(table[f"strength_{name}"][[0, 2]], strength(data, name))


def test_a_saved_model_answers_as_before(clips: list[Clip], cache: Path, tmp_path: Path) -> None:
    """Inputs, scales, stages and the way of answering all come from the two files."""
    own = checkpoint(mirrored=False)
    save(tmp_path, own)
    pd.testing.assert_frame_equal(
        predict_clips(load(tmp_path), clips, cache), predict_clips(own, clips, cache), check_exact=True
    )


def test_pictures_are_made_as_those_that_it_learnt_from(clips: list[Clip], cache: Path, tmp_path: Path) -> None:
    predict_clips(checkpoint(), clips[:1], tmp_path / "mine")
    other = dataclasses.replace(STAGES, images=ImageSettings(weights="harmonic"))
    first = (tmp_path / "mine/clips/s/a/temporal_ranked.npy").read_bytes()
    predict_clips(checkpoint(stages=other), clips[:1], tmp_path / "mine")
    assert (tmp_path / "mine/clips/s/a/temporal_ranked.npy").read_bytes() != first


def test_clips_of_which_none_can_be_used_have_reasons_and_no_answers(clips: list[Clip], tmp_path: Path) -> None:
    table = predict_clips(checkpoint(), clips[1:2], tmp_path / "mine")
    assert list(table["code"]) == ["no_face"] and "y_pred" not in table


def test_a_model_that_does_not_know_its_pictures_is_refused(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="does not say how its pictures were made") as caught:
        predict_clips(checkpoint(stages=None), clips, tmp_path / "mine")
    assert "\n" not in str(caught.value) and not (tmp_path / "mine").exists()
