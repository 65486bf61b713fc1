from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dynamic_images import build
from dynamic_images.build import CHOICES, ImageSettings, build_images, images_key
from dynamic_images.encoding import VIEW_RANGE
from dynamic_images.rank_pooling import harmonic_weights, linear_weights, pool
from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.record import Entry
from preprocessing.errors import DamagedArtefactError, ToolkitError
from preprocessing.optical_flow import FlowSettings

IMAGES = ("temporal_ranked", "motion_intensity")
FILES = {"intensity.npy", "order.npy"} | {f"{name}.{suffix}" for name in IMAGES for suffix in ("npy", "png")}


def contents(folder: ClipFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.folder.iterdir())}


def test_it_writes_what_the_architecture_says(clip_folder: ClipFolder, clip: Any) -> None:
    settings = ImageSettings(steady_light=False)
    result = build_images(clip_folder, settings, "upstream")
    entry = clip_folder.entry("images")
    assert set(entry.files) == FILES
    assert entry.result == result
    assert clip_folder.fresh("images", images_key(settings, "upstream", None))
    intensity, order = clip_folder.load("intensity.npy"), clip_folder.load("order.npy")
    assert (intensity.dtype, intensity.shape) == (np.float32, (12,))
    assert (order.dtype, sorted(order)) == (np.int64, list(range(12)))
    assert (np.diff(intensity[order]) >= 0).all()
    trdi, midi = clip_folder.load("temporal_ranked.npy"), clip_folder.load("motion_intensity.npy")
    assert trdi.dtype == midi.dtype == np.float32
    np.testing.assert_allclose(trdi, pool(clip.crops, harmonic_weights(12)), atol=1e-4)
    np.testing.assert_allclose(midi, pool(clip.crops[order], linear_weights(12)), atol=1e-4)


def test_a_flickering_still_face_leaves_no_ghost(
    make_clip: Callable[..., Any], store_clip: Any, tmp_path: Path
) -> None:
    clip = make_clip(peak=0.0)
    gains = np.linspace(1, 1.03, 12)
    lit = np.rint(clip.crops * gains[:, None, None, None]).astype(np.uint8)
    folder = store_clip(tmp_path / "clip", dataclasses.replace(clip, crops=lit))
    ghost = build_images(folder, ImageSettings(steady_light=False), "upstream")
    steady = build_images(folder, ImageSettings(), "upstream")
    for name in IMAGES:
        assert steady[f"{name}_energy"] < 0.25  # rounding to 8 bits
    assert ghost["temporal_ranked_energy"] > 1.0


def test_a_background_that_moves_is_in_the_picture_but_not_in_the_energy(
    clip: Any, store_clip: Any, tmp_path: Path
) -> None:
    crops = clip.crops.copy()
    crops[6:, :5, :] += 40  # above the forehead, which is where the mask ends
    rows = [
        build_images(store_clip(tmp_path / name, dataclasses.replace(clip, crops=seen)), ImageSettings(), "upstream")
        for name, seen in (("still", clip.crops), ("moving", crops))
    ]
    pictures = [np.load(tmp_path / name / "motion_intensity.npy") for name in ("still", "moving")]
    whole = [float(np.sqrt(np.square(picture, dtype=float).mean())) for picture in pictures]
    for name in IMAGES:
        assert rows[1][f"{name}_energy"] == pytest.approx(rows[0][f"{name}_energy"], rel=1e-3)
        assert rows[0][f"{name}_outside"] < 0.2 and rows[1][f"{name}_outside"] > 0.5
    assert whole[1] > 1.5 * whole[0], "what a root mean square over the whole crop says"


def test_the_noise_floor_lies_below_an_expression_and_above_a_face_at_rest(
    make_clip: Callable[..., Any], store_clip: Any, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, (12, 32, 32, 2))
    rows = []
    for name, peak in (("still", 0.0), ("moving", 1.5)):
        one = make_clip(peak=peak)
        flow = (one.flow.astype(float) + noise - noise[0]).astype(np.float16)
        folder = store_clip(tmp_path / name, dataclasses.replace(one, flow=flow))
        rows.append(build_images(folder, ImageSettings(), "upstream"))
    assert rows[0]["peak_intensity"] <= rows[0]["noise_floor"] < 3 * rows[0]["peak_intensity"]
    assert rows[1]["peak_intensity"] > rows[1]["noise_floor"] > 0.5 * rows[0]["noise_floor"]


