"""Each adapter on a look-alike of its data set: full-size tables to the published counts, and every known quirk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from preprocessing.clips import Clip
from preprocessing.datasets import DATASETS, ClipDataset, DataSettings, Survey
from preprocessing.datasets.reading.layout import Layout
from preprocessing.errors import DatasetError
from preprocessing.video import ImageSequence, Unreadable
from tests.preprocessing import lookalikes as look
from tests.preprocessing.lookalikes import touch, write_csv, write_xlsx


def survey(name: str, root: Path, **settings: str) -> Survey:
    _, found = DATASETS[name].clips(root, settings_of(name, **settings))
    assert found is not None
    return found


def settings_of(name: str, **settings: str) -> DataSettings:
    options = {key: settings.pop(key) for key in list(settings) if key in DATASETS[name].options}
    return DataSettings(**settings, options=options)  # type: ignore[arg-type]


def layout(name: str, **settings: str) -> Layout:
    dataset = DATASETS[name]
    assert isinstance(dataset, ClipDataset)
    found = dataset.layout_of(settings_of(name, **settings))
    assert found is not None
    return found


def by_id(found: Survey) -> dict[str, Clip]:
    return {clip.clip_id.split("/", 1)[1]: clip for clip in found.clips}


def files(clip: Clip) -> list[str]:
    assert isinstance(clip.frames, ImageSequence)
    return [path.name for path in clip.frames.paths]


def told(found: Survey) -> dict[str, tuple[str, ...]]:
    return {finding.what: finding.items for finding in found.findings}


FULL: list[tuple[str, int, dict[str, str], Callable[..., Path]]] = [
    ("casme2", 0, {}, look.full_casme2),
    ("casme2", 1, {}, look.full_casme2),
    ("casme2", 2, {}, look.full_casme2),
    ("samm", 0, {}, look.full_samm),
    ("mmew", 0, {}, look.full_mmew),
    ("casme_cubed", 0, {}, look.full_cubed),
    ("casme_cubed", 0, {"part": "c"}, look.full_cubed_c),
    ("casme", 0, {}, look.full_casme),
    ("smic", 0, {}, lambda root, classes: look.full_smic(root)),
]


@pytest.mark.parametrize(("name", "version", "settings", "write"), FULL)
def test_published_counts_come_out_of_full_size_tables(
    tmp_path: Path, name: str, version: int, settings: dict[str, str], write: Callable[..., Path]
) -> None:
    known = layout(name, **settings).published[version]
    found = survey(name, write(tmp_path, known.classes), **settings)
    assert dict(found.counts) == dict(known.classes)
    assert (len(found.clips), found.usable, found.subjects) == (known.clips, known.clips, known.subjects)
    assert found.version == known.name
    wrong = {what for what in told(found) if "not annotated" not in what}
    assert [f for f in found.findings if f.warning] == [], wrong
    assert all(len(files(clip)) == 3 for clip in found.clips)


@pytest.mark.parametrize(
    ("expression", "version"), [(None, 0), ("both", 1), ("macro", 2)], ids=["micro", "both", "macro"]
)
def test_casme_squared_has_micro_and_macro(tmp_path: Path, expression: str | None, version: int) -> None:
    micro, both, macro = layout("casme_squared").published
    root = look.full_squared(tmp_path, micro.classes, macro.classes)
    found = survey("casme_squared", root, **({"expression": expression} if expression else {}))
    known = (micro, both, macro)[version]
    assert (dict(found.counts), found.usable, found.subjects) == (dict(known.classes), known.clips, known.subjects)


def test_4dme_as_far_as_the_facts_go(tmp_path: Path) -> None:
    root = look.full_four_dme(tmp_path, {"Negative": 3, "Surprise+Positive": 2})
    found = survey("4dme", root)
    assert dict(found.counts) == {"negative": 3, "surprise+positive": 2}
    assert found.clips[0].action_units == ("ref(4)", "L7")
    assert files(found.clips[0]) == [f"Frame_00000{n}.jpg" for n in (1825, 1826, 1827)]


# CASME II

ROWS = [
    ("01", "EP02_01f", 46, 59, 86, "4+L10", "happiness"),
    ("04", "EP12_01f", 261, "/", 321, 4, "disgust"),
    ("05", "EP09_05f", 69, 69, 123, "?", "disgust"),
    ("09", "EP09f", 10, 20, 30, "12", "others"),
]


def test_casme2_names_that_are_irregular_and_an_apex_that_is_none(tmp_path: Path) -> None:
    found = by_id(survey("casme2", look.casme2(tmp_path, ROWS)))
    assert found["sub01/EP02_01f"].apex == 13
    assert found["sub04/EP12_01f"].apex is None
    assert found["sub05/EP09_05f"].apex == 0
    assert files(found["sub09/EP09f"])[0] == "img10.jpg"
    assert found["sub01/EP02_01f"].action_units == ("4", "L10")


@pytest.mark.parametrize(
    ("policy", "apex", "source"), [("estimate", None, "annotated"), ("midpoint", 30, "midpoint"), ("drop", None, "")]
)
def test_a_missing_apex_follows_the_policy(tmp_path: Path, policy: str, apex: int | None, source: str) -> None:
    clip = by_id(survey("casme2", look.casme2(tmp_path, ROWS), apex=policy))["sub04/EP12_01f"]
    assert clip.apex == apex
    if policy == "drop":
        assert isinstance(clip.frames, Unreadable)
        assert clip.frames.error.code == "no_apex"
        assert "'/' is not a frame number" in clip.frames.error.reason
    else:
        assert clip.apex_source == source


@pytest.mark.parametrize("form", [1, 1.0, "1", "01", "sub01"])
def test_casme2_subjects_in_every_form(tmp_path: Path, form: object) -> None:
    table = [look.CASME2_HEADER, [form, "EP02_01f", None, 1, 2, 3, None, 4, "happiness"]]
    write_xlsx(tmp_path / "CASME2-coding-20190701.xlsx", {"Sheet1": table})
    touch(tmp_path / "CASME2-RAW" / "sub01" / "EP02_01f", range(1, 9), "img{:03d}.jpg")
    (clip,) = survey("casme2", tmp_path).clips
    assert clip.clip_id == "casme2/sub01/EP02_01f"
    assert files(clip) == ["img001.jpg", "img002.jpg", "img003.jpg"]


def test_casme2_raw_is_preferred_and_cropped_can_be_had(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS)
    touch(root / "Cropped-updated" / "Cropped" / "sub01" / "EP02_01f", range(46, 87), "reg_img{}.jpg")
    raw, cropped = survey("casme2", root), survey("casme2", root, variant="cropped")
    assert (raw.variant, raw.usable, raw.clips[0].cropped) == ("raw", 4, False)
    assert (cropped.variant, cropped.usable, cropped.clips[0].cropped) == ("cropped", 1, True)
    assert told(raw)["other copies, not used (used: CASME2_RAW_selected/CASME2_RAW_selected)"]
    assert len(told(cropped)["rows without a folder"]) == 3


def test_only_cropped_there_is_used_without_asking(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS, frames=None)
    touch(root / "Cropped" / "sub01" / "EP02_01f", range(46, 87), "reg_img{}.jpg")
    assert survey("casme2", root).variant == "cropped"
    with pytest.raises(DatasetError, match="holds no raw copy of CASME II, only Cropped"):
        survey("casme2", root, variant="raw")


def test_a_tree_sorted_by_class_and_renumbered(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS, frames=None)
    touch(root / "CASME2_data_5" / "happiness" / "01_EP02_01f", range(1, 42))
    found = survey("casme2", root)
    assert files(found.clips[0])[0] == "img1.jpg"
    assert told(found)["clips whose files are numbered anew, taken in order"] == ("casme2/sub01/EP02_01f",)


def test_folders_without_a_row_and_rows_without_a_folder(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, [*ROWS, ("24", "EP99_1", 1, 2, 3, "", "others")])
    raw = root / "CASME2_RAW_selected" / "CASME2_RAW_selected"
    touch(raw / "sub24" / "EP02_07", range(1, 4))
    for file in (raw / "sub24" / "EP99_1").iterdir():
        file.unlink()
    found = survey("casme2", root)
    assert told(found)["folders without a row"] == (f"{raw.relative_to(root)}/sub24/EP02_07",)
    assert told(found)["rows without a folder"] == ("casme2/sub24/EP99_1 (CASME2-coding-20140508.xlsx, row 6)",)
    assert told(found)["folders of clips that are empty"]
    clip = by_id(found)["sub24/EP99_1"]
    assert isinstance(clip.frames, Unreadable), "it becomes a rejected row, never just missing"


def test_folder_names_are_compared_without_case(tmp_path: Path) -> None:
    root = look.casme2(tmp_path, ROWS[:1], frames=None)
    touch(root / "raw" / "SUB01" / "ep02_01F", range(46, 87))
    assert survey("casme2", root).usable == 1


def test_clip_names_that_repeat_between_and_within_subjects(tmp_path: Path) -> None:
    rows = [
        ("01", "EP02_01f", 46, 59, 86, "4", "happiness"),
        ("02", "EP02_01f", 46, 59, 86, "4", "happiness"),
        ("02", "EP02_01f", 146, 159, 186, "4", "disgust"),
        ("02", "EP02_01f", 146, 159, 186, "4", "surprise"),
    ]
    found = survey("casme2", look.casme2(tmp_path, rows))
    assert list(by_id(found)) == ["sub01/EP02_01f", "sub02/EP02_01f_46", "sub02/EP02_01f_146"]
    (repeated,) = told(found)["rows that repeat another one; the first counts"]
    assert "row 5; first in" in repeated
    assert "with other cells" in repeated


# SAMM


def samm(root: Path, rows: list[list[object]], above: int = 13) -> Path:
    table = [*([["Please cite"]] * above), look.SAMM_HEADER, *rows]
    write_xlsx(root / "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", {"MICRO_ONLY": table})
    return root


def test_samm_padding_differs_from_clip_to_clip(tmp_path: Path) -> None:
    samm(
        tmp_path,
        [
            ["006", "006_1_2", None, 5562, 5588, 5632, 71, "Micro - 1/2", "4", "Anger", 1, None],
            [7, "007_6_1", None, 2046, 2050, 2060, 15, "Micro - 1/2", "12+15 ", "Other", 1, None],
        ],
        above=0,
    )
    touch(tmp_path / "SAMM" / "006" / "006_1_2", range(5562, 5633), "006_{:05d}.jpg")
    touch(tmp_path / "SAMM" / "007" / "007_6_1", range(2046, 2061), "007_{}.jpg")
    found = by_id(survey("samm", tmp_path))
    assert found["006/006_1_2"].apex == 26
    assert files(found["007/007_6_1"])[0] == "007_2046.jpg"
    assert found["007/007_6_1"].emotion == "others"


def test_samm_apexes_that_are_typing_errors(tmp_path: Path) -> None:
    samm(
        tmp_path,
        [
            ["028", "028_4_1", None, 1071, 1143, 1134, 64, "Micro - 1/2", "4", "Anger", 1, None],
            ["032", "032_3_1", None, 4896, 1930, 4970, 75, "Micro - 1/2", "4", "Anger", 1, None],
            ["013", "013_1_9", None, 5700, 5710, 5793, 40, "Micro - 1/2", "4", "Anger", 1, None],
        ],
    )
    for name, span in (("028_4_1", (1071, 1135)), ("032_3_1", (4896, 4971)), ("013_1_9", (5700, 5740))):
        touch(tmp_path / name[:3] / name, range(*span), name[:3] + "_{:05d}.jpg")
    found = survey("samm", tmp_path)
    clips = by_id(found)
    assert clips["028/028_4_1"].apex is None
    assert clips["032/032_3_1"].apex == 4930 - 4896
    assert told(found)["apexes outside onset .. offset"] == ("samm/028/028_4_1: 1143 in 1071 .. 1134",)
    (corrected,) = told(found)["cells put right by corrections/samm.csv"]
    assert "apex 1930 → 4930 (a typing error" in corrected
    assert len(told(found)["durations that are not offset - onset + 1"]) == 1
    uncorrected = by_id(survey("samm", tmp_path, corrections="none"))
    assert uncorrected["032/032_3_1"].apex is None


# SMIC


@pytest.mark.parametrize("folder", ["s1_ne_01", "s01_ne_01", "s01_s1_ne_01", "S1_NE_1"])
def test_smic_names_of_every_copy_are_one_clip(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / "HS" / "s1" / "micro" / "negative" / folder, range(185082, 185090), "reg_image{}.bmp")
    touch(tmp_path / "HS" / "s1" / "non_micro" / "s1_ne_02", range(1, 9), "image{}.bmp")
    touch(tmp_path / "VIS" / "s1" / "micro" / "negative" / "s1_ne_03", range(1, 9), "image{}.bmp")
    (clip,) = survey("smic", tmp_path).clips
    assert (clip.clip_id, clip.subject, clip.emotion) == ("smic/s01/s01_ne_01", "smic/s01", "negative")
    assert (clip.apex, clip.n_frames) == (None, 8)


def test_smic_an_empty_clip_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "HS" / "s18" / "micro" / "surprise" / "s18_sur_02", range(1, 9), "image{}.bmp")
    (tmp_path / "HS" / "s18" / "micro" / "surprise" / "s18_sur_03").mkdir()
    found = survey("smic", tmp_path)
    assert [type(clip.frames) for clip in found.clips] == [ImageSequence, Unreadable]


# MMEW


@pytest.mark.parametrize("between", ["happiness", "S03/happiness", ""])
def test_mmew_folders_are_found_by_the_clips_name(tmp_path: Path, between: str) -> None:
    write_csv(
        tmp_path / "MMEW_Micro_Exp_v2.csv", [look.MMEW_HEADER, [3, "S03-01-002", 1, 9, 20, "12L", "happiness", ""]]
    )
    touch(tmp_path / "Micro_Expression" / between / "S03-01-002", range(1, 15), "{}.jpg")
    touch(tmp_path / "Macro_Expression" / "S03" / "S03-01-002", range(1, 15), "{}.jpg")
    found = survey("mmew", tmp_path)
    (clip,) = found.clips
    assert (clip.subject, clip.apex, clip.offset, clip.action_units) == ("mmew/S03", 8, 13, ("L12",))
    assert clip.cropped
    assert told(found)["offset frames without a file; the nearest is taken"] == ("mmew/S03/S03-01-002: 14 for 20",)


def test_mmew_without_its_table_takes_the_label_from_the_name(tmp_path: Path) -> None:
    touch(tmp_path / "fear" / "S03-05-001", range(1, 9), "{}.jpg")
    touch(tmp_path / "repression" / "S03-04-001", range(1, 9), "{}.jpg")
    found = survey("mmew", tmp_path)
    assert dict(found.counts) == {"fear": 1, "others": 1}
    assert "no table, labels from folder names" in found.summary


# CAS(ME)²


def test_casme_squared_recordings_serve_where_clips_are_missing(tmp_path: Path) -> None:
    rows = [
        [1, "disgust1_1", 557, 561, 568, "4", "negative", "micro-expression", ""],
        [7, "happy1_1", 10, 0, 20, "10or11", "positive", "micro-expression", ""],
    ]
    write_xlsx(tmp_path / "code_final.xlsx", {"CASFEcode_final": rows})
    touch(tmp_path / "rawpic" / "s15" / "15_0101disgustingteeth", range(1, 1200), "img{:03d}.jpg")
    touch(
        tmp_path / "rawpic" / "s19" / "23_0502funnyerrors", range(1, 100), "img{:03d}.jpg"
    )  # lies with the wrong person
    found = by_id(survey("casme_squared", tmp_path))
    assert files(found["s15/disgust1_1"])[0] == "img557.jpg"
    assert found["s23/happy1_1"].n_frames == 11
    assert found["s23/happy1_1"].apex is None
    assert found["s23/happy1_1"].action_units == ("10?", "11?")


def test_casme_squared_macro_rows_without_an_offset_end_at_the_apex(tmp_path: Path) -> None:
    rows = [[1, "anger1_1", 557, 600, 0, "4", "negative", "macro-expression", ""]]
    write_xlsx(tmp_path / "CAS(ME)^2code_final(Updated).xlsx", {"CASMEcode_final": rows})
    touch(tmp_path / "selectedpic" / "s15" / "anger1_1", range(557, 701))
    found = survey("casme_squared", tmp_path, expression="macro")
    assert found.clips[0].n_frames == 44
    assert told(found)["offsets that are not usable; the clip ends at its apex"]


def test_casme_squared_saved_again_with_a_header(tmp_path: Path) -> None:
    header = ["Subject", "Filename", "Onset", "Apex", "Offset", "AUs", "Emotion", "Type"]
    rows = [header, ["s15", "anger1_1", 557, 560, 570, "NULL", "negative", "micro-expression"]]
    write_xlsx(tmp_path / "CAS(ME)^2.xlsx", {"a": rows})
    touch(tmp_path / "cropped" / "15" / "anger1_1", range(557, 571))
    (clip,) = survey("casme_squared", tmp_path).clips
    assert (clip.subject, clip.cropped, clip.action_units) == ("casme_squared/s15", True, ())


# CAS(ME)³


def test_casme_cubed_videos_hold_several_expressions(tmp_path: Path) -> None:
    rows = [
        ["spNO.14", "J", "355", "360", "370", "T28+14", "I", "Others"],
        ["spNO.14", "j", "455", "460", "470", "B23", "I", "others"],
        ["spNO.216", "d", "3647", "2668", "2694", "4", "I", "sad"],
        ["spNO.216", "e", "0", "0", "25", "4", "I", "happy"],
    ]
    write_xlsx(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [look.CUBED_HEADER, *rows]})
    touch(tmp_path / "part_A" / "data" / "part_A" / "spNo.14" / "j" / "color", range(8, 600), "{}.jpg")
    touch(tmp_path / "part_A" / "data" / "part_A" / "spNo.14" / "j" / "depth", range(8, 600), "{}.png")
    touch(tmp_path / "part_A" / "data" / "part_A" / "spNO.216" / "d" / "color", range(2600, 2700), "{}.jpg")
    touch(tmp_path / "part_A" / "data" / "part_A" / "spNO.216" / "e" / "color", range(1, 40), "{}.jpg")
    found = survey("casme_cubed", tmp_path)
    clips = by_id(found)
    assert list(clips) == ["spNO.14/j_355", "spNO.14/j_455", "spNO.216/d_3647", "spNO.216/e_0"]
    assert clips["spNO.14/j_355"].emotion == "others"
    assert clips["spNO.216/d_3647"].n_frames == 2694 - 2647 + 1
    assert clips["spNO.216/e_0"].n_frames == 25
    assert files(clips["spNO.14/j_455"])[0] == "455.jpg"


def test_casme_cubed_clip_release(tmp_path: Path) -> None:
    rows = [["spNO.10", "a", "116", "120", "130", "4", "I", "disgust"]]
    write_xlsx(tmp_path / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", {"label": [look.CUBED_HEADER, *rows]})
    for kind, suffix in (("frame", "jpg"), ("depth", "png")):
        at = tmp_path / "Part_A_ME_clip" / "Part_A_ME_clip" / kind / "spNo.10_a_116"
        touch(at, range(116, 131), f"{{}}.{suffix}")
    (clip,) = survey("casme_cubed", tmp_path).clips
    assert files(clip)[0] == "116.jpg"


def test_casme_cubed_part_c_counts_images(tmp_path: Path) -> None:
    rows = [[1, 1, 2, 4, "R4，5", "negative"]]
    write_xlsx(tmp_path / "CAS(ME)3_part_C_ME.xlsx", {"a": [look.CUBED_C_HEADER, *rows]})
    touch(tmp_path / "part_C" / "01" / "a" / "color", (7, 9, 20, 31, 32), "{}.jpg")
    (clip,) = survey("casme_cubed", tmp_path, part="c").clips
    assert files(clip) == ["9.jpg", "20.jpg", "31.jpg"]
    assert clip.action_units == ("R4", "5")


# CASME


def test_casme_second_apex_may_be_none(tmp_path: Path) -> None:
    found = survey("casme", look.full_casme(tmp_path, {"tense": 2}))
    assert [clip.apex for clip in found.clips] == [1, 1]


# all of them

WRITERS: dict[str, Callable[[Path], Path]] = {
    "casme2": partial(look.full_casme2, classes={"others": 2}),
    "samm": partial(look.full_samm, classes={"anger": 2}),
    "smic": look.full_smic,
    "mmew": partial(look.full_mmew, classes={"fear": 2}),
    "casme_squared": partial(look.full_squared, micro={"others": 2}, macro={}),
    "casme_cubed": partial(look.full_cubed, classes={"fear": 2}),
    "casme": partial(look.full_casme, classes={"tense": 2}),
    "4dme": partial(look.full_four_dme, classes={"positive": 2}),
    "dfme": partial(look.dfme, parts={"train": ("train.xlsx", "train_data", 2, {"fear": 2})}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_below_the_root(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    survey(name, root)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_of_something_else_is_one_sentence(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "holiday", range(1, 5))
    with pytest.raises(DatasetError) as caught:
        survey(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WRITERS)
def test_subjects_of_two_data_sets_never_collide(tmp_path: Path, name: str) -> None:
    assert all(clip.subject.startswith(f"{name}/") for clip in survey(name, WRITERS[name](tmp_path)).clips)
