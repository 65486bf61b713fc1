"""Real faces with known motion: through files, an encoder and the adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.datasets import synthetic
from preprocessing.errors import DatasetError, EnvironmentProblemError, MissingPathError
from preprocessing.pipeline import FaceSettings
from preprocessing.recordings.encoding import write_video
from preprocessing.synthetic.painted import PaintSettings, is_painted, paint_corpus
from preprocessing.synthetic.sitters import Sitter, rests_below
from preprocessing.synthetic.truth import load_truth
from preprocessing.video import VideoFile

PEOPLE = "person,file,first,last\nann,grid/brbk7n.mpg,64,74\nbob,pyfeat/single_face.mp4,0,0\n"


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(ValueError, match="no effect on pictures"):
        PaintSettings(options={"crf": "23"})
    with pytest.raises(ValueError, match="intensity of painted clips is 99"):
        PaintSettings(intensity=99)


def test_a_lossless_video_holds_the_frames(drawn_rest: Callable[..., Sitter], tmp_path: Path) -> None:
    frames = drawn_rest(4).frames
    write_video(tmp_path / "a.mkv", frames, 100.0)
    read = list(VideoFile(tmp_path / "a.mkv").read())
    assert all((a == b).all() for a, b in zip(read, frames, strict=True))
    assert VideoFile(tmp_path / "a.mkv").fps() == pytest.approx(100, rel=0.01)


def test_an_encoder_that_is_not_there_is_named(drawn_rest: Callable[..., Sitter], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match=r"cannot be encoded by libx999.*name another codec"):
        write_video(tmp_path / "a.mkv", drawn_rest(2).frames, 25.0, "libx999")


def test_rows_of_the_table_are_checked(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match="is not a folder"):
        rests_below(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="holds neither recordings nor photographs"):
        rests_below(tmp_path)
    (tmp_path / "people.csv").write_text("person,file,first,last\nann,a.mp4,,\n")
    with pytest.raises(MissingPathError, match=r"people.csv, line 2: .*a.mp4 does not exist"):
        rests_below(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["png", "libx264"])
def test_real_faces_with_known_motion_are_a_data_set(real_clips: Path, tmp_path: Path, codec: str) -> None:
    table = tmp_path / "people.csv"
    table.write_text(PEOPLE)
    settings = PaintSettings(clips_per_person=2, codec=codec, options={} if codec == "png" else {"crf": "10"})
    root = tmp_path / "painted"
    assert paint_corpus(root, rests_below(real_clips, table), FaceSettings().landmarker(), settings) == {}
    clips = synthetic.load(root)
    assert is_painted(root)
    assert [clip.clip_id for clip in clips] == [f"synthetic/{who}/c0{n}" for who in ("ann", "bob") for n in (1, 2)]
    for clip in clips:
        truth = load_truth(root, clip.clip_id)
        assert (clip.onset, clip.apex, clip.offset) == (truth.onset, truth.apex, truth.offset)
        assert len(list(clip.frames.read())) == truth.n_frames
    with pytest.raises(DatasetError, match="holds no painted clips"):
        paint_corpus(tmp_path, rests_below(real_clips, table), FaceSettings().landmarker(), settings)
