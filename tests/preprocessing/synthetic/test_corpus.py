"""The corpus on disk: the same bytes however it is made, read back by its adapter, nuisances that do what they say."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from preprocessing.datasets import synthetic
from preprocessing.errors import ClipRejectedError, DatasetError, EnvironmentProblemError
from preprocessing.synthetic import corpus
from preprocessing.synthetic.action_units import EMOTIONS
from preprocessing.synthetic.corpus import draw_clip, generate
from preprocessing.synthetic.settings import CorpusSettings
from preprocessing.synthetic.truth import Truth, load_truth

TINY = CorpusSettings(subjects=2, clips_per_subject=2, fps=100, width=160, height=120, lead_in=2, tail=2)
STILL = dataclasses.replace(TINY, drift=0, rotation=0, blink=0, flicker=0, noise=0, intensity=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("corpus") / "tiny", TINY)


def digests(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def clip_of(settings: CorpusSettings) -> tuple[Truth, NDArray[np.uint8]]:
    truth, frames = draw_clip(settings, 0, 0, "happiness")
    return truth, np.array(list(frames))


def test_layout(made: Path) -> None:
    truth = load_truth(made, "synthetic/s01/c02")
    files = sorted((made / "frames/s01/c02").iterdir(), key=lambda path: int(path.stem[3:]))
    assert len(files) == truth.n_frames
    assert int(files[0].stem[3:]) > 0
    assert cv2.imread(str(files[0])).shape == (120, 160, 3)
    assert {path.name for path in made.iterdir()} == {"frames", "truth", "drawn", "annotation.csv", "corpus.json"}


def test_adapter_reads_it_back(made: Path) -> None:
    clips = synthetic.load(made)
    table = pd.read_csv(made / "annotation.csv")
    assert [clip.clip_id for clip in clips] == [f"synthetic/s0{s}/c0{c}" for s in (1, 2) for c in (1, 2)]
    for clip, emotion in zip(clips, table.emotion, strict=True):
        truth = load_truth(made, clip.clip_id)
        assert (clip.onset, clip.apex, clip.offset) == (truth.onset, truth.apex, truth.offset)
        assert clip.frames.declared() == truth.n_frames
        assert clip.emotion == emotion
        assert clip.emotion in EMOTIONS
        assert clip.subject == clip.clip_id.rsplit("/", 1)[0]
        assert clip.fps == 100
        assert {unit.strip("LR") for unit in clip.action_units} == {code[:-1] for code in truth.action_units}


def test_frames_are_in_time_order(made: Path) -> None:
    """Sorted as text, img10 would come before img9."""
    for clip in synthetic.load(made):
        numbers = [int(path.stem[3:]) for path in clip.frames.paths]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_second_call_touches_nothing(made: Path) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in made.rglob("*")}

    before = times()
    generate(made, TINY, on_clip=lambda done, of: pytest.fail("a clip was made again"))
    assert times() == before


def test_two_jobs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    assert digests(generate(tmp_path, TINY, jobs=2)) == digests(made)


def test_interrupted_run_goes_on_to_the_same_bytes(made: Path, tmp_path: Path) -> None:
    def interrupt(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, TINY, on_clip=interrupt)
    with pytest.raises(DatasetError, match="make or finish"):
        synthetic.load(tmp_path)
    # a clip that was being written, and one whose frames never appeared
    left_over = tmp_path / "frames/s02/.partial-1-aaaaaaaaaaaaaa"
    left_over.mkdir(parents=True)
    (left_over / "img3.jpg").write_bytes(b"half")
    shutil.rmtree(tmp_path / "frames/s01/c01")
    left: list[int] = []
    generate(tmp_path, TINY, on_clip=lambda done, of: left.append(done))
    assert left == [2, 3, 4]
    assert digests(tmp_path) == digests(made)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["frames/s02/c01/img*.jpg", "truth/s02/c01.npz", "drawn/s02/c01.json"])
def test_a_damaged_clip_is_drawn_again_and_no_other(
    made: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    root, _ = copy_of(made, tmp_path)
    damage(sorted(root.glob(name))[3 if "*" in name else 0])
    drawn: list[int] = []
    mended: list[str] = []
    generate(root, TINY, on_clip=lambda done, of: drawn.append(done), on_mended=mended.append)
    assert drawn == [4]
    assert mended in (["s02/c01"], [])  # a record that does not parse is not known to have been one
    assert digests(root) == digests(made)


@pytest.mark.parametrize("damage", [Path.unlink, cut, flip])
@pytest.mark.parametrize("name", ["annotation.csv", "corpus.json"])
def test_a_damaged_table_or_record_is_written_again_without_drawing(
    made: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    root, _ = copy_of(made, tmp_path)
    damage(root / name)
    generate(root, TINY, on_clip=lambda done, of: pytest.fail("a clip was made again"))
    assert digests(root) == digests(made)


def test_a_frame_that_does_not_belong_is_noticed(made: Path, tmp_path: Path) -> None:
    root, _ = copy_of(made, tmp_path)
    frames = root / "frames/s01/c01"
    shutil.copy(next(frames.iterdir()), frames / "img999.jpg")
    assert digests(generate(root, TINY)) == digests(made)


def test_bits_that_changed_by_themselves_are_found_when_all_are_compared(made: Path, tmp_path: Path) -> None:
    """A failing disk changes no times."""
    root, _ = copy_of(made, tmp_path)
    path = next((root / "frames/s01/c01").iterdir())
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
    generate(root, TINY)
    assert digests(root) != digests(made)
    generate(root, TINY, verify=True)
    assert digests(root) == digests(made)


def test_two_processes_that_draw_at_once_end_with_the_same_bytes(made: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from preprocessing.synthetic.corpus import generate;"
        f"from preprocessing.synthetic.settings import CorpusSettings; generate(Path(sys.argv[1]), {TINY!r})"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "both")]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert digests(tmp_path / "both") == digests(made)


def test_a_corpus_of_somebody_is_only_read_and_a_missing_frame_rejects_its_clip(made: Path, tmp_path: Path) -> None:
    """With the frame left out the motion would be that of another clip, one frame shorter."""
    for where in ("middle", "end"):
        root, _ = copy_of(made, tmp_path / where)
        frames = sorted((root / "frames/s01/c02").iterdir(), key=lambda path: int(path.stem[3:]))
        gone = frames[5] if where == "middle" else frames[-1]
        gone.unlink()
        before = digests(root)
        clips = {clip.clip_id: clip for clip in synthetic.load(root)}
        with pytest.raises(ClipRejectedError, match=f"{gone.stem[3:]} .*missing") as caught:
            clips["synthetic/s01/c02"].frames.digest()
        assert caught.value.code == "missing_frames"
        assert clips["synthetic/s01/c01"].frames.digest()
        assert digests(root) == before


def test_other_settings_replace_the_corpus(made: Path, tmp_path: Path) -> None:
    few = dataclasses.replace(TINY, subjects=1, clips_per_subject=1)
    generate(tmp_path, few)
    assert digests(generate(tmp_path, TINY)) == digests(made)


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="is not empty and holds no synthetic corpus"):
        generate(tmp_path, TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DatasetError, match="is a file"):
        generate(tmp_path / "thesis.txt", TINY)


def test_unwritable_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblemError, match="cannot be written"):
        generate(tmp_path / "file" / "corpus", TINY)


def test_null_permutes_labels_over_the_same_videos(made: Path, tmp_path: Path) -> None:
    null = digests(generate(tmp_path, dataclasses.replace(TINY, null=True)))
    videos = {name: digest for name, digest in digests(made).items() if "/" in name}
    assert videos == {name: digest for name, digest in null.items() if "/" in name}
    settings = CorpusSettings()
    shown, labels = corpus._shown(settings), corpus._labels(dataclasses.replace(settings, null=True))
    assert Counter(labels) == Counter(shown)
    # agreement by chance is the sum of squared shares, 0.205; without --null it is 1
    assert np.mean(np.array(labels) == np.array(shown)) < 0.32


def test_every_class_is_there_and_none_alike() -> None:
    counts = Counter(corpus._shown(CorpusSettings()))
    assert set(counts) == set(EMOTIONS)
    assert min(counts.values()) >= 12
    assert max(counts.values()) >= 1.4 * min(counts.values())


def test_everything_off_is_one_frame_repeated() -> None:
    _, frames = clip_of(STILL)
    assert (frames == frames[0]).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drift", 1.0),
        ("rotation", 1.0),
        ("blink", 1.0),
        ("flicker", 0.1),
        ("noise", 1.0),
        ("intensity", 1.0),
        ("background", 8.0),
    ],
)
def test_each_nuisance_alone_changes_the_frames(name: str, value: float) -> None:
    _, frames = clip_of(dataclasses.replace(STILL, **{name: value}))
    assert (frames != frames[0]).any()


def test_drift_and_rotation_stay_within_their_bounds() -> None:
    for subject in range(2):
        truth, _ = draw_clip(dataclasses.replace(STILL, drift=4, rotation=2), subject, 0, "others")
        turned = np.rad2deg(np.arctan2(truth.rigid[:, 1, 0], truth.rigid[:, 0, 0]))
        assert 0 < np.abs(turned).max() <= 2
        drifted = truth.rigid @ np.array([80, 53, 1.0]) - (80, 53)
        assert 0 < np.linalg.norm(drifted, axis=1).max() < 1.0 + 0.6  # 4 px at a quarter of 480 px, and the turn
        assert np.array_equal(truth.rigid[0], [[1, 0, 0], [0, 1, 0]])


def test_noise_has_its_standard_deviation() -> None:
    _, still = clip_of(STILL)
    _, noisy = clip_of(dataclasses.replace(STILL, noise=3))
    inside = (still > 30) & (still < 225)
    assert (noisy.astype(float) - still)[inside].std() == pytest.approx(3, rel=0.05)


def test_flicker_changes_brightness_within_its_bound() -> None:
    _, still = clip_of(STILL)
    _, frames = clip_of(dataclasses.replace(STILL, flicker=0.05))
    gains = frames.mean(axis=(1, 2, 3)) / still.mean()
    assert 0.02 < np.abs(gains - 1).max() <= 0.051


def test_blink_darkens_nothing_but_the_eyes() -> None:
    truth, frames = clip_of(dataclasses.replace(STILL, blink=1))
    assert truth.blink.max() > 0.3
    changed = np.abs(frames[int(truth.blink.argmax())].astype(int) - frames[int(truth.blink.argmin())]).max(axis=-1) > 8
    rows, columns = np.nonzero(changed)
    eyes = truth.landmarks[0, 36:48]
    assert len(rows) > 20
    assert eyes[:, 1].min() - 5 < rows.min() <= rows.max() < eyes[:, 1].max() + 5
    assert eyes[:, 0].min() - 5 < columns.min() <= columns.max() < eyes[:, 0].max() + 5


def test_a_background_moves_behind_the_head_and_nowhere_else() -> None:
    truth, still = clip_of(STILL)
    told, frames = clip_of(dataclasses.replace(STILL, background=10))
    changes = np.abs(frames.astype(int) - still).max(axis=(0, 3))
    assert changes[truth.face_mask].max() == 0
    assert changes[:40, :20].min() > 0 and frames[:, :40, :20].std(axis=0).mean() > 3
    assert np.array_equal(told.landmarks, truth.landmarks)


def test_a_corpus_with_a_still_background_is_recorded_as_before_there_was_another(made: Path) -> None:
    """Its bytes are the same, so nobody has to draw it again."""
    assert "background" not in json.loads((made / "corpus.json").read_text("utf-8"))["settings"]
    moving = dataclasses.replace(TINY, background=5)
    assert corpus._spec(moving)["settings"]["background"] == 5
    assert corpus._clip_key(moving) != corpus._clip_key(TINY)


def test_nuisances_do_not_disturb_each_other() -> None:
    """With one stream for all, switching off the noise would change the expression."""
    plain, _ = draw_clip(TINY, 0, 1, "disgust")
    changed = dataclasses.replace(TINY, noise=0, flicker=0, drift=0, rotation=0, blink=1)
    other, _ = draw_clip(changed, 0, 1, "disgust")
    assert np.array_equal(plain.curves, other.curves)
    assert plain.action_units == other.action_units


def test_intensity_multiplies_the_displacement() -> None:
    one, _ = draw_clip(TINY, 1, 1, "surprise")
    three, _ = draw_clip(dataclasses.replace(TINY, intensity=3), 1, 1, "surprise")
    assert np.allclose(three.curves, 3 * one.curves)


def test_lead_in_and_tail_bound_the_neutral_frames() -> None:
    for most in (0, 1, 9):
        truth, _ = draw_clip(dataclasses.replace(STILL, lead_in=most, tail=most), 0, 0, "others")
        assert most / 2 <= truth.onset <= most
        assert most / 2 <= truth.n_frames - 1 - truth.offset <= most


def test_jpeg_quality_is_used(tmp_path: Path) -> None:
    one = dataclasses.replace(TINY, subjects=1, clips_per_subject=1)
    sizes = []
    for quality in (30, 95):
        root = generate(tmp_path / str(quality), dataclasses.replace(one, jpeg_quality=quality))
        sizes.append(sum(path.stat().st_size for path in root.rglob("*.jpg")))
    assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize(("name", "value"), [("subjects", 0), ("jpeg_quality", 0), ("blink", 1.5), ("width", 641)])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(TINY, **{name: value})


def copy_of(made: Path, folder: Path) -> tuple[Path, Path]:
    root = Path(shutil.copytree(made, folder / "copy"))
    return root, root / "annotation.csv"


def test_adapter_names_what_is_wrong(made: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a folder"):
        synthetic.load(tmp_path / "nowhere")
    root, path = copy_of(made, tmp_path)
    table = pd.read_csv(path, dtype=str)

    def fails(changed: pd.DataFrame, message: str) -> None:
        changed.to_csv(path, index=False)
        with pytest.raises(DatasetError, match=message):
            synthetic.load(root)

    fails(table.drop(columns="apex"), "no column 'apex'")
    fails(table.iloc[:0], "has a header and no rows")
    fails(table.assign(onset="/"), "onset '/' is not a number")
    fails(table.assign(offset="100000"), "offset is frame 100000, which has no file")
    fails(table.assign(clip="c09"), "no frames in")
    fails(pd.concat([table, table.iloc[:1]]), "synthetic/s01/c01")
    path.unlink()
    with pytest.raises(DatasetError, match="does not exist"):
        synthetic.load(root)
