"""DFME on look-alike trees: three parts with a table each, whose names are only half known."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.datasets import DATASETS, Survey
from preprocessing.datasets.labels import class_of
from preprocessing.datasets.reading.check import FINE, WARNINGS, page
from preprocessing.errors import DatasetError
from tests.preprocessing.lookalikes import DFME_HEADER, DFME_PARTS, dfme, touch, write_csv, write_xlsx

FEW = {name: (*part[:2], 2, {"fear": 2, "surprise": 1}) for name, part in DFME_PARTS.items()}


def survey(root: Path) -> Survey:
    _, found = DATASETS["dfme"].clips(root)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    return survey(dfme(tmp_path_factory.mktemp("dfme")))


def test_the_released_parts_have_the_published_counts(whole: Survey) -> None:
    assert (len(whole.clips), whole.usable, whole.subjects) == (2629, 2629, 259)
    assert whole.splits == {"train": (1856, 176), "test_a": (474, 42), "test_b": (299, 41)}
    text, code = page(whole)
    assert code == FINE, text
    assert whole.version == "train + test a + test b"
    assert "train: clips" in text and "test_b: subjects" in text and "differs" not in text


@pytest.mark.parametrize(
    ("scheme", "wanted"), [("7", (1856, 474, 299)), ("4", (1330, 339, 183)), ("3", (1856, 474, 299))]
)
def test_schemes_have_the_clips_of_their_papers(whole: Survey, scheme: str, wanted: tuple[int, ...]) -> None:
    classes = DATASETS["dfme"].label_schemes()[scheme]
    counts = {
        name: [class_of(clip.emotion, classes) for clip in whole.clips if clip.split == name] for name in DFME_PARTS
    }
    assert tuple(sum(label is not None for label in labels) for labels in counts.values()) == wanted
    if scheme == "3":
        assert [labels.count("negative") for labels in counts.values()] == [1352, 310, 209]


def test_a_copy_of_the_training_part_alone_is_as_published(tmp_path: Path) -> None:
    found = survey(dfme(tmp_path, {"train": DFME_PARTS["train"]}))
    assert (found.version, page(found)[1]) == ("train", FINE)


def test_ids_rates_and_frames_of_a_clip(tmp_path: Path) -> None:
    clip = survey(dfme(tmp_path, FEW)).clips[1]
    assert (clip.clip_id, clip.subject, clip.split) == ("dfme/sub0002/sub0002_01", "dfme/sub0002", "train")
    assert (clip.fps, clip.onset, clip.apex, clip.offset) == (300, 0, 1, 2)
    assert (clip.emotion, clip.action_units) == ("fear", ("4", "12"))


def test_the_folder_of_a_renamed_table_tells_its_part(tmp_path: Path) -> None:
    parts = {name: (f"{part[1]}/coding.xlsx", *part[1:]) for name, part in FEW.items()}
    assert list(survey(dfme(tmp_path, parts)).splits) == ["train", "test_a", "test_b"]


def test_a_table_that_tells_no_part_is_named(tmp_path: Path) -> None:
    found = survey(dfme(tmp_path, {"train": ("coding.xlsx", "clips", *FEW["train"][2:])}))
    assert found.splits == {} and page(found)[1] == WARNINGS
    assert any("names neither train nor test" in item for finding in found.findings for item in finding.items)


def test_a_clip_in_two_parts_is_refused(tmp_path: Path) -> None:
    dfme(tmp_path, FEW)
    row = ["sub0001", "sub0001_01", 0, 1, 2, "fear", 1, 200, ""]
    write_xlsx(tmp_path / "more" / "test_B.xlsx", {"a": [DFME_HEADER, row]})
    with pytest.raises(DatasetError, match=r"sub0001_01 is in train .* and in test_b"):
        survey(tmp_path)


def test_two_tables_of_one_part_are_one_and_lists_of_something_else_are_passed_over(tmp_path: Path) -> None:
    dfme(tmp_path, {"train": FEW["train"]})
    row = ["sub0001", "sub0001_01", 0, 1, 2, "fear", 1, 200]
    write_xlsx(tmp_path / "a" / "training.xlsx", {"a": [DFME_HEADER[:-1], row]})
    write_csv(tmp_path / "test_submission.csv", [["name", "answer"], ["x", 1]])
    found = survey(tmp_path)
    assert len(found.clips) == 3 and found.clips[0].action_units == ("4", "12")


def test_frames_of_another_padding_are_found(tmp_path: Path) -> None:
    row = ["sub0003", "sub0003_01", 5, 7, 9, "fear", 1, 200, ""]
    write_xlsx(tmp_path / "train.xlsx", {"a": [DFME_HEADER, row]})
    touch(tmp_path / "train_data" / "sub0003_1", range(12), "{}.png")
    (clip,) = survey(tmp_path).clips
    assert (clip.n_frames, clip.apex) == (5, 2)
