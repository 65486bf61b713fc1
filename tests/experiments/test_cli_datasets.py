"""The commands on look-alikes of licensed data sets: `mer check`, the offline chain, a run and its data summary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from experiments.cli import app
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings
from tests.preprocessing import lookalikes as look

SUBJECTS, FRAMES = 3, 6
EMOTIONS = ("happiness", "disgust")


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CASME II with six drawn clips of three people, one row without a folder and one without an apex."""
    root = tmp_path_factory.mktemp("licensed") / "CASME2"
    settings = CorpusSettings(width=240, height=272, noise=0)
    rows = [("26", "EP99_9", 1, 2, 3, "4", "others")]
    for s in range(SUBJECTS):
        for c, emotion in enumerate(EMOTIONS):
            folder = root / "raw" / f"sub{s + 1:02d}" / f"EP0{c}_1"
            folder.mkdir(parents=True)
            _, drawn = draw_clip(settings, subject=s, clip=c, emotion=emotion)
            for number, frame in enumerate(islice(drawn, 0, 6 * FRAMES, 6), start=46):
                cv2.imwrite(str(folder / f"img{number}.jpg"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            apex = "/" if (s, c) == (0, 0) else 48
            rows.append((f"{s + 1:02d}", folder.name, 46, apex, 45 + FRAMES, "4+7", emotion))  # type: ignore[arg-type]
    return look.casme2(root, rows, frames=None)


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output or repr(result.exception)
    assert "Traceback" not in result.output
    return result.output


def test_the_check_has_three_answers(root: Path, tmp_path: Path) -> None:
    assert "7, of which 6 with their frames" in run("check", "casme2", str(root), code=1)
    published = look.full_smic(tmp_path / "smic")
    assert "Fine: this is SMIC (HS) as published." in run("check", "smic", str(published))
    text = run("check", "samm", str(root), code=2)
    assert text.startswith("SAMM cannot be used: ")
    assert max(len(line) for line in text.splitlines() if str(root) not in line) <= 80


def test_the_check_decodes_when_asked(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for path in root.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(root)).write_bytes(path.read_bytes())
    (copy / "raw" / "sub02" / "EP00_1" / "img48.jpg").write_bytes(b"half a file")
    assert "do not decode" not in run("check", "casme2", str(copy), code=1)
    text = run("check", "casme2", str(copy), "--decode", code=1)
    assert "1 × clips with frames that do not decode" in text
    assert "casme2/sub02/EP00_1: img48.jpg" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("synthetic", "."), "there is nothing to check synthetic against"),
        (("casme3", "."), "data set 'casme3' is unknown"),
        (("casme2", ".", "--apex", "guess"), "wanted one of estimate, midpoint, drop"),
        (("mmew", ".", "--variant", "raw"), "variant = 'raw' has no effect on data set mmew"),
    ],
)
def test_what_was_typed_wrong_is_said(words: tuple[str, ...], said: str) -> None:
    assert said in run("check", *words, code=2)


def test_from_a_licensed_copy_to_a_run(root: Path) -> None:
    text = run("dataset", "casme2", "--root", str(root), "--set", "faces.size=64", "--jobs", "1")
    assert "CASME2-coding-20140508.xlsx (no known version; nearest is the 2014 table" in text
    assert "7 clips, 6 usable, 1 rejected" in text
    assert "rejected casme2/sub26/EP99_9: no folder for casme2/sub26/EP99_9" in text
    manifest = read_manifest(Path("cache/casme2")).set_index("clip_id")
    assert manifest.loc["casme2/sub01/EP00_1", "apex_source"] == "estimated"
    assert manifest.loc["casme2/sub02/EP00_1", "apex_source"] == "annotated"
    kept = json.loads(Path("cache/casme2/dataset.json").read_text("utf-8"))
    assert "rows without a folder" in [finding["what"] for finding in kept["findings"]]

    text = run("train", "casme2", "--config", "quick", "--set", "faces.size=64", "--jobs", "1")
    assert "CASME2-coding-20140508.xlsx" in text
    assert "label scheme 5: 6 clips of 3 subjects, happiness 3, disgust 3, repression 0" in text
    assert "1 rejected" in text

    Path("mine.toml").write_text('[casme2.mine]\nhigh = ["happiness"]\nlow = ["disgust", "repression"]\n')
    own = ("--set", "evaluation.schemes=mine.toml", "--set", "evaluation.scheme=mine", "--name", "own")
    text = run("train", "casme2", "--config", "quick", "--set", "faces.size=64", "--jobs", "1", *own)
    assert "label scheme mine: 6 clips of 3 subjects, high 3, low 3; 0 of other classes" in text
    text = run("train", "casme2", "--set", "evaluation.schemes=gone.toml", code=2)
    assert "label schemes gone.toml cannot be read" in text

    text = run("train", "casme2", "--config", "quick", "--apex", "midpoint", code=2)
    assert "was made with apex = None, not 'midpoint': add --root to make it again" in text


