"""``mer predict`` as a user meets it: real people, phones, broken files, long videos; and what its page shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dynamic_images.pipeline import StageSettings
from dynamic_images.spotting.motion_curve import SpotSettings
from experiments import prediction
from experiments.prediction import predict_videos
from experiments.runs.final import train_final
from experiments.runs.systems import Network
from fusion_net import ClipTensors
from preprocessing.errors import ToolkitError, UsageError
from preprocessing.pipeline import FaceSettings

Write = Callable[..., Path]
FACTS = {"dataset": "synthetic", "scheme": "3", "rejected": 0, "left_out": 0}


@contextmanager
def silent(title: str) -> Iterator[Callable[..., None]]:
    yield lambda done, total, last: None


@pytest.fixture(scope="session")
def model(toy_data: ClipTensors, tiny: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt nothing, for faces of 64 px."""
    out = tmp_path_factory.mktemp("models") / "model"
    return train_final(toy_data, out, tiny, StageSettings(faces=FaceSettings(size=64)), FACTS, None)


@pytest.fixture
def mer_predict(model: Path, tmp_path: Path) -> Callable[..., pd.DataFrame]:
    def run(*videos: Path, **more: Any) -> pd.DataFrame:
        out = tmp_path / "out"
        predict_videos(videos, model, out, 1, silent, **more)
        return pd.read_csv(out / "predictions.csv").set_index("clip_id")

    return run


@pytest.fixture(scope="module")
def acting() -> list[NDArray[np.uint8]]:
    """Twenty frames of a drawn face that smiles strongly and stops, 320 x 240."""
    from preprocessing.synthetic.corpus import draw_clip
    from preprocessing.synthetic.settings import CorpusSettings

    settings = CorpusSettings(width=320, height=240, lead_in=0, tail=0, intensity=3)
    frames = list(draw_clip(settings, subject=1, clip=0, emotion="happiness")[1])
    return [np.ascontiguousarray(frames[i]) for i in np.linspace(0, len(frames) - 1, 20).round().astype(int)]


def check(table: pd.DataFrame, out: Path) -> None:
    """Every row has an answer or a reason, everywhere the same."""
    good = table[table["status"] == "ok"]
    assert np.allclose(good.filter(regex="^p_").sum(axis=1), 1, atol=1e-5)
    assert (good.filter(regex="^p_").idxmax(axis=1) == "p_" + good["y_pred"].astype(str)).all()
    bad = table[table["status"] != "ok"]
    assert bad[["code", "reason"]].notna().all(axis=None) and bad.filter(regex="^p_").isna().all(axis=None)
    content = json.loads((out / "predictions.json").read_text())
    assert [row["clip_id"] for row in content["clips"]] == list(table.index)
    page = (out / "predictions.html").read_text()
    assert all(clip_id in page for clip_id in good.index) and all(str(r)[:40] in page for r in bad["reason"])
    links = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert [link for link in links if not link.startswith("data:") and not (out / unquote(link)).is_file()] == []


