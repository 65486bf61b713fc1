"""The commands on look-alikes of licensed data sets: the doctor, the offline chain, a run that says what it saw."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import cv2
import pytest
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


def test_the_doctor_has_three_answers(root: Path, tmp_path: Path) -> None:
    assert "7, of which 6 with their frames" in run("check", "casme2", str(root), code=1)
    published = look.full_smic(tmp_path / "smic")
    assert "Fine: this is SMIC (HS) as published." in run("check", "smic", str(published))
    text = run("check", "samm", str(root), code=2)
    assert text.startswith("SAMM cannot be used: ")
    assert max(len(line) for line in text.splitlines() if str(root) not in line) <= 80


def test_the_doctor_decodes_when_asked(root: Path, tmp_path: Path) -> None:
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

    text = run("train", "casme2", "--config", "quick", "--apex", "midpoint", code=2)
    assert "was made with apex = None, not 'midpoint': add --root to make it again" in text


def test_the_apex_policy_reaches_the_manifest(root: Path) -> None:
    words = ("dataset", "casme2", "--root", str(root), "--set", "faces.size=64", "--jobs", "1")
    run(*words, "--apex", "midpoint")
    manifest = read_manifest(Path("cache/casme2")).set_index("clip_id")
    assert manifest.loc["casme2/sub01/EP00_1", "apex_source"] == "midpoint"
    text = run(*words, "--apex", "drop")
    assert "'/' is no frame number" in text
    assert "(no_apex)" in text
