"""While one process is at work in a run, a model or predictions, no other command changes or half reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from experiments import prediction, workflow
from experiments.cli import app
from experiments.runs import run as run_files
from experiments.runs.folds import evaluate
from experiments.runs.run import Run, read_json
from experiments.runs.systems import Network
from fusion_net import ClipTensors
from preprocessing.artefacts.files import scratch_path
from preprocessing.artefacts.locks import FolderInUseError

HOLD = (
    "import sys; from pathlib import Path; from preprocessing.artefacts.locks import locked\n"
    "with locked(Path(sys.argv[1]), 'mer train'):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.readline()\n"
)
NAME = "demo"


@pytest.fixture
def busy(finished: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Run, int]]:
    """A finished run, ``runs/demo``, in which another process is at work, and that process."""
    monkeypatch.chdir(finished.folder.parent)
    Path("runs").mkdir()
    run = Run(finished.folder.rename(Path("runs") / NAME))
    for module in (run_files, workflow, prediction):
        monkeypatch.setattr(module, "WAIT", 0.1)
    command = [sys.executable, "-c", HOLD, str(run.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield run, process.pid
        finally:
            process.kill()


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--name", NAME),
        ("train", "--name", NAME, "--final"),
        ("ablate", "--name", NAME),
        ("report", f"runs/{NAME}"),
        ("explain", f"runs/{NAME}"),
        ("compare", f"runs/{NAME}", "runs/other"),
    ],
)
def test_the_second_command_says_who_is_at_work(words: tuple[str, ...], busy: tuple[Run, int]) -> None:
    run, process = busy
    Path("runs/other").mkdir()
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file() and path.name != ".lock"}
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    said = " ".join(result.output.split())
    assert f"error: runs/{NAME} is in use by process {process} on " in said and "since " in said
    assert all(path.read_bytes() == data for path, data in before.items())
    assert not Path("cache").exists(), "nothing was begun"


def test_predictions_into_one_folder(busy: tuple[Run, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prediction, "load", lambda _: None)
    monkeypatch.setattr(prediction, "_with_landmarks", lambda checkpoint, _: checkpoint)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(FolderInUseError, match=f"process {busy[1]} on "):
        prediction.predict_videos([tmp_path / "a.mp4"], tmp_path, busy[0].folder, 1, lambda _: pytest.fail("began"))


def test_a_library_call_is_refused_as_well(busy: tuple[Run, int], toy_data: ClipTensors, tiny: Network) -> None:
    with pytest.raises(FolderInUseError, match="mer train"):
        evaluate(toy_data, busy[0], tiny)


def test_scratch_of_a_killed_process_goes_with_the_next_command(finished: Run) -> None:
    def left(folder: Path) -> Path:
        with scratch_path(folder, ".html") as own:
            return own.with_name(own.name.replace(f"-{os.getpid()}-", "-1-"))

    found = [left(folder) for folder in (finished.folder, finished.folder / "baselines")]
    for path in found:
        path.touch()
    with finished.locked("x"):
        assert not any(path.exists() for path in found)


@pytest.mark.parametrize("change", [lambda about: about, lambda about: {**about, "seeds": [0]}])
def test_scores_of_another_run_do_not_outlive_its_start(
    finished: Run, change: Callable[[dict[str, object]], dict[str, object]]
) -> None:
    """Killed halfway, a run with other settings would stand beside the scores of the one before it."""
    about = read_json(finished.about_file)
    finished.begin(change(about), {})
    kept = change(about) == about
    assert finished.metrics_file.exists() == finished.predictions_file.exists() == kept