class TestClips:
    def test_a_video_and_a_folder_of_frames_are_answered_alike(
        self,
        mer_predict: Callable[..., pd.DataFrame],
        acting: list[NDArray[np.uint8]],
        write_frames: Write,
        write_video: Write,
        tmp_path: Path,
    ) -> None:
        """The video is compressed, so the answers are near, not equal."""
        folder = write_frames(tmp_path / "clips" / "smile", acting)
        video = write_video(tmp_path / "clips" / "smile.avi", acting, fps=100)
        table = mer_predict(folder.parent)
        check(table, tmp_path / "out")
        assert list(table.index) == ["videos/clips/smile.avi", "videos/clips/smile"]
        probabilities = table.filter(regex="^p_").to_numpy(float)
        assert np.allclose(probabilities[0], probabilities[1], atol=0.05)
        assert list(table["n_frames"]) == [20, 20]
        assert table["end_s"].tolist()[0] == pytest.approx(0.19)
        files = sorted((tmp_path / "out").rglob("*.npy"))
        before = [path.stat().st_mtime_ns for path in files]
        one = mer_predict(video)
        assert files and [path.stat().st_mtime_ns for path in files] == before, "nothing is made again"
        pd.testing.assert_frame_equal(
            one, table.loc[["videos/clips/smile.avi"]], check_dtype=False, check_like=True, atol=1e-8
        )

    def test_recordings_of_phones(
        self,
        mer_predict: Callable[..., pd.DataFrame],
        acting: list[NDArray[np.uint8]],
        write_frames: Write,
        ffmpeg: Callable[..., None],
        tmp_path: Path,
    ) -> None:
        """Turned and marked as turned, upright, at a varying rate, cut off, and without pictures, in one go."""
        frames = write_frames(tmp_path / "frames", acting) / "img%d.png"
        lying = write_frames(tmp_path / "lying", [np.rot90(f) for f in acting]) / "img%d.png"
        videos = tmp_path / "phone"
        videos.mkdir()
        encode = ("-c:v", "libx264", "-crf", 15, "-pix_fmt", "yuv420p")
        ffmpeg("-framerate", 50, "-i", frames, *encode, "-g", 4, "-movflags", "+faststart", videos / "portrait.mp4")
        ffmpeg("-framerate", 50, "-i", lying, *encode, tmp_path / "lying.mp4")
        ffmpeg("-display_rotation", 270, "-i", tmp_path / "lying.mp4", "-c", "copy", videos / "rotated.mp4")
        slower = "setpts='if(lt(N,10),N/50,0.2+(N-10)/10)/TB'"
        ffmpeg("-framerate", 50, "-i", frames, "-vf", slower, "-fps_mode", "vfr", *encode, videos / "varying.mp4")
        whole = (videos / "portrait.mp4").read_bytes()
        (videos / "cut_off.mp4").write_bytes(whole[: int(len(whole) * 0.8)])
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", videos / "voice.mp4")
        table = mer_predict(videos).rename(lambda name: name.removeprefix("videos/phone/").removesuffix(".mp4"))
        assert dict(table["status"]) == {
            "cut_off": "ok",
            "portrait": "ok",
            "rotated": "ok",
            "varying": "ok",
            "voice": "rejected",
        }
        assert "holds no pictures" in table.loc["voice", "reason"]
        assert 3 <= table.loc["cut_off", "n_frames"] < 20
        assert re.search(r"only \d+ of 20 announced frames", table.loc["cut_off", "notes"])
        probabilities = table.filter(regex="^p_")
        for name in ("rotated", "varying"):  # the same frames as upright ones
            assert table.loc[name, "n_frames"] == 20
            assert np.allclose(probabilities.loc[name], probabilities.loc["portrait"], atol=0.05), name

    def test_a_long_video_is_no_clip(
        self,
        mer_predict: Callable[..., pd.DataFrame],
        acting: list[NDArray[np.uint8]],
        write_frames: Write,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its crops would fill the disk; it is refused before a frame is decoded."""
        monkeypatch.setattr(prediction, "MOST_FRAMES", 10)
        table = mer_predict(write_frames(tmp_path / "long", acting))
        assert table["code"].tolist() == ["too_long"] and "--spot" in table["reason"].iloc[0]
        assert list((tmp_path / "out").rglob("crops.mkv")) == []


class TestUsage:
    def test_a_video_that_is_not_there(self, mer_predict: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"gone\.mp4 does not exist"):
            mer_predict(tmp_path / "gone.mp4")

    def test_a_given_rate_is_believed_before_that_of_the_file(
        self,
        mer_predict: Callable[..., pd.DataFrame],
        acting: list[NDArray[np.uint8]],
        write_video: Write,
        tmp_path: Path,
    ) -> None:
        """High-speed cameras often write 25 into the file."""
        table = mer_predict(write_video(tmp_path / "a.avi", acting), fps=200)
        assert table["fps"].tolist() == [200]

    def test_what_is_no_video_is_a_row_with_the_reason(
        self,
        mer_predict: Callable[..., pd.DataFrame],
        acting: list[NDArray[np.uint8]],
        write_video: Write,
        tmp_path: Path,
    ) -> None:
        (tmp_path / "notes.txt").write_text("no pictures")
        (tmp_path / "empty").mkdir()
        table = mer_predict(write_video(tmp_path / "a.avi", acting), tmp_path / "notes.txt", tmp_path / "empty")
        check(table, tmp_path / "out")
        assert table["code"].fillna("").tolist() == ["", "no_video", "no_video"]

    def test_a_folder_that_is_no_model(
        self, tmp_path: Path, acting: list[NDArray[np.uint8]], write_video: Write
    ) -> None:
        video = write_video(tmp_path / "a.avi", acting)
        with pytest.raises(ToolkitError, match="holds no readable checkpoint"):
            predict_videos([video], tmp_path, tmp_path / "out", 1, silent)


class TestSpot:
    @pytest.fixture
    def long(self, acting: list[NDArray[np.uint8]], tmp_path: Path, write_frames: Write) -> Path:
        """A face at rest for a second, one quick movement there and back, rest again; frames without a rate."""
        noise = np.random.default_rng(0)
        frames = [*[acting[0]] * 30, *acting, *[acting[0]] * 30]
        noisy = [np.clip(f + noise.normal(0, 1, f.shape), 0, 255).astype(np.uint8) for f in frames]
        return write_frames(tmp_path / "long", noisy)

    def test_candidates_take_the_place_of_the_video(
        self, mer_predict: Callable[..., pd.DataFrame], long: Path, tmp_path: Path
    ) -> None:
        table = mer_predict(long, spot=SpotSettings(), fps=30)
        check(table, tmp_path / "out")
        assert len(table) == 1 and bool(table["spotted"].iloc[0])
        row = table.iloc[0]
        assert abs(row["onset"] + row["offset"] - 2 * 40) <= 8, "around the movement, in frames of the video"
        assert row["onset"] <= row["apex"] <= row["offset"]
        assert row["start_s"] == pytest.approx(row["onset"] / 30, abs=1e-3)
        page = (tmp_path / "out" / "predictions.html").read_text()
        assert "unsolved" in page and "<polyline" in page
        assert "unsolved" in json.loads((tmp_path / "out" / "predictions.json").read_text())["experimental"]
        assert not list((tmp_path / "out" / "clips" / "long").glob("long/crops.mkv")), "no crops of the whole video"
        for settings, rate, code in ((SpotSettings(least=99), 30, "no_candidate"), (SpotSettings(), None, "no_rate")):
            table = mer_predict(long, spot=settings, fps=rate)
            assert table["code"].tolist() == [code], "a video without an answer is a row with a reason"
            check(table, tmp_path / "out")

    def test_a_fault_in_one_video_is_its_row(
        self, mer_predict: Callable[..., pd.DataFrame], long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The search runs in this process, before the table of the others is written."""

        def broken(*_: Any) -> Any:
            raise ZeroDivisionError("no frames")

        monkeypatch.setattr(prediction, "propose", broken)
        table = mer_predict(long, spot=SpotSettings(), fps=30)
        check(table, tmp_path / "out")
        assert table["code"].tolist() == ["unexpected"]
        assert "ZeroDivisionError" in table["reason"].iloc[0]


class TestPage:
    @pytest.fixture(scope="class")
    @classmethod
    def page(
        cls,
        model: Path,
        acting: list[NDArray[np.uint8]],
        write_video: Write,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Path:
        folder = tmp_path_factory.mktemp("page")
        (folder / "in").mkdir()
        write_video(folder / "in" / "a & b.avi", acting)
        (folder / "in" / "broken.mp4").write_bytes(b"nothing")
        predict_videos([folder / "in"], model, folder / "out", 1, silent)
        return folder / "out" / "predictions.html"

    @pytest.mark.parametrize("width", [1280, 400])
    def test_in_a_browser(
        self, page: Path, visit: Callable[..., Any], sideways: Callable[[Any], list[str]], width: int
    ) -> None:
        shown = visit(page, width=width)
        assert sideways(shown) == []
        assert shown.locator("article.answer").count() == 1
        assert "mean nothing" in shown.locator(".warn").first.inner_text()
        sheet = shown.locator(".sheet img")
        sheet.scroll_into_view_if_needed()
        assert sheet.evaluate("async e => { await e.decode(); return e.naturalWidth; }") == 1200
        assert sheet.get_attribute("alt")
        bars = shown.locator(".shares .bar span").evaluate_all("all => all.map(e => e.getBoundingClientRect().width)")
        assert bars[0] == max(bars[:3]) > 0
        assert "cannot be opened" in shown.locator("#rejected ~ .scroll").inner_text()


class TestRealPeople:
    def test_two_clips(self, mer_predict: Callable[..., pd.DataFrame], real_clips: Path, tmp_path: Path) -> None:
        table = mer_predict(real_clips / "pyfeat/single_face.mp4", real_clips / "pyfeat/no_face.mp4")
        check(table, tmp_path / "out")
        assert table["status"].tolist() == ["ok", "rejected"]
        assert table["code"].tolist()[1] == "no_face"
        assert "lasts 2.4 s" in table["notes"].iloc[0]

    @pytest.mark.slow
    def test_every_clip(self, mer_predict: Callable[..., pd.DataFrame], real_clips: Path, tmp_path: Path) -> None:
        table = mer_predict(real_clips)
        check(table, tmp_path / "out")
        assert len(table) == 14
        assert set(table.index[table["status"] == "rejected"]) == {
            "videos/intel/head-pose-face-detection-female.gif",
            "videos/pyfeat/no_face.mp4",
        }

    @pytest.mark.slow
    def test_twenty_minutes(self, model: Path, real_clips: Path, ffmpeg: Callable[..., None], tmp_path: Path) -> None:
        """30,000 frames in one pass: memory stays what a few seconds need, and the disk holds candidates only."""
        peaks = {}
        for name, loops in (("short", 3), ("long", 400)):
            video = tmp_path / f"{name}.mkv"
            ffmpeg("-stream_loop", loops - 1, "-i", real_clips / "grid/brbk7n.mpg", "-an", "-c:v", "copy", video)
            code = (
                "import resource, sys; from experiments.cli import app\n"
                f"sys.argv = ['mer', 'predict', {str(video)!r}, '--spot', '--model', {str(model)!r},"
                f" '--out', {str(tmp_path / ('out_' + name))!r}, '--jobs', '1']\n"
                "try: app()\n"
                "except SystemExit as end: assert not end.code\n"
                "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
            )
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-2000:]
            peaks[name] = int(done.stdout.splitlines()[-1])
        assert "about" in done.stderr and "left" in done.stderr, "an estimate in the log"
        size = sum(path.stat().st_size for path in (tmp_path / "out_long").rglob("*") if path.is_file())
        print(peaks, f"{size / 2**20:.0f} MB")
        assert peaks["long"] < min(1000, peaks["short"] + 250), peaks
        assert size < 500 * 2**20  # crops and flow of every frame would be 4.5 GB at the default size
        assert len(pd.read_csv(tmp_path / "out_long" / "predictions.csv")) == SpotSettings().most
