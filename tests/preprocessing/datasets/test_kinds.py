"""What each kind of data set knows, with options that only one data set has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from preprocessing import open_dataset
from preprocessing.clips import Clip
from preprocessing.datasets import DATASETS, ClipDataset, DataSettings, find_dataset
from preprocessing.errors import UsageError
from preprocessing.video import ImageSequence

OPTIONS = {"part": ("a", "c"), "light": ("day", "night")}


def load(root: Path, part: str, light: str) -> list[Clip]:
    return [Clip(f"mylab/s1/{part}-{light}", "mylab/s1", ImageSequence(()))]


@pytest.fixture
def mylab() -> Iterator[ClipDataset]:
    """A data set as a package would add it."""
    scheme = {"2": {"p": ("joy",), "n": ("fear",)}}
    DATASETS["mylab"] = ClipDataset("mylab", "for a test", load=load, options=OPTIONS, schemes=scheme)
    yield DATASETS["mylab"]  # type: ignore[misc]
    del DATASETS["mylab"]


@pytest.mark.parametrize(
    ("options", "clip", "suffix"),
    [
        ({}, "a-day", ""),
        ({"part": "a"}, "a-day", ""),
        ({"light": "night"}, "a-night", "-night"),
        ({"light": "night", "part": "c"}, "c-night", "-c-night"),
    ],
)
def test_options_reach_the_adapter_and_name_the_cache(
    mylab: ClipDataset, tmp_path: Path, options: dict[str, str], clip: str, suffix: str
) -> None:
    settings = DataSettings(options=options)
    (found,), survey = mylab.clips(tmp_path, settings)
    assert (found.clip_id, survey, mylab.suffix(settings)) == (f"mylab/s1/{clip}", None, suffix)
    assert mylab.suffix(mylab.complete(settings)) == suffix
    assert [one.clip_id for one in open_dataset("mylab", tmp_path, settings)] == [found.clip_id]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (DataSettings(options={"prat": "c"}), "option prat = 'c' has no effect .* its options are part .a, c.; light"),
        (DataSettings(options={"part": "b"}), "option part = 'b' of data set mylab: wanted a or c"),
        (DataSettings(variant="raw"), "variant = 'raw' has no effect on data set mylab: it offers bit_depth"),
    ],
)
def test_what_is_not_declared_is_refused(mylab: ClipDataset, tmp_path: Path, settings: DataSettings, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        mylab.clips(tmp_path, settings)


def test_caches_of_shipped_data_sets_keep_their_names() -> None:
    def suffix(name: str, variant: str | None = None, **options: str) -> str:
        return DATASETS[name].suffix(DataSettings(variant=variant, options=options))  # type: ignore[arg-type]

    assert suffix("casme_cubed", part="c") == "-c"
    assert suffix("casme_squared", expression="macro") == "-macro"
    assert suffix("casme_squared", "cropped", expression="both") == "-cropped-both"
    assert suffix("casme2", "raw") == suffix("casme_cubed", part="a") == ""


def test_each_kind_says_what_it_is() -> None:
    facts = {name: (d.has_frames, d.labelled, d.needs_root, len(d.members)) for name, d in DATASETS.items()}
    assert facts["casme2"] == (True, True, True, 0)
    assert facts["streams"] == (False, True, True, 0)
    assert facts["videos"] == (True, False, True, 0)
    assert facts["synthetic"] == (True, True, False, 0)
    assert facts["megc2019"] == (True, True, False, 3)


def test_a_data_set_has_an_adapter_of_one_form() -> None:
    with pytest.raises(ValueError, match="mylab: wanted either load or layout"):
        ClipDataset("mylab", "for a test")


def test_an_unknown_one_is_refused_with_a_near_one() -> None:
    with pytest.raises(UsageError, match="data set 'casme_cubd' is unknown: did you mean casme_cubed"):
        find_dataset("casme_cubd")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("streams", r"'streams' has no clips with frames: call its method clips\(root\)"),
        ("megc2019", "'megc2019' has no clips with frames: open casme2, samm, smic one by one"),
    ],
)
def test_only_clips_with_frames_are_opened(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=told):
        open_dataset(name, tmp_path)
