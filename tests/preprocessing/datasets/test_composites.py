"""Composite data sets, on look-alike caches with the published counts; no list of the organisers is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest, write_manifest
from preprocessing.artefacts.record import Entry
from preprocessing.datasets import DATASETS, ClipDataset, Composite, find_dataset
from preprocessing.datasets.composite_check import differences
from preprocessing.datasets.composites import MEGC2019, CompositeRule, count, join
from preprocessing.errors import DatasetError, ToolkitError, UsageError

Rows = list[tuple[str, str]]

CASME2 = {"disgust": 63, "repression": 27, "happiness": 32, "surprise": 25, "others": 99, "fear": 2, "sadness": 7}
SAMM = {"anger": 57, "contempt": 12, "disgust": 9, "fear": 8, "sadness": 6, "happiness": 26, "surprise": 15}
SMIC_SUBJECTS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, 15, 18, 19, 20)


def words(counts: dict[str, int]) -> Iterator[str]:
    for word, n in counts.items():
        yield from [word] * n


def casme2(year: int = 2014) -> Rows:
    """255 clips of 26 subjects; 10 and 18 have 'others' only. The clips that the rule names are among them."""
    named = {
        "casme2/sub04/EP12_01f": "disgust",
        "casme2/sub05/EP09_05f": "disgust",
        **dict.fromkeys(
            ("casme2/sub24/EP07_01", "casme2/sub24/EP07_04f", "casme2/sub24/EP10_03"),
            "sadness" if year == 2014 else "surprise",
        ),
    }
    left = dict(CASME2) if year == 2014 else {**CASME2, "surprise": 28, "sadness": 4}
    rows = [*named.items(), *((f"casme2/sub{s:02d}/EP01_0{c}", "others") for s in (10, 18) for c in range(3))]
    for _, word in rows:
        left[word] -= 1
    others = [s for s in range(1, 27) if s not in (10, 18)]
    rows += [(f"casme2/sub{others[i % 24]:02d}/EP20_{i:03d}", word) for i, word in enumerate(words(left))]
    return rows


def samm() -> Rows:
    """159 clips of 29 subjects; 025 has 'other' only."""
    subjects = [s for s in range(6, 38) if s not in (8, 27, 29)]
    rows = [(f"samm/025/025_3_{i}", "other") for i in range(4)]
    rest = [s for s in subjects if s != 25]
    every = [*words(SAMM), *["other"] * 22]
    return rows + [(f"samm/{rest[i % 28]:03d}/{rest[i % 28]:03d}_1_{i}", word) for i, word in enumerate(every)]


def smic() -> Rows:
    counts = {"negative": 70, "positive": 51, "surprise": 43}
    return [
        (f"smic/s{(s := SMIC_SUBJECTS[i % 16]):02d}/s{s}_{word[:2] if word != 'surprise' else 'sur'}_{i:02d}", word)
        for i, word in enumerate(words(counts))
    ]


def write(cache: Path, rows: Rows, rejected: int = 0, **facts: Any) -> None:
    write_manifest(
        cache,
        [
            {
                "clip_id": clip_id,
                "subject": clip_id.rsplit("/", 1)[0],
                "emotion": word,
                "status": "rejected" if i < rejected else "ok",
                "reason": "no face" if i < rejected else "",
                **facts,
            }
            for i, (clip_id, word) in enumerate(rows)
        ],
    )


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """The three members beside each other, with different columns; the composite's folder."""
    write(tmp_path / "casme2", casme2(), onset=1, apex=5)
    write(tmp_path / "samm", samm(), n_frames=9)
    write(tmp_path / "smic", smic())
    return tmp_path / "megc2019"


@pytest.mark.parametrize("year", [2014, 2019])
def test_442_clips_of_68_subjects_from_either_table(built: Path, year: int) -> None:
    write(built.parent / "casme2", casme2(year))
    manifest = join(MEGC2019, built)
    labels = MEGC2019.labels(manifest)
    chosen = manifest.assign(label=labels).dropna(subset="label")
    assert (len(chosen), chosen["subject"].nunique()) == (442, 68)
    assert chosen["label"].value_counts().to_dict() == {"negative": 250, "positive": 109, "surprise": 83}
    by_set = pd.crosstab(chosen["clip_id"].str.split("/").str[0], chosen["label"])
    assert by_set.to_numpy().tolist() == [[88, 32, 25], [92, 26, 15], [70, 51, 43]]
    assert not {"casme2/sub10", "casme2/sub18", "samm/025"} & set(chosen["subject"])
    assert all("as published" in line for line in count(MEGC2019, manifest)[-4:])
    assert count(MEGC2019, manifest)[-1] == "megc2019: 442 clips of 68 subjects, as published"


