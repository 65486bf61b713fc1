"""The whole way as a user goes it: ``mer`` from nothing to a report, again, interrupted, and with a full disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.runs.system_registry import BASELINES
from preprocessing.artefacts.files import is_scratch
from preprocessing.artefacts.locks import LOCK
from preprocessing.artefacts.record import RECORD
from tests.processes import living

SMALL = (
    *("--config", "quick"),
    *("--set", "corpus.width=320", "--set", "corpus.height=240", "--set", "corpus.lead_in=2", "--set", "corpus.tail=2"),
    *("--set", "corpus.subjects=2", "--set", "corpus.clips_per_subject=3", "--set", "faces.size=64"),
    *("--set", "evaluation.input_size=32", "--set", "fit.epochs=2", "--set", "afn.widths=[8]", "--set", "afn.grid=1"),
)
"""Six clips of 240 lines: everything happens, nothing can be learnt."""


def mer(folder: Path, *words: str, code: int = 0) -> str:
    """Run a command in ``folder``, as it would print it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(app, words)
    finally:
        os.chdir(before)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result.output


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file, but those that a killed process had begun to write aside."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not (path.name == LOCK or is_scratch(path.name) or re.fullmatch(r"\..+\.\d+", path.name))
    }


def different(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``mer train synthetic`` was called once, with one process."""
    folder = tmp_path_factory.mktemp("small")
    output = mer(folder, "train", "synthetic", *SMALL, "--jobs", "1")
    assert output.splitlines()[-1] == "runs/synthetic-afn/report.html"
    return folder


class TestTrain:
    def test_every_usable_clip_has_one_prediction(self, small: Path) -> None:
        manifest = pd.read_csv(small / "cache/synthetic/manifest.csv")
        table = pd.read_csv(small / "runs/synthetic-afn/predictions.csv")
        assert len(manifest) == 6
        assert sorted(table["clip_id"]) == sorted(manifest.loc[manifest["status"] == "ok", "clip_id"])
        assert len(table) >= 5, "faces are found at this size"
        labels = table.merge(manifest, on="clip_id", validate="one_to_one")
        assert (labels["y_true"] == labels["emotion"]).all()
        assert (table["fold"] == table["subject"].str.replace("/", "_")).all()
        probabilities = table.filter(regex="^p_").to_numpy()
        assert probabilities.shape[1] == 5
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-6)
        assert np.allclose(table.filter(regex="^gate_").sum(axis=1), 1, atol=1e-6)

    def test_the_floors_the_svm_and_the_oracle_stand_beside_the_network(self, small: Path) -> None:
        metrics = json.loads((small / "runs/synthetic-afn/metrics.json").read_text())
        assert {row["system"] for row in metrics["rows"]} == {"afn", *BASELINES}
        assert len({row["clips"] for row in metrics["rows"]}) == 1

    def test_the_page_needs_nothing_from_elsewhere(self, small: Path) -> None:
        page = (small / "runs/synthetic-afn/report.html").read_text()
        loaded = re.findall(r"""(?:src|href|url|@import)\s*[=(]?\s*["']?([^"')>\s]+)""", page)
        assert loaded, "pictures are inline"
        assert [target[:60] for target in loaded if not target.startswith(("data:", "#"))] == []
        assert "landmark error" in page
        assert str(small) not in page

    def test_the_resolved_settings_are_kept_and_can_be_given_back(self, small: Path) -> None:
        """With them alone everything is there already: no fold is trained again."""
        before = contents(small)
        settings = "runs/synthetic-afn/config.toml"
        output = mer(small, "train", "synthetic", "--config", settings, "--jobs", "1")
        assert "synthetic/s02: reused" in output
        assert different(contents(small), before) == []

    def test_a_second_call_makes_nothing_again(self, small: Path) -> None:
        """Arrays and pictures are not even written; with the caches ignored all of them would be."""
        before = contents(small)
        files = [p for s in ("npy", "png", "jpg", "npz") for p in small.rglob(f"*.{s}")]
        times = {path: path.stat().st_mtime_ns for path in files}
        mer(small, "train", "synthetic", *SMALL, "--jobs", "1")
        assert different(contents(small), before) == []
        assert {path: path.stat().st_mtime_ns for path in files} == times
        assert len(times) > 6 * 8

    def test_a_changed_setting_redoes_what_depends_on_it(self, small: Path) -> None:
        kept = small / "cache/synthetic/clips/s01/c01/flow.npy"
        before = kept.stat().st_mtime_ns
        image = kept.with_name("temporal_ranked.npy").read_bytes()
        changed = ["--set", "images.weights=linear", "--jobs", "1"]
        mer(small, "dataset", "synthetic", *SMALL, *changed)
        assert kept.stat().st_mtime_ns == before
        assert kept.with_name("temporal_ranked.npy").read_bytes() != image
        mer(small, "dataset", "synthetic", *SMALL, "--jobs", "1")
        assert kept.with_name("temporal_ranked.npy").read_bytes() == image


def flip_unnoticed(path: Path) -> None:
    """One bit of a file, as a failing disk changes it: it has its size and looks no newer than its record."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))


def test_verify_says_what_it_mended_and_ends_with_the_same_bytes(small: Path, tmp_path: Path) -> None:
    for name in ("data", "cache"):
        shutil.copytree(small / name, tmp_path / name)
    clips = tmp_path / "cache/synthetic/clips"
    flip_unnoticed(clips / "s01/c01/crops.mkv")
    flip_unnoticed(clips / "s01/c01/motion_intensity.png")
    flip_unnoticed(clips / "s02/c02/flow.npy")
    flip_unnoticed(next((tmp_path / "data/synthetic/frames/s02/c03").glob("*.jpg")))
    (tmp_path / "cache/synthetic/manifest.csv").write_text("clip_id\n")
    lines = mer(tmp_path, "dataset", "synthetic", *SMALL, "--verify", "--jobs", "1").splitlines()
    assert [line for line in lines if line.startswith("mended")] == [
        "mended s02/c03: drawn again",
        "mended synthetic/s01/c01: crops.mkv, motion_intensity.png made again",
        "mended synthetic/s02/c02: flow.npy made again",
    ]
    assert "every file was compared with its record: 3 clips had damaged files" in lines
    for name in ("data", "cache"):
        assert different(contents(tmp_path / name), contents(small / name)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs processes that are let go at once")
@pytest.mark.slow
def test_two_commands_at_once_both_end_well(small: Path, tmp_path: Path) -> None:
    """On a corpus and a cache that are half there, with two processes each."""
    shutil.copytree(small / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/synthetic/frames/s02/c02")
    (tmp_path / "data/synthetic/corpus.json").unlink()
    command = [sys.executable, "-m", "experiments", "dataset", "synthetic", *SMALL, "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300)[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert different(contents(tmp_path / "data"), contents(small / "data")) == []
    made, right = (contents(folder / "cache/synthetic/clips") for folder in (tmp_path, small))  # and what training adds
    arrays = [name for name in made if not name.endswith(RECORD)]
    assert len(arrays) == 6 * 10
    assert [name for name in arrays if made[name] != right[name]] == []


def test_inspect_shows_every_clip(small: Path) -> None:
    output = mer(small, "inspect", "synthetic", *SMALL, "--jobs", "1")
    assert output.splitlines()[-1] == "cache/synthetic/index.html"
    sheets = {path.relative_to(small).as_posix() for path in (small / "cache/synthetic/sheets").rglob("*.png")}
    assert sheets == {f"cache/synthetic/sheets/s0{s}/c0{c}.png" for s in (1, 2) for c in (1, 2, 3)}


def test_explain_adds_to_the_report_and_changes_no_prediction(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(small, folder, ignore=shutil.ignore_patterns("frames", "flow.npy"))
    before = contents(folder / "runs/synthetic-afn")
    assert (
        mer(folder, "explain", "runs/synthetic-afn", "--jobs", "1").splitlines()[-1] == "runs/synthetic-afn/report.html"
    )
    after = contents(folder / "runs/synthetic-afn")
    assert {n for n in different(after, before) if not n.startswith("explanations/")} == {"report.html"}
    page = after["report.html"].decode()
    assert "untrained network" in page and '<h2 id="explanations">' in page
    assert '<h2 id="explanations">' not in before["report.html"].decode()


def test_a_second_model_and_the_comparison_of_both(small: Path) -> None:
    """FDP on the same artefacts, by its own name and with its own section; then both on one page."""
    words = ("train", "synthetic", "--model", "fdp", *SMALL, "--set", "fdp.features=16", "--jobs", "1")
    assert mer(small, *words).splitlines()[-1] == "runs/synthetic-fdp/report.html"
    assert 'id="ranking"' in (small / "runs/synthetic-fdp/report.html").read_text()
    table = pd.read_csv(small / "runs/synthetic-fdp/predictions.csv")
    assert {"score_8", "pooling_8", "psnr_mean"} <= set(table.columns)
    output = mer(small, "compare", "runs/synthetic-afn", "runs/synthetic-fdp")
    assert output.splitlines()[-1] == "runs/compare/synthetic-afn_synthetic-fdp.html"
    assert "| synthetic-fdp minus synthetic-afn |" in output
    assert "named twice" in mer(small, "compare", "runs/synthetic-afn", "runs/synthetic-afn", code=2)


def test_report_writes_the_same_page_again(small: Path) -> None:
    """But for its last line, a key that also covers the clips' records, to which other commands have added since."""
    page = small / "runs/synthetic-afn/report.html"
    before = page.read_bytes()
    page.unlink()
    assert mer(small, "report", "runs/synthetic-afn") == "runs/synthetic-afn/report.html\n"
    last = b"<!-- made from"
    assert page.read_bytes().rpartition(last)[0] == before.rpartition(last)[0] != b""


def test_a_corpus_that_is_given_is_only_read(small: Path, tmp_path: Path) -> None:
    """Also where the settings ask for another corpus: a folder that the user names is never replaced."""
    before = contents(small / "data")
    given = ["train", "synthetic", "--root", str(small / "data/synthetic"), "--set", "corpus.seed=5"]
    mer(tmp_path, *given, *SMALL, "--jobs", "1")
    assert different(contents(small / "data"), before) == []
    assert not (tmp_path / "data").exists()
    again, first = (
        pd.read_csv(folder / "runs/synthetic-afn/predictions.csv", index_col="clip_id") for folder in (tmp_path, small)
    )
    pd.testing.assert_frame_equal(again, first)


@dataclass(frozen=True)
class Moment:
    """When to interrupt: as soon as ``pattern`` names so many files, and ``later`` seconds after that."""

    name: str
    pattern: str
    count: int = 1
    later: float = 0.0


MOMENTS = (
    Moment("while the first clips are drawn", "data/synthetic/frames/*/.partial-*/*5.jpg"),
    Moment("between drawn clips", "data/synthetic/frames/*/c*", 3, 0.15),
    Moment("as the annotation appears", "data/synthetic/annotation.csv"),
    Moment("while the first crops are written", "cache/synthetic/clips/*/*/.partial-*/crops.mkv", 1, 0.1),
    Moment("between clips", "cache/synthetic/clips/*/*/temporal_ranked.npy", 2, 0.05),
    Moment("within the flow of a later clip", "cache/synthetic/clips/*/*/crops.mkv", 4, 0.1),
    Moment("as the manifest appears", "cache/synthetic/manifest.csv"),
    Moment("while still faces are measured", "cache/synthetic-still/clips/*/*/.partial-*"),
    Moment("as training starts", "runs/synthetic-afn/run.json", 1, 0.3),
    Moment("between folds", "runs/synthetic-afn/folds/*/done.json", 1),
    Moment("as the predictions appear", "runs/synthetic-afn/predictions.csv"),
)


def interrupt(folder: Path, moment: Moment, stop: Callable[[int], None]) -> tuple[int | None, str, list[int]]:
    """Start training in ``folder``, stop it at the moment.

    Returns:
        Exit code (None where the moment was never reached, since everything before it was done already), the
        terminal's text, and the processes that are left three seconds later.
    """
    command = [sys.executable, "-m", "experiments", "train", "synthetic", *SMALL, "--jobs", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    already = len(list(folder.glob(moment.pattern)))
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while len(list(folder.glob(moment.pattern))) < max(moment.count, already):
            assert time.monotonic() < deadline, moment.name
            if process.poll() is not None:
                return None, process.communicate()[1], living(process.pid)
            time.sleep(0.01)
        time.sleep(moment.later)
        stop(process.pid)
        code = process.wait(timeout=30)
        deadline = time.monotonic() + 3
        while (left := living(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        for number in left:  # they hold the pipe
            os.kill(number, signal.SIGKILL)
        assert process.stderr is not None
        return code, process.stderr.read(), left


def kill_one(number: int) -> None:
    os.kill(number, signal.SIGKILL)


def ctrl_c(number: int) -> None:
    os.killpg(number, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for left processes in /proc")
@pytest.mark.parametrize("stop", [kill_one, ctrl_c])
def test_interrupted_at_any_moment_it_ends_with_the_same_bytes(
    small: Path, tmp_path: Path, stop: Callable[[int], None]
) -> None:
    """Stopped again and again with two processes, finished with one: every file is as if nothing had happened."""
    codes = []
    for moment in MOMENTS:
        code, said, left = interrupt(tmp_path, moment, stop)
        codes.append(code)
        assert left == [], f"{moment.name}: processes go on"
        assert "Traceback" not in said, f"{moment.name}: {said}"
        if stop is ctrl_c and code is not None:
            assert (code, said.splitlines()[-1][:11]) == (130, "interrupted"), moment.name
    assert sum(code is not None and code != 0 for code in codes) >= len(MOMENTS) - 3, codes
    mer(tmp_path, "train", "synthetic", *SMALL, "--jobs", "1")
    # what other tests of this module have made there
    by_others = re.compile(r"cache/synthetic/(index\.|sheets/|frames/)|runs/(synthetic-fdp|compare)/")
    assert [n for n in different(contents(tmp_path), contents(small)) if not by_others.match(n)] == []