def test_the_apex_policy_reaches_the_manifest(root: Path) -> None:
    words = ("dataset", "casme2", "--root", str(root), "--set", "faces.size=64", "--jobs", "1")
    run(*words, "--apex", "midpoint")
    manifest = read_manifest(Path("cache/casme2")).set_index("clip_id")
    assert manifest.loc["casme2/sub01/EP00_1", "apex_source"] == "midpoint"
    text = run(*words, "--apex", "drop")
    assert "'/' is not a frame number" in text
    assert "(no_apex)" in text


@pytest.mark.parametrize("command", ["dataset", "inspect", "train", "ablate", "check"])
def test_every_command_on_a_data_set_takes_the_same_options(command: str) -> None:
    """They were other ones from command to command; a run could not be made from a table that `check` accepts."""
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    names = {name for parameter in parameters for name in parameter.opts}
    assert {"--root", "--cache", "--variant", "--apex", "--option", "-o", "--table", "--corrections"} <= names
    assert {"--config", "--set", "--null", "--landmark-model"} <= names


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("casme_cubed", ".", "-o", "part=x"), "option part = 'x' of data set casme_cubed: wanted a or c"),
        (("casme_cubed", ".", "-o", "prat=c"), "its options are part (a, c)"),
        (("casme2", ".", "--set", "data.options.part=c"), "has no effect on data set casme2: it has no options"),
        (("casme2", ".", "-o", "part"), "wanted NAME=VALUE"),
        (("casme2", ".", "--root", "."), "which folder? Give one"),
        (("casme2",), "which folder? Give one"),
        (("casme2", ".", "--null"), "have no effect on mer check"),
    ],
)
def test_options_that_have_no_effect_are_refused(words: tuple[str, ...], told: str) -> None:
    assert told in run("check", *words, code=2)


def test_an_option_chooses_a_part(tmp_path: Path) -> None:
    root = look.full_cubed_c(tmp_path / "part_c", {"negative": 2})
    assert "CAS(ME)³ part C in" in run("check", "casme_cubed", str(root), "-o", "part=c", code=1)
    assert "CAS(ME)³ part C in" in run(
        "check", "casme_cubed", "--root", str(root), "--set", "data.options.part=c", code=1
    )


def test_corrections_can_be_left_out(tmp_path: Path) -> None:
    """``none`` is a value here: as a missing value it stood for the shipped corrections."""
    row = ["032", "032_3_1", None, 4896, 1930, 4970, 75, "Micro - 1/2", "4", "Anger", 1, None]
    look.write_xlsx(tmp_path / "SAMM_20181215_Micro_FACS_Codes_v2.xlsx", {"a": [look.SAMM_HEADER, row]})
    look.touch(tmp_path / "SAMM" / "032" / "032_3_1", range(4896, 4971), "032_{:05d}.jpg")
    assert "cells put right by corrections/samm.csv" in run("check", "samm", str(tmp_path), code=1)
    assert "cells put right" not in run("check", "samm", str(tmp_path), "--corrections", "none", code=1)


PACKAGE = """
from preprocessing.clips import Clip
from preprocessing.datasets import ClipDataset
from preprocessing.video import image_sequence


def load(root, part):
    return [Clip(f"theirs/s{n}/{part}", f"theirs/s{n}", image_sequence(root / part), emotion="joy") for n in (1, 2)]


SCHEMES = {"1": {"p": ("joy",)}}
DATASET = ClipDataset("theirs", "from a package", load=load, options={"part": ("a", "b")}, schemes=SCHEMES)
"""


def test_a_data_set_of_an_installed_package_has_options_too(
    tmp_path: Path, write_frames: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an installer leaves: a module, and its metadata with the entry point. Black frames are rejected clips."""
    write_frames(tmp_path / "root" / "b", [np.zeros((80, 80, 3), np.uint8)] * 4)
    (tmp_path / "their_package.py").write_text(PACKAGE)
    info = tmp_path / "their_package-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[mer.datasets]\ntheirs = their_package:DATASET\n")
    places = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parents[2])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
    words = [sys.executable, "-m", "experiments", "dataset", "theirs", "--root", "root", "--jobs", "2", "-o"]
    done = subprocess.run([*words, "part=b"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 clips, 0 usable, 2 rejected" in done.stdout
    assert list(read_manifest(Path("cache/theirs-b"))["clip_id"]) == ["theirs/s1/b", "theirs/s2/b"]
    done = subprocess.run([*words, "part=c"], capture_output=True, text=True, check=False)
    assert (done.returncode, "option part = 'c' of data set theirs: wanted a or b" in done.stderr) == (2, True)