def test_views_on_disk_are_rgb_at_the_fixed_scale(clip_folder: ClipFolder) -> None:
    build_images(clip_folder, ImageSettings(), "upstream")
    view = cv2.imread(str(clip_folder / "motion_intensity.png"), cv2.IMREAD_COLOR_RGB)
    image = clip_folder.load("motion_intensity.npy")
    levels = (view.astype(float) - 128) * VIEW_RANGE / 127
    assert np.abs(levels - image).max() < 0.1  # swapped channels differ by several grey levels


def test_the_images_show_the_motion_where_it_is(clip_folder: ClipFolder, clip: Any) -> None:
    build_images(clip_folder, ImageSettings(), "upstream")
    moving = np.abs(clip.flow[5].astype(float)).max(axis=-1).repeat(2, 0).repeat(2, 1) > 0.2
    for name in IMAGES:
        energy = np.square(clip_folder.load(f"{name}.npy")).mean(axis=-1)
        assert energy[moving].mean() > 50 * energy[~moving].mean()  # a picture of noise scores 1


def test_an_annotated_apex_is_kept_and_a_missing_one_estimated(clip_folder: ClipFolder, clip: Any) -> None:
    estimated = build_images(clip_folder, ImageSettings(), "upstream")
    assert (estimated["apex_index"], estimated["apex_source"]) == (int(np.argmax(clip.amplitude)), "estimated")
    annotated = build_images(clip_folder, ImageSettings(), "upstream", apex=7)
    assert (annotated["apex_index"], annotated["apex_source"]) == (7, "annotated")
    with pytest.raises(ValueError, match=r"apex 12 is outside the clip's frames 0 \.\. 11"):
        build_images(clip_folder, ImageSettings(), "upstream", apex=12)


def test_twice_the_same_bytes(
    clip_folder: ClipFolder, clip: Any, store_clip: Callable[..., ClipFolder], tmp_path: Path
) -> None:
    other = store_clip(tmp_path / "again", clip)
    results = [build_images(folder, ImageSettings(), "upstream") for folder in (clip_folder, other)]
    assert results[0] == results[1]
    assert contents(clip_folder) == contents(other)


