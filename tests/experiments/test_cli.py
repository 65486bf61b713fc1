"""The command line as a user meets it when something is wrong: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from experiments import options, preparation
from experiments.cli import app
from experiments.runs.run import write_json
from experiments.signals import WORDS
from preprocessing.artefacts.frame_stack import FrameWriter
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.artefacts.picture_stack import PictureWriter
from preprocessing.artefacts.stacks import CROPS
from preprocessing.datasets import OWN
from preprocessing.errors import EnvironmentProblemError
from preprocessing.synthetic.corpus import draw_clip
from preprocessing.synthetic.settings import CorpusSettings

COMMANDS = (
    *("synth", "synth-streams", "check", "dataset", "inspect", "train", "report", "explain", "compare", "score"),
    *("predict", "export", "ablate", "bench"),
)
TINY = ("--set", "faces.size=64", "--jobs", "1")
FRAMES = 12


@pytest.fixture(autouse=True)
def _somewhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data/, cache/ and runs/ go to where the command was called."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def fails(*words: str, code: int = 1) -> str:
    """The one sentence that a command ends with."""
    result = CliRunner().invoke(app, words)
    said = result.output.strip().splitlines()
    assert result.exit_code == code, said or repr(result.exception)
    assert "Traceback" not in result.output
    assert said[-1].startswith("error: "), said
    return said[-1].removeprefix("error: ")


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class TestHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_says_what_it_does_and_what_each_option_is(self, command: str) -> None:
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0
        described = [line for line in result.output.splitlines() if "--" in line and "│" in line]
        assert described
        bare = [line for line in described if not line.strip("│ ").split("  ")[-1].strip().endswith((".", "]"))]
        assert bare == [], "an option without a word of help"

    def test_the_list_of_commands_is_complete(self) -> None:
        result = CliRunner().invoke(app, ["--help"])
        assert result.exit_code == 0
        assert all(f"│ {command} " in result.output for command in COMMANDS)

    def test_the_data_sets_are_those_that_come_with_the_toolkit(self) -> None:
        """They are written down a second time, since loading them takes longer than anything else that help needs."""
        own = {one.name: {name: "|".join(values) for name, values in one.options.items()} for one in OWN}
        assert list(options.OFFERED.items()) == list(own.items())


class TestBadUsage:
    """Exit code 2: what was typed is to be changed."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("dataset", "vidoes"), "data set 'vidoes' is unknown: did you mean videos? "),
            (
                ("train", "synthetic", "--model", "anf"),
                "model 'anf' is unknown: did you mean afn?",
            ),
            (("dataset", "--set", "flow.metod=dis"), "settings: flow has no 'metod'; did you mean method?"),
            (("train", "--set", "fit.epochs=many"), "settings: fit.epochs = 'many', wanted a whole number"),
            (("synth", "--set", "corpus.width=33"), "width of the synthetic corpus is 33, wanted 160 to 4096"),
            (("dataset", "--config", "qick"), "settings file 'qick' cannot be read (No such file or directory)"),
            (("dataset", "videos"), "the folder of videos is not given: add --root"),
            (("inspect", "videos", "--cache", "elsewhere"), "the folder of videos is not given: add --root"),
            (
                ("dataset", "streams", "--check-csv", "x"),
                "--check-csv has no effect on streams, which is not",
            ),
            (("train", "--set", "evaluation.protocol=lopo"), "wanted one of loso, k_fold, leave_one_dataset_out"),
            (("train", "--set", "evaluation.k=5"), "evaluation: k is 5 with protocol loso, wanted 2 or more, for k_fo"),
            (("train", "streams", "--set", "evaluation.scheme=3"), "has no effect on streams: the column label is th"),
            (("train", "megc2019", "--set", "evaluation.scheme=3"), "has no effect on megc2019, whose classes are"),
            (("train", "megc2019", "--root", "x"), "megc2019 is made of the caches of casme2, samm, smic, so"),
            (("train", "casme9+synthetic"), "there is no data set 'casme9' with label schemes"),
            (("score", "x", "--classes", "a"), "--classes 'a': wanted two or more different names"),
            (("train", "--out", "model"), "--out and --no-judge are about the model that --final trains"),
            (("train", "--no-judge"), "add --final"),
            (("predict", "gone.mp4", "--model", "."), "gone.mp4 does not exist: give video files"),
            (("export", "model"), "which format? Add --onnx"),
            (("train", "--name", "../up"), "--name '../up': wanted the name of one folder below runs/"),
        ],
    )
    def test_names_and_values(self, words: tuple[str, ...], said: str) -> None:
        assert said in fails(*words, code=2)
        assert list(Path().iterdir()) == [], "nothing was begun"

    @pytest.mark.parametrize(
        "words",
        [
            *(f"{command} casme2 --root gone" for command in ("dataset", "inspect", "train", "ablate")),
            *(f"dataset {name} --root gone" for name in ("streams", "videos", "synthetic")),
            "dataset casme2 --root here --table gone.xlsx",
            "dataset casme2 --root here --corrections gone.csv",
            "dataset synthetic --landmark-model gone.dat",
            "dataset megc2019 --check-csv gone.csv",
            "train synthetic --set evaluation.schemes=gone.toml",
            *(
                f"{command} --config gone.toml"
                for command in ("synth", "dataset", "inspect", "train", "ablate", "bench")
            ),
            *(f"{command} gone" for command in ("report", "explain", "compare here", "score", "export --onnx")),
            "report here --cache gone",
            "explain here --cache gone",
            "predict gone.mp4 --model here",
            "predict here --model gone",
            "predict here --model here --landmark-model gone.dat",
        ],
    )
    def test_a_path_that_is_not_there(self, words: str) -> None:
        Path("here").mkdir()
        said = fails(*words.split(), code=2)
        assert "gone" in said and (
            "does not exist: " in said or "cannot be read (No such file" in said or "mer synth gone" in said
        )
        assert [path.name for path in Path().iterdir()] == ["here"], "nothing was begun"

    @pytest.mark.parametrize("words", ["report file", "explain file", "compare file file2", "export file --onnx"])
    def test_a_file_where_a_folder_is_wanted(self, words: str) -> None:
        Path("file").touch()
        assert "file is no folder: give " in fails(*words.split(), code=2)

    @pytest.mark.parametrize("words", [("dataset", "--sett", "a.b=1"), ("nonsense",), ("dataset", "--jobs", "two")])
    def test_options(self, words: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert "Usage: " in result.output


class TestRoots:
    @pytest.mark.parametrize("name", ["videos", "synthetic"])
    def test_missing_empty_or_a_file(self, name: str) -> None:
        Path("empty").mkdir()
        Path("file").write_text("a")
        roots = ("nowhere", "empty", "file")
        said = {root: fails("dataset", name, "--root", root, code=1 + (root == "nowhere")) for root in roots}
        assert all(root in text for root, text in said.items()), said
        assert sorted(path.name for path in Path().rglob("*")) == ["empty", "file"], "nothing was drawn or written"

    def test_the_synthetic_corpus_says_how_to_make_it(self) -> None:
        assert "`mer synth mine`" in fails("dataset", "synthetic", "--root", "mine", code=2)

    def test_a_folder_of_something_else_is_never_drawn_over(self) -> None:
        Path("mine").mkdir()
        Path("mine/holiday.jpg").write_text("dear")
        assert "holds no synthetic corpus" in fails("synth", "mine")
        assert files(Path("mine")) == {"holiday.jpg": b"dear"}


@pytest.fixture(scope="module")
def people() -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Frames (H, W, 3) of two drawn people."""
    settings = CorpusSettings(width=320, height=240, lead_in=0, tail=0)
    clips = (draw_clip(settings, subject, 0, emotion)[1] for subject, emotion in ((1, "happiness"), (2, "surprise")))
    first, second = ([frame for frame, _ in zip(clip, range(FRAMES), strict=False)] for clip in clips)
    return first, second


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory, people: Any, write_frames: Any, write_video: Any) -> Path:
    """Clips that are good, and one for everything that can be wrong with a clip."""
    root = tmp_path_factory.mktemp("footage")
    face, other = people
    half = FRAMES // 2
    wall = np.tile(np.linspace(90, 150, face[0].shape[1]).astype(np.uint8)[:, None], (face[0].shape[0], 1, 3))
    sequences = {
        "good": face,
        "broken_image": face,
        "two_frames": face[:2],
        "no_face": [wall] * FRAMES,
        "leaves": face[:half] + [wall] * half,
        "size_change": face[:half] + [np.ascontiguousarray(frame[:200, :300]) for frame in face[half:]],
        "second_smaller": [beside(a, b, 0.6) for a, b in zip(face, other, strict=True)],
        "second_bigger": [beside(a, b, 1.5) for a, b in zip(face, other, strict=True)],
    }
    for name, frames in sequences.items():
        write_frames(root / name, frames)
    whole = (root / "broken_image" / "img7.png").read_bytes()
    (root / "broken_image" / "img7.png").write_bytes(whole[:200])
    (root / "text.mp4").write_text("this is no video\n")
    (root / "empty.avi").write_bytes(b"")
    write_video(root / "whole.avi", face)
    write_video(root / "cut.mp4", face, fourcc="mp4v")
    (root / "cut.mp4").write_bytes((root / "cut.mp4").read_bytes()[:3000])
    (root / "cut.avi").write_bytes((root / "whole.avi").read_bytes()[: (root / "whole.avi").stat().st_size // 2])
    return root


def beside(left: NDArray[np.uint8], right: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """Two pictures side by side, the right one scaled."""
    scaled = cv2.resize(right, None, fx=scale, fy=scale)
    height = max(left.shape[0], scaled.shape[0])
    padded = [np.pad(p, ((0, height - len(p)), (0, 0), (0, 0)), constant_values=110) for p in (left, scaled)]
    return np.asarray(np.hstack(padded), np.uint8)


class TestClipsThatCannotBeUsed:
    @pytest.fixture(scope="class")
    @staticmethod
    def output(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
        cache = tmp_path_factory.mktemp("cache") / "videos"
        before = files(footage)
        for path in footage.rglob("*"):  # where the user is not root this alone is a test
            path.chmod(0o555 if path.is_dir() else 0o444)
        result = CliRunner().invoke(app, ["dataset", "videos", "--root", str(footage), "--cache", str(cache), *TINY])
        assert result.exit_code == 0, result.output
        assert files(footage) == before, "inputs are only read"
        return result.output, cache

    def test_each_is_a_row_with_its_reason_and_the_others_go_on(self, output: tuple[str, Path]) -> None:
        table = read_manifest(output[1])
        codes = {clip_id.rsplit("/", 1)[1]: code for clip_id, code in zip(table["clip_id"], table["code"], strict=True)}
        assert {name: code for name, code in codes.items() if code == code} == {
            "broken_image": "broken_frame",
            "two_frames": "too_short",
            "no_face": "no_face",
            "leaves": "shot_cut",
            "size_change": "size_change",
            "text.mp4": "broken_video",
            "empty.avi": "broken_video",
            "cut.mp4": "broken_video",
        }
        assert (table["status"] == "ok").sum() == 5
        assert (table["status"] == "rejected").sum() == table["reason"].notna().sum() == 8

    def test_the_user_is_told_each_reason(self, output: tuple[str, Path]) -> None:
        lines = output[0].splitlines()
        assert "13 clips, 5 usable, 8 rejected" in lines
        assert sum(line.startswith("rejected videos/") for line in lines) == 8
        assert any("img7.png cannot be decoded as an image (broken_frame)" in line for line in lines)
        assert any("img7.png is 300x200, the frames before it 320x240 (size_change)" in line for line in lines)
        assert lines[-1] == str(output[1] / "manifest.csv")

    def test_of_two_faces_the_bigger_one_is_taken_throughout(self, output: tuple[str, Path]) -> None:
        """The left face is 75 px from eye to eye; the right one is scaled by 0.6 and by 1.5."""
        table = read_manifest(output[1]).assign(name=lambda t: t["clip_id"].str.split("/").str[-1]).set_index("name")
        assert list(table.loc[["second_smaller", "second_bigger"], "faces_seen"]) == [2, 2]
        alone, smaller, bigger = (
            float(table.loc[name, "eye_distance"]) for name in ("good", "second_smaller", "second_bigger")
        )
        assert smaller == pytest.approx(alone, rel=0.03)
        assert bigger > 1.25 * alone

    def test_a_video_that_breaks_off_is_what_decodes_of_it(self, output: tuple[str, Path]) -> None:
        table = read_manifest(output[1]).set_index("clip_id")
        cut = table[table.index.str.endswith("/cut.avi")].iloc[0]
        assert 3 <= cut["n_frames"] < FRAMES
        assert cut["n_declared"] == FRAMES

    def test_nothing_of_a_rejected_clip_looks_like_a_result(self, output: tuple[str, Path]) -> None:
        table = read_manifest(output[1])
        for clip_id in table.loc[table["status"] == "rejected", "clip_id"]:
            left = {path.name for path in (output[1] / "clips" / clip_id.split("/", 1)[1]).glob("*")}
            assert left <= {"record.json"}


class TestTheMachine:
    def test_a_landmark_model_that_is_not_there(self, footage: Path) -> None:
        words = ("dataset", "videos", "--root", str(footage), "--landmark-model", "no.dat", *TINY)
        assert "no.dat does not exist: give a dlib 68-point predictor" in fails(*words, code=2)

    def test_no_landmark_model_installed(self, footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "face_recognition_models" else find(name)
        )
        said = fails("dataset", "videos", "--root", str(footage), *TINY)
        assert "pip install face_recognition_models, or name a file with --landmark-model PATH" in said

    def test_an_opencv_without_its_contrib_modules(self, footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(cv2, "optflow")
        assert "pip install opencv-contrib-python-headless" in fails("dataset", "videos", "--root", str(footage), *TINY)

    @pytest.mark.parametrize("cache", ["file", "file/deeper"])
    def test_an_output_folder_that_cannot_be(self, footage: Path, cache: str) -> None:
        Path("file").write_text("a")
        words = ("dataset", "videos", "--root", str(footage), "--cache", cache, *TINY)
        said = fails(*words, code=2 if cache == "file" else 1)
        assert "Not a directory: file" in said or "file is a file: give a folder" in said
        assert Path("file").read_text() == "a"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_an_output_folder_that_is_read_only(self, footage: Path) -> None:
        Path("closed").mkdir(mode=0o555)
        assert "Permission denied" in fails(
            "dataset", "videos", "--root", str(footage), "--cache", "closed/cache", *TINY
        )

    @pytest.mark.parametrize(
        ("name", "error", "said"),
        [
            (CROPS, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
            ("flow.npy", OSError("49152 requested and 0 written"), "is the disk full?"),
        ],
    )
    def test_a_full_disk(
        self, people: Any, write_frames: Any, monkeypatch: pytest.MonkeyPatch, name: str, error: OSError, said: str
    ) -> None:
        """Nothing half-written counts as done: the later call ends as one that was never disturbed."""
        write_frames(Path("in/a"), people[0][:6])
        write_frames(Path("in/b"), people[0][3:9])
        words = ["dataset", "videos", "--root", "in", *TINY]
        assert CliRunner().invoke(app, [*words, "--cache", "whole/videos"]).exit_code == 0
        writer_of = PictureWriter if name == CROPS else FrameWriter
        append: Any = writer_of.append

        def full(writer: Any, frame: NDArray[Any]) -> None:
            if "/b/" in writer._file.name and writer._file.name.endswith(name) and writer.count == 3:
                raise error
            append(writer, frame)

        with monkeypatch.context() as patch:
            patch.setattr(writer_of, "append", full)
            assert said in fails(*words, "--cache", "disturbed/videos")
        assert not Path("disturbed/videos/manifest.csv").exists()
        half = Path("disturbed/videos/clips/in/b/record.json")
        assert {"crops.mkv": "faces", "flow.npy": "flow"}[name] not in (
            json.loads(half.read_text())["stages"] if half.exists() else {}
        )
        assert CliRunner().invoke(app, [*words, "--cache", "disturbed/videos"]).exit_code == 0
        assert files(Path("disturbed")) == files(Path("whole"))


class TestTraining:
    def test_a_data_set_without_labels_is_refused_before_any_work(self, footage: Path) -> None:
        said = fails("train", "videos", "--root", str(footage), *TINY)
        assert said == "data set 'videos' has no labels, so there is nothing to train on"
        assert list(Path().iterdir()) == []

    def test_an_unknown_label_scheme_too(self) -> None:
        assert "choose one of 5, 3" in fails("train", "--set", "evaluation.scheme=7")
        assert list(Path().iterdir()) == []

    def test_a_report_of_no_run(self) -> None:
        Path("file").write_text("a")
        Path("runs/none").mkdir(parents=True)
        assert "has `mer train` finished for this run?" in fails("report", "runs/none")
        assert "file is no folder: give the folder of a run" in fails("report", "file", code=2)

    def test_a_run_that_does_not_say_where_its_clips_are(self) -> None:
        Path("run").mkdir()
        write_json(Path("run/run.json"), {})
        assert "name their folder with --cache" in fails("report", "run", code=2)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (KeyboardInterrupt(), 130, "interrupted: what is finished is kept, the same command goes on from there"),
            (OSError(errno.EROFS, "Read-only file system", "out/a"), 1, "error: Read-only file system: out/a."),
            (MemoryError("14 GiB"), 1, "error: memory ran out (14 GiB): try again with fewer --jobs"),
            (ValueError("seeds are [], wanted at least one"), 1, "error: seeds are [], wanted at least one"),
        ],
    )
    def test_what_stops_a_command(
        self, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
    ) -> None:
        def stop(*_: Any) -> None:
            raise error

        monkeypatch.setattr(preparation, "make_corpus", stop)
        result = CliRunner().invoke(app, ["synth"])
        assert (result.exit_code, result.output.splitlines()[-1][: len(said)]) == (code, said)

    def test_an_interrupt_that_a_library_hid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One in C that is loading makes an ImportError of Ctrl-C; the machine is not to blame for it."""

        def load(*_: Any) -> None:
            try:
                raise ImportError("initialization failed") from KeyboardInterrupt()
            except ImportError as error:
                raise EnvironmentProblemError("dlib is not installed") from error

        monkeypatch.setattr(preparation, "make_corpus", load)
        result = CliRunner().invoke(app, ["synth"])
        assert (result.exit_code, result.output.strip()) == (130, WORDS[signal.SIGINT])

    def test_a_mistake_of_ours_is_no_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Else it could not be found: it keeps its traceback."""

        def broken(*_: Any) -> None:
            raise KeyError("cache")

        monkeypatch.setattr(preparation, "make_corpus", broken)
        assert isinstance(CliRunner().invoke(app, ["synth"]).exception, KeyError)

    def test_words_in_brackets_are_shown_as_they_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        def refuse() -> None:
            raise ValueError("clip [/red] of [bold]a[/bold]")

        with pytest.raises(BaseException, match="1"):
            options.guarded_command(refuse)()
        assert capsys.readouterr().err == "error: clip [/red] of [bold]a[/bold]\n"


@pytest.mark.slow
def test_the_console_script_passes_exit_codes_on_and_keeps_decoders_quiet(footage: Path) -> None:
    """A real process: FFmpeg and OpenCV write about broken files on their own, past Python."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "experiments", *words], capture_output=True, text=True, timeout=120, check=False
        )

    assert run("dataset", "nothing").returncode == 2
    assert run("report", "nothing").returncode == 1
    made = run("dataset", "videos", "--root", str(footage), *TINY[:2], "--jobs", "2")
    assert made.returncode == 0
    assert [line for line in made.stderr.splitlines() if not line.startswith("faces, flow, dynamic images: ")] == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a disk of one megabyte")
def test_a_disk_that_is_really_full(footage: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    words = ("dataset", "videos", "--root", str(footage), "--cache", "disk/videos", *TINY)
    try:
        said = fails(*words)
        assert "No space left on device" in said or "is the disk full?" in said
        assert not (disk / "videos/manifest.csv").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert CliRunner().invoke(app, words).exit_code == 0
        assert CliRunner().invoke(app, [*words[:-5], "whole/videos", *TINY]).exit_code == 0
        assert files(disk / "videos") == files(Path("whole/videos"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_every_progress_goes_to_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that ``mer dataset | tail`` reads results only."""
    seen: list[Callable[..., Any]] = []

    def make(at: Any, config: Any, jobs: int, progress: Callable[..., Any]) -> Path:
        seen.append(progress)
        with progress("drawing clips") as step:
            step(1, 1, "")
        return Path("data/synthetic")

    monkeypatch.setattr(preparation, "make_corpus", make)
    result = CliRunner().invoke(app, ["synth"])
    assert (result.stdout, result.stderr) == ("data/synthetic\n", "drawing clips: 1/1 (0 s)\n")
