"""Every adapter end to end: a look-alike tree with real pictures of drawn faces becomes dynamic images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images.pipeline import StageSettings, build_dataset
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.datasets import DATASETS, DataSettings, videos
from preprocessing.pipeline import FaceSettings
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings
from tests.preprocessing import lookalikes as look

SETTINGS = StageSettings(faces=FaceSettings(size=64))
FRAMES = 9
Pictures = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def frames() -> Pictures:
    """Nine frames (360, 320, 3) of one drawn clip, 12 apart, so that something moves."""
    _, drawn = draw_clip(CorpusSettings(width=320, height=360, noise=0), subject=1, clip=0, emotion="happiness")
    return list(islice(drawn, 0, None, 6))[:FRAMES]


def write(folder: Path, pictures: Pictures, first: int, pattern: str, grey: bool = False) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, start=first):
        image = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY if grey else cv2.COLOR_RGB2BGR)
        assert cv2.imwrite(str(folder / pattern.format(number)), image)


def casme2(root: Path, pictures: Pictures) -> None:
    row = ["01", "EP02_01f", None, 46, 50, 54, None, "4+L10", "happiness"]
    look.write_xlsx(root / "CASME2-coding-20140508.xlsx", {"Sheet1": [look.CASME2_HEADER, row]})
    write(root / "CASME2_RAW_selected" / "CASME2_RAW_selected" / "sub01" / "EP02_01f", pictures, 46, "img{}.jpg")


def samm(root: Path, pictures: Pictures) -> None:
    row = ["006", "006_1_2", None, 5562, 5566, 5570, 9, "Micro - 1/2", "4+7", "Happiness", 1, None]
    look.write_xlsx(root / "SAMM_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": [*([["text"]] * 13), look.SAMM_HEADER, row]})
    write(root / "SAMM" / "006" / "006_1_2", pictures, 5562, "006_{:05d}.jpg", grey=True)


def smic(root: Path, pictures: Pictures) -> None:
    at = root / "SMIC_all_raw" / "HS" / "s1" / "micro" / "positive" / "s1_po_01"
    write(at, pictures, 90823, "image{:06d}.bmp")


def mmew(root: Path, pictures: Pictures) -> None:
    row = [3, "S03-01-002", 1, 5, 9, "12L", "happiness", ""]
    look.write_csv(root / "MMEW_Micro_Exp.csv", [look.MMEW_HEADER, row])
    faces = [cv2.resize(p[60:320, 40:280], (231, 231), interpolation=cv2.INTER_AREA) for p in pictures]
    write(root / "Micro_Expression" / "happiness" / "S03-01-002", faces, 1, "{}.jpg")


def casme_squared(root: Path, pictures: Pictures) -> None:
    row = [1, "happy1_1", 557, 561, 565, "6,12", "positive", "micro-expression", "happyiness"]
    look.write_xlsx(root / "CAS(ME)^2code_final.xlsx", {"CASFEcode_final": [row], "naming rule1": [[15, "s15", 1]]})
    write(root / "rawpic" / "s15" / "15_0502funnyerrors", pictures, 557, "img{}.jpg")


def casme_cubed(root: Path, pictures: Pictures) -> None:
    row = ["spNO.1", "a", "355", "359", "363", "12", "I", "happy"]
    look.write_xlsx(root / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [look.CUBED_HEADER, row]})
    write(root / "part_A" / "data" / "part_A" / "spNO.1" / "a" / "color", pictures, 355, "{}.jpg")


def casme(root: Path, pictures: Pictures) -> None:
    row = [1, "EP01_12", None, 73, 77, "\\", 81, None, 9, 9, "12", "happiness"]
    look.write_xls(root / "CASME-coded-20190721.xls", {"Sheet1": [look.CASME_HEADER, row]})
    write(root / "CASME_A" / "Section A" / "sub01" / "EP01_12", pictures, 73, "EP01_12-{}.jpg")


def four_dme(root: Path, pictures: Pictures) -> None:
    row = [1, "clip_1", "Positive", 1826, 1830, 1834, "AU12", 0]
    look.write_xlsx(root / "4DME_Labelling_Micro_release v1.xlsx", {"a": [look.FOUR_DME_HEADER, row]})
    write(root / "gray_micro" / "1" / "clip_1", pictures, 1826, "Frame_{:09d}.jpg", grey=True)


TREES: dict[str, Callable[[Path, Pictures], None]] = {
    "casme2": casme2,
    "samm": samm,
    "smic": smic,
    "mmew": mmew,
    "casme_squared": casme_squared,
    "casme_cubed": casme_cubed,
    "casme": casme,
    "4dme": four_dme,
}


@pytest.fixture(params=TREES)
def row(request: pytest.FixtureRequest, tmp_path: Path, frames: Pictures) -> Iterator[dict[str, Any]]:
    """The manifest row of the one clip of each tree."""
    TREES[request.param](tmp_path / "root", frames)
    clips, _ = DATASETS[request.param].clips(tmp_path / "root", DataSettings())
    build_dataset(clips, tmp_path / "cache", SETTINGS)
    (found,) = read_manifest(tmp_path / "cache").to_dict("records")
    yield {str(name): value for name, value in found.items()} | {"cache": tmp_path / "cache"}


def test_the_clip_becomes_dynamic_images(row: dict[str, Any]) -> None:
    assert row["status"] == "ok", row["reason"]
    assert (row["n_frames"], row["emotion"] in ("happiness", "positive")) == (FRAMES, True)
    folder = clip_folder(row["cache"], row["clip_id"])
    for name in ("temporal_ranked", "motion_intensity"):
        image = folder.load(f"{name}.npy")
        assert image.shape == (64, 64, 3)
        assert np.abs(image).max() > 2  # grey levels; a still clip gives 0
    if row["clip_id"].startswith("smic"):
        assert row["apex_source"] == "estimated"
    else:
        assert (row["apex"], row["apex_source"]) == (4, "annotated")


def test_the_midpoint_is_marked_as_such(tmp_path: Path, frames: Pictures) -> None:
    smic(tmp_path / "root", frames)
    clips, _ = DATASETS["smic"].clips(tmp_path / "root", DataSettings(apex="midpoint"))
    build_dataset(clips, tmp_path / "cache", SETTINGS)
    (found,) = read_manifest(tmp_path / "cache").to_dict("records")
    assert (found["apex"], found["apex_source"]) == (4, "midpoint")


def test_a_crop_in_which_no_detector_finds_a_face_is_taken_for_one(tmp_path: Path, frames: Pictures) -> None:
    """The same pixels are rejected where the data set does not say that they are a face."""
    tight = [np.ascontiguousarray(p[146:272, 104:218]) for p in frames]
    row = [3, "S03-01-002", 1, 5, 9, "12L", "happiness", ""]
    look.write_csv(tmp_path / "root" / "MMEW_Micro_Exp.csv", [look.MMEW_HEADER, row])
    write(tmp_path / "root" / "Micro_Expression" / "S03-01-002", tight, 1, "{}.jpg")
    clips, _ = DATASETS["mmew"].clips(tmp_path / "root", DataSettings())
    build_dataset(clips, tmp_path / "cache", SETTINGS)
    (found,) = read_manifest(tmp_path / "cache").to_dict("records")
    build_dataset(videos.load(tmp_path / "root"), tmp_path / "plain", SETTINGS)
    (plain,) = read_manifest(tmp_path / "plain").to_dict("records")
    assert (found["status"], found["code"]) != ("rejected", "no_face"), found["reason"]
    assert (plain["status"], plain["code"]) == ("rejected", "no_face")
