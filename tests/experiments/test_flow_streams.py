"""u, v, strain images as files: read back as the field's code reads them, trained on, and compared with others."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dynamic_images.flow_streams import StreamSettings, min_max
from experiments import flow_streams
from experiments.cli import app
from experiments.flow_streams import Row, like, rows_of, write_streams
from experiments.options import show
from preprocessing.datasets import streams as streams_adapter
from preprocessing.errors import DatasetError, UsageError
from tests.dynamic_images.conftest import finish_clip, known_clip

CLASSES = ("negative", "positive", "surprise")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """Six clips of three people in a cache, each with a motion of its own."""
    cache = tmp_path_factory.mktemp("cache") / "toy"
    rows = []
    for number in range(6):
        clip_id = f"toy/s{number // 2}/c{number}"
        finish_clip(
            cache, clip_id, known_clip(n_frames=8, peak=1 + 0.3 * number, apex=3 + number % 3, seed=number), apex=4
        )
        rows.append({"clip_id": clip_id, "label": CLASSES[number % 3], "status": "ok"})
    return cache, rows_of(pd.DataFrame(rows), CLASSES)


CHOSEN = StreamSettings("dis", "face", "field", 28)


@pytest.fixture(scope="module")
def written(built: tuple[Path, list[Row]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("streams") / "out"
    assert write_streams(*built, to, CHOSEN, 1, show) == dict.fromkeys(CLASSES, 2)
    return to


def read_as_the_field_does(root: Path) -> dict[str, dict[str, list[tuple[int, Any]]]]:
    """From the facts of that form: a folder per subject, train and test, class numbers; names by the table."""
    whole, table = (
        root / "datasets/STSNet_whole_norm_u_v_os",
        pd.read_csv(root / "combined_3_class2_for_optical_flow.csv"),
    )
    images = {}
    for sub, clip, face in zip(table["sub"], table["filename_o"], table["imagename"], strict=True):
        name = f"{sub}_{clip} .png"
        images[name] = cv2.imread(str(whole / name))
        assert cv2.imread(str(root / "datasets/combined_datasets_whole" / face)) is not None
    folds: dict[str, dict[str, list[tuple[int, Any]]]] = {}
    for subject in sorted((root / "datasets/three_norm_u_v_os").iterdir()):
        folds[subject.name] = {
            part: [(int(f.parent.name), images[f.name]) for f in sorted((subject / part).glob("*/*.png"))]
            for part in ("u_train", "u_test")
        }
    return folds


class TestForm:
    def test_a_reader_of_the_field_s_form_finds_every_clip(self, written: Path) -> None:
        folds = read_as_the_field_does(written)
        assert list(folds) == ["s0", "s1", "s2"]
        for fold in folds.values():
            assert (len(fold["u_train"]), len(fold["u_test"])) == (4, 2)
            assert all(image.shape == (28, 28, 3) for part in fold.values() for _, image in part)
        labels = sorted(number for number, _ in folds["s0"]["u_train"] + folds["s0"]["u_test"])
        assert labels == [0, 0, 1, 1, 2, 2]

    def test_the_list_of_three_classes_has_no_header_and_the_organisers_line_ends(self, written: Path) -> None:
        text = (written / "combined_3class_gt.csv").read_bytes()
        assert text.count(b"\r\n") == 6
        assert next(csv.reader(text.decode().splitlines())) == ["toy", "s0", "c0", "0"]

    def test_images_are_the_signed_ones_stretched(self, written: Path) -> None:
        signed = np.load(written / "signed/s0_c1.npy")
        assert signed.dtype == np.float32
        assert 0.3 < np.abs(signed[..., 1]).max() < 3  # px: the mouth corner moves by 1 px or so, and nothing else
        image = cv2.imread(str(written / "datasets/STSNet_whole_norm_u_v_os/s0_c1 .png"))
        assert np.array_equal(image[..., ::-1], min_max(signed))
        assert "dis, crop face, resize field, strain full" in (written / "README.txt").read_text()

    def test_the_signed_ones_are_a_data_set_of_the_toolkit(self, written: Path) -> None:
        clips = streams_adapter.load(written / "table.csv")
        assert [clip.clip_id for clip in clips] == [f"toy/s{i // 2}/c{i}" for i in range(6)]
        assert all(clip.stream_a.path.is_file() for clip in clips)

    def test_a_second_call_writes_the_same_and_takes_away_what_is_no_longer_there(
        self, built: tuple[Path, list[Row]], tmp_path: Path
    ) -> None:
        cache, rows = built
        to = tmp_path / "out"
        write_streams(cache, rows, to, CHOSEN, 1, show)
        before = {p.name: p.read_bytes() for p in (to / flow_streams.WHOLE).iterdir()}
        write_streams(cache, rows[:4], to, CHOSEN, 1, show)
        after = {p.name: p.read_bytes() for p in (to / flow_streams.WHOLE).iterdir()}
        assert len(after) == 4 and after.items() <= before.items()
        assert len(list((to / flow_streams.FOLDS).iterdir())) == 2

    def test_a_folder_of_somebody_else_is_refused(self, built: tuple[Path, list[Row]], tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").touch()
        with pytest.raises(UsageError, match="holds other files"):
            write_streams(*built, tmp_path, CHOSEN, 1, show)

    def test_two_clips_of_one_name_are_refused(self) -> None:
        rows = pd.DataFrame({"clip_id": ["a/s1/c", "b/s1/c"], "label": ["negative"] * 2})
        with pytest.raises(DatasetError, match=r"would both become s1_c\.png"):
            rows_of(rows, CLASSES)


class TestLike:
    @pytest.mark.parametrize(
        "made",
        [
            StreamSettings("farneback", "face", "field", 28, "no_half", "central"),
            StreamSettings("dis", "aligned", "pictures", 28, "full", "shift"),
        ],
    )
    def test_the_choices_of_a_look_alike_are_found(
        self, made: StreamSettings, built: tuple[Path, list[Row]], tmp_path: Path
    ) -> None:
        write_streams(*built, tmp_path / "theirs", made, 1, show)
        table = like(*built, tmp_path / "theirs/datasets/STSNet_whole_norm_u_v_os", 1, show, ("dis", "farneback"))
        first, second = table.iloc[0], table.iloc[1]
        for name in ("solver", "crop", "resize", "strain", "gradient", "phase"):
            assert first[name] == getattr(made, name)
        assert first["order"] == "u v strain" and first["clips"] == 6
        assert first["mean"] > 0.999 > second["mean"]

    def test_channels_in_reverse_are_found(self, built: tuple[Path, list[Row]], tmp_path: Path) -> None:
        write_streams(*built, tmp_path / "theirs", CHOSEN, 1, show)
        for path in (tmp_path / "theirs" / flow_streams.WHOLE).iterdir():
            cv2.imwrite(str(path), cv2.imread(str(path))[..., ::-1])
        table = like(*built, tmp_path / "theirs" / flow_streams.WHOLE, 1, show, ("dis",))
        assert table.iloc[0]["order"] == "strain v u" and table.iloc[0]["mean"] > 0.999

    def test_pictures_of_other_clips_are_no_use(self, built: tuple[Path, list[Row]], tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "cat.png"), np.zeros((28, 28, 3), np.uint8))
        with pytest.raises(UsageError, match="1 pictures, and 0 are named after a clip"):
            like(*built, tmp_path, 1, show)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["streams", "--root", "x.csv"], "has images and no frames"),
        (["synthetic", "--crop", "head"], "--crop is 'head', wanted one of aligned, face"),
        (["synthetic", "--size", "3"], "--size is 3, wanted at least 8 px"),
        (["synthetic", "--solver", "tvl"], "tvl1"),
        (["synthetic", "--like", "x", "--size", "32"], "leave out --size"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_a_sentence(words: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["streams", *words])
    assert done.exit_code == 2
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_from_drawn_faces_to_images_and_back_to_the_choices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--config", "quick", "--set", "corpus.subjects=3", "--set", "corpus.clips_per_subject=3"]
    done = CliRunner().invoke(app, ["streams", "synthetic", *small, "--strain", "no_half", "--phase", "falling"])
    assert done.exit_code == 0, done.output
    assert "9 clips" in done.stdout and len(read_as_the_field_does(Path("runs/synthetic-streams"))) == 3
    whole = str(Path("runs/synthetic-streams") / flow_streams.WHOLE)
    done = CliRunner().invoke(app, ["streams", "synthetic", *small, "--like", whole])
    best = done.stdout.splitlines()[1].split()
    assert best[:6] == ["tvl1", "face", "field", "no_half", "central", "falling"]