def test_a_fresh_stage_is_left_alone(clip_folder: ClipFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_images(clip_folder, ImageSettings(), "upstream")
    monkeypatch.setattr(build, "pool", lambda *_: pytest.fail("computed again"))
    assert build_images(clip_folder, ImageSettings(), "upstream") == first


@pytest.mark.parametrize(
    "change",
    [{name: c} for name, choices in CHOICES.items() for c in choices if c != getattr(ImageSettings(), name)]
    + [{"apex_smoothing": 0.1}, {"steady_light": False}],
)
def test_any_changed_setting_changes_the_key(change: dict[str, Any]) -> None:
    changed = dataclasses.replace(ImageSettings(), **change)
    assert images_key(changed, "upstream", None) != images_key(ImageSettings(), "upstream", None)


def test_new_flow_or_a_corrected_apex_makes_the_images_stale(clip_folder: ClipFolder) -> None:
    build_images(clip_folder, ImageSettings(), "upstream", apex=5)
    assert clip_folder.fresh("images", images_key(ImageSettings(), "upstream", 5))
    assert not clip_folder.fresh("images", images_key(ImageSettings(), "other flow", 5))
    assert not clip_folder.fresh("images", images_key(ImageSettings(), "upstream", 6))


def test_flow_settings_count_only_where_flow_is_computed_here() -> None:
    other = FlowSettings(denoise=3.0)
    onset, previous = ImageSettings(), ImageSettings(reference="previous")
    assert images_key(onset, "upstream", None, other) == images_key(onset, "upstream", None)
    assert images_key(previous, "upstream", None, other) != images_key(previous, "upstream", None)


@pytest.mark.parametrize("when", [1, 2])
def test_an_interruption_leaves_the_stage_as_it_was_or_undone(
    clip_folder: ClipFolder, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    build_images(clip_folder, ImageSettings(), "upstream")
    whole = contents(clip_folder)
    calls = 0

    def interrupted(path: Path, image: np.ndarray) -> None:
        nonlocal calls
        calls += 1
        if calls == when:
            raise KeyboardInterrupt
        original(path, image)

    original = build._write_view
    monkeypatch.setattr(build, "_write_view", interrupted)
    changed = ImageSettings(order="descending")
    with pytest.raises(KeyboardInterrupt):
        build_images(clip_folder, changed, "upstream")
    assert not clip_folder.fresh("images", images_key(changed, "upstream", None))
    assert contents(clip_folder) == whole
    monkeypatch.setattr(build, "_write_view", original)
    build_images(clip_folder, changed, "upstream")
    assert clip_folder.fresh("images", images_key(changed, "upstream", None))


def test_speed_of_motion_orders_by_steps_and_keeps_the_onset_apex(
    make_clip: Callable[..., Any], store_clip: Callable[..., ClipFolder], tmp_path: Path
) -> None:
    clip = make_clip(n_frames=8, peak=2.0, apex=2)
    folder = store_clip(tmp_path / "clip", clip)
    result = build_images(folder, ImageSettings(reference="previous"), "upstream")
    intensity = folder.load("intensity.npy")
    steps = np.abs(np.diff(clip.amplitude, prepend=0.0))
    assert intensity[0] == 0
    assert np.corrcoef(intensity, steps)[0, 1] > 0.9  # the onset's own curve scores 0.1
    assert result["apex_index"] == 2


def test_span_to_the_apex_orders_only_its_frames(clip_folder: ClipFolder) -> None:
    build_images(clip_folder, ImageSettings(span="onset..apex"), "upstream", apex=4)
    assert sorted(clip_folder.load("order.npy")) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weights": "exact"}, "weights = 'exact' is unknown: choose one of harmonic, linear"),
        ({"reference": "apex"}, "choose one of onset, previous"),
        ({"statistic": "max"}, "choose one of top_decile, mean, median, percentile_99"),
        ({"region": "mouth"}, "choose one of face, face_without_eyes"),
        ({"order": "up"}, "choose one of ascending, descending"),
        ({"span": "all"}, r"choose one of onset\.\.offset, onset\.\.apex"),
        ({"apex_smoothing": -1.0}, "wanted a share of the clip"),
    ],
)
def test_unknown_settings_name_the_choices(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageSettings(**wrong)


def test_missing_and_mismatched_inputs_are_one_sentence(clip_folder: ClipFolder) -> None:
    with clip_folder.writing("flow", Entry("shorter", {})) as scratch:
        np.save(scratch / "flow.npy", np.zeros((3, 32, 32, 2), np.float16))
    with pytest.raises(ToolkitError, match="12 crops but flow for 3 frames"):
        build_images(clip_folder, ImageSettings(), "upstream")
    (clip_folder / "flow.npy").unlink()
    with pytest.raises(DamagedArtefactError, match=r"flow\.npy \(stage flow\) cannot be read \(No such file"):
        build_images(clip_folder, ImageSettings(), "upstream")


@pytest.mark.parametrize("name", ["crops.mkv", "flow.npy", "landmarks.npy"])
def test_nothing_is_made_from_a_file_with_one_bit_flipped(clip_folder: ClipFolder, name: str) -> None:
    """Of the crops it would be a dynamic image that is some grey levels off, recorded as right."""
    data = bytearray((clip_folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (clip_folder / name).write_bytes(data)
    with pytest.raises(DamagedArtefactError, match=f"{name}.* is not what was written") as caught:
        build_images(clip_folder, ImageSettings(), "upstream")
    assert (caught.value.file, caught.value.stage) == (name, "flow" if name == "flow.npy" else "faces")
    assert clip_folder.entry("images") is None