def test_what_differs_from_the_published_counts_is_said(built: Path) -> None:
    write(built.parent / "smic", smic()[2:], rejected=1)
    lines = count(MEGC2019, join(MEGC2019, built))
    assert "smic: 162 clips of 16 subjects (68 negative, 51 positive, 43 surprise), published are 164 clips of 16" in (
        "\n".join(lines)
    )
    assert lines[-1].endswith("published are 442 clips of 68 subjects; 1 of them were rejected and are not evaluated")
    assert any(line.startswith("left out: casme2/sub04/EP12_01f: its apex") for line in lines)
    assert not any("sub24" in line for line in lines), "they are called sadness in this table"


def test_clips_stay_where_they_are(built: Path) -> None:
    join(MEGC2019, built)
    folder = clip_folder(built, "samm/006/006_1_0").folder
    assert folder.resolve() == (built.parent / "samm" / "clips" / "006" / "006_1_0").resolve()
    assert sorted(path.name for path in built.iterdir()) == ["manifest.csv", "members.json"]
    row = read_manifest(built).set_index("clip_id").loc["casme2/sub04/EP12_01f"]
    assert (row["onset"], row["apex"]) == (1, 5)


class TestMembers:
    def test_that_are_not_built_are_named(self, tmp_path: Path) -> None:
        write(tmp_path / "casme2", casme2())
        with pytest.raises(
            DatasetError, match=r"samm.manifest\.csv does not exist: build `mer dataset samm --root PATH"
        ):
            join(MEGC2019, tmp_path / "megc2019")
        assert not (tmp_path / "megc2019").exists()

    def test_of_another_data_set(self, built: Path) -> None:
        write(built.parent / "smic", samm())
        with pytest.raises(DatasetError, match="smic holds samm/025/025_3_0, which is not a clip of smic"):
            join(MEGC2019, built)

    def test_made_with_other_settings(self, built: Path) -> None:
        """A network could tell the data sets apart by how they were made."""
        for name, (clip_id, _), weights in (("casme2", casme2()[0], "linear"), ("samm", samm()[0], "harmonic")):
            with clip_folder(built.parent / name, clip_id).writing("images", Entry("k", {"weights": weights})):
                pass
        with pytest.raises(ToolkitError, match="samm was built with other settings of images than casme2"):
            join(MEGC2019, built)


def rule_of(name: str, scheme: str | None = None) -> CompositeRule:
    dataset = find_dataset(name)
    assert isinstance(dataset, Composite)
    return dataset.rule(scheme)


class TestNames:
    @pytest.fixture(autouse=True)
    def _schemes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def scheme(*names: str) -> dict[str, tuple[str, ...]]:
            return {name: (name,) for name in names}

        schemes = {
            "one": {"5": scheme("a", "b", "c"), "3": scheme("b", "a"), "x": scheme("a", "b")},
            "two": {"3": {"a": ("joy",), "b": ("b", "fear")}, "5": scheme("a", "b", "d"), "x": scheme("a", "b")},
            "three": {"4": scheme("a", "z")},
        }
        for name, own in schemes.items():
            monkeypatch.setitem(DATASETS, name, ClipDataset(name, "for a test", load=lambda root: [], schemes=own))

    def test_a_list_shares_a_scheme(self) -> None:
        """The first of the first member that all have with the same classes, in the first member's order."""
        rule = rule_of("one+two")
        assert rule.classes == ("b", "a")
        assert [rule.class_of(*row) for row in (("one/s/c", "a"), ("two/s/c", "joy"), ("one/s/c", "joy"))] == [
            "a",
            "a",
            None,
        ]
        assert rule_of("one+two", "x").classes == ("a", "b")
        assert find_dataset("one+two").label_rule("x").name == "x"
        assert find_dataset("one+two").label_rule().name == "of one+two"

    @pytest.mark.parametrize(
        ("name", "scheme", "said"),
        [
            ("one+four", None, "there is no data set 'four' with label schemes; join some of .*one, two, three"),
            ("one+", None, "there is no data set ''"),
            ("one+one", None, "wanted two or more different"),
            ("one+three", None, "no label scheme that all members share: none has the same classes in all: one has 5"),
            ("one+two", "5", "no label scheme '5' that all members share: common ones are 3, x"),
            ("megc2019", "3", "has no effect on megc2019, whose classes are negative, positive, surprise"),
        ],
    )
    def test_lists_that_cannot_be(self, name: str, scheme: str | None, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            find_dataset(name).label_rule(scheme)

    def test_the_data_set_knows_its_members(self) -> None:
        assert find_dataset("one+two").members == ("one", "two")
        assert find_dataset("megc2019").members == ("casme2", "samm", "smic")
        assert find_dataset("one").members == ()

    @pytest.mark.parametrize("name", ["one+two", "megc2019"])
    def test_a_root_is_refused(self, name: str, tmp_path: Path) -> None:
        for refuse in (find_dataset(name).refuse_root, find_dataset(name).clips):
            with pytest.raises(UsageError, match=r"made of the caches of \w+, .* so the folder .* has no effect"):
                refuse(tmp_path)
        find_dataset(name).refuse_root(None)

    def test_schemes_of_a_user_are_shared_as_those_of_the_data_sets(self) -> None:
        mine = {"one": {"mine": {"p": ("a",), "q": ("b",)}}, "two": {"mine": {"q": ("fear",), "p": ("joy",)}}}
        assert find_dataset("one+two").label_rule("mine", mine).classes == ("p", "q")
        with pytest.raises(UsageError, match="no label scheme 'mine' that all members share"):
            find_dataset("one+two").label_rule("mine", {"one": mine["one"]})


class TestAgainstTheOrganisersList:
    @pytest.fixture
    def listed(self, built: Path, tmp_path: Path) -> Callable[..., Path]:
        """A list of the composite in the organisers' own spelling, ``edit``ed line by line."""
        manifest = join(MEGC2019, built)
        lines = []
        for clip_id, label in zip(manifest["clip_id"], MEGC2019.labels(manifest), strict=True):
            dataset, subject, clip = clip_id.split("/")
            if label is None:
                continue
            if dataset == "samm":
                subject = str(int(subject))
            if dataset == "smic":
                number, rest = clip.split("_", 1)
                clip = f"s{int(number[1:]):02d}_{rest}"
            lines.append(f"{dataset},{subject},{clip},{MEGC2019.classes.index(label)}")

        def listed(edit: Callable[[list[str]], list[str]] = list) -> Path:
            path = tmp_path / "combined_3class_gt.csv"
            path.write_text("\r\n".join(edit(lines)) + "\r\n\r\n", encoding="utf-8", newline="")
            return path

        return listed

    def test_other_spellings_are_the_same_clips(self, built: Path, listed: Callable[..., Path]) -> None:
        assert differences(MEGC2019, read_manifest(built), listed()) == []

    def test_each_difference_is_a_line(self, built: Path, listed: Callable[..., Path]) -> None:
        def edit(lines: list[str]) -> list[str]:
            first, label = lines[0].rsplit(",", 1)
            return [f"{first},{(int(label) + 1) % 3}", *lines[2:], "samm,32,032_3_1,1"]

        found = differences(MEGC2019, read_manifest(built), listed(edit))
        assert len(found) == 3
        assert found[0].startswith("label differs: casme2/") and "line 1)" in found[0]
        assert found[1] == "missing here: samm 32 032_3_1 (positive, line 442)"
        assert found[2].startswith("not in the list: casme2/")

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            (["casme2,sub01,EP02_01f,0", "casme2,1,EP02_01f,0"], "line 2: casme2 1 EP02_01f is listed twice"),
            (["casme3,sub01,EP02_01f,0"], "line 1: 'casme3, sub01, EP02_01f, 0', wanted db, subject, clip, label"),
            (["casme2,sub01,EP02_01f,3"], "label 0, 1 or 2"),
            (["casme2,sub01,EP02_01f"], "wanted db, subject, clip, label"),
            (["casme2,sub,EP02_01f,1"], "subject 'sub' has no number"),
            ([], "lists no clips"),
        ],
    )
    def test_a_list_that_is_none(self, built: Path, listed: Callable[..., Path], lines: list[str], said: str) -> None:
        with pytest.raises(DatasetError, match=said):
            differences(MEGC2019, read_manifest(built), listed(lambda _: lines))


def test_the_rule_is_about_words_and_never_about_a_missing_word() -> None:
    manifest = pd.DataFrame({"clip_id": ["casme2/sub01/a", "smic/s01/b"], "emotion": [None, "negative"]})
    assert list(MEGC2019.labels(manifest)) == [None, "negative"]


def test_variants_of_the_members_are_joined_with_each_other(built: Path) -> None:
    for name in ("casme2", "samm", "smic"):
        (built.parent / name).rename(built.parent / f"{name}-cropped")
    manifest = join(MEGC2019, built.with_name("megc2019-cropped"), "-cropped")
    assert MEGC2019.labels(manifest).notna().sum() == 442
    folder = clip_folder(built.with_name("megc2019-cropped"), "samm/006/006_1_0").folder
    assert folder.resolve() == (built.parent / "samm-cropped" / "clips" / "006" / "006_1_0").resolve()
