"""From files of any kind to the two signed inputs of a network, by rules that are the same for every clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dynamic_images import precomputed as streams
from dynamic_images.inspection.gallery import write_gallery
from dynamic_images.precomputed import StreamSettings, build_streams, read_source, square, three_channels, to_signed
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.manifest import read_manifest
from preprocessing.datasets.streams import Source, StreamClip, load
from preprocessing.errors import ClipRejectedError, DatasetError

RGBA = np.stack([np.full((4, 5), level, np.uint8) for level in (10, 20, 30, 40)], axis=2)


def save(path: Path, values: NDArray[Any]) -> Path:
    """``values`` (H, W[, C]), RGB[A], as an image or an array file."""
    if path.suffix == ".npy":
        np.save(path, values)
        return path
    order = [2, 1, 0, 3][: values.shape[2]] if values.ndim == 3 else None
    assert cv2.imwrite(str(path), values if order is None else np.ascontiguousarray(values[:, :, order]))
    return path


def source(path: Path, *channels: int) -> Source:
    return Source(path.name, path, channels or None)


class TestReadSource:
    def test_channels_keep_the_order_of_the_file(self, tmp_path: Path) -> None:
        """cv2 alone would hand out blue first."""
        path = save(tmp_path / "a.png", RGBA[:, :, :3])
        assert read_source(source(path))[0, 0].tolist() == [10, 20, 30]
        assert read_source(source(path, 0))[0, 0].tolist() == [10]
        assert read_source(source(path, 2, 1))[0, 0].tolist() == [30, 20]

    def test_alpha_is_left_out_unless_it_is_named(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", RGBA)
        assert read_source(source(path))[0, 0].tolist() == [10, 20, 30]
        assert read_source(source(path, 3))[0, 0].tolist() == [40]

    @pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2), (4, 5, 3)])
    def test_arrays(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        read = read_source(source(save(tmp_path / "a.npy", values)))
        np.testing.assert_array_equal(read, values.reshape(4, 5, -1))

    def test_sixteen_bits_stay_sixteen_bits(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", np.full((4, 4, 3), 40_000, np.uint16))
        assert read_source(source(path)).dtype == np.uint16

    @pytest.mark.parametrize(
        ("values", "channels", "said"),
        [
            (RGBA[:, :, :3], (3,), "wants channel 3, the file has 0 to 2"),
            (np.zeros((4, 4), np.uint8), (0, 1), "wants channel 1, the file has 0 to 0"),
            (np.zeros((6, 5, 5), np.float32), (), r"has 5 channels, a stream takes up to three: pick them"),
            (RGBA.astype(np.float32), (), r"has 4 channels, a stream takes up to three"),
            (np.zeros((3, 28, 28), np.float32), (), r"shape \(3, 28, 28\), wanted \(H, W\) or \(H, W, C\), channels l"),
            (np.zeros(7, np.float32), (), r"shape \(7,\), wanted"),
            (np.zeros((4, 4), bool), (), "holds bool, wanted 8 or 16 bits"),
            (np.zeros((4, 4), complex), (), "holds complex128"),
            (np.zeros((4, 4), np.uint32), (), "holds uint32"),
        ],
    )
    def test_what_the_table_has_wrong(
        self, tmp_path: Path, values: NDArray[Any], channels: tuple[int, ...], said: str
    ) -> None:
        is_image = values.dtype == np.uint8
        path = save(tmp_path / f"a.{'png' if is_image else 'npy'}", values)
        with pytest.raises((DatasetError, ClipRejectedError), match=said):
            read_source(source(path, *channels), "line 2")

    @pytest.mark.parametrize("name", ["a.png", "a.npy", "a.jpg"])
    @pytest.mark.parametrize("content", [b"", b"hello", b"whole"])
    def test_what_cannot_be_decoded(self, tmp_path: Path, name: str, content: bytes) -> None:
        path = save(tmp_path / name, RGBA[:, :, :3])
        path.write_bytes(path.read_bytes()[:70] if content == b"whole" else content)
        with pytest.raises(ClipRejectedError, match="cannot be read") as caught:
            read_source(source(path))
        assert caught.value.code == "broken_image"

    def test_a_header_that_promises_millions_of_columns(self, tmp_path: Path) -> None:
        """OpenCV raises an error of its own, which would end the whole data set."""
        path = tmp_path / "a.pgm"
        path.write_bytes(b"P5\n99999999 1\n255\n\0\0")
        with pytest.raises(ClipRejectedError, match=r"a\.pgm cannot be read \(OpenCV refuses it") as caught:
            read_source(source(path))
        assert caught.value.code == "broken_image"

    def test_a_header_that_promises_terabytes_rejects_one_clip(self, table: Path, tmp_path: Path) -> None:
        """NumPy would ask for the memory first, and the whole data set would end there."""
        with (table.parent / "uv.npy").open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (100_000, 100_000, 3)}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(64))
        build(table, tmp_path / "c")
        rows = read_manifest(tmp_path / "c").set_index("clip_id")
        broken = rows[rows["code"] == "broken_image"]
        assert (
            broken["reason"].str.contains("uv.npy cannot be read (its header promises 120000000000", regex=False).any()
        )
        assert (rows["status"] == "ok").any()


class TestRules:
    def test_the_middle_of_unsigned_values_is_zero(self) -> None:
        small, large = np.array([0, 128, 255], np.uint8), np.array([0, 32768, 65535], np.uint16)
        np.testing.assert_array_equal(to_signed(small, "middle"), [-128, 0, 127])
        np.testing.assert_allclose(to_signed(large, "middle"), [-128, 0, 127.996], atol=1e-3)

    def test_or_black_is(self) -> None:
        np.testing.assert_array_equal(to_signed(np.array([0, 255], np.uint8), "black"), [0, 255])
        np.testing.assert_allclose(to_signed(np.array([0, 65535], np.uint16), "black"), [0, 255.996], atol=1e-3)

    @pytest.mark.parametrize("kind", [np.float16, np.float64, np.int8, np.int32])
    def test_signed_values_stay(self, kind: type) -> None:
        for zero in ("middle", "black"):
            np.testing.assert_array_equal(to_signed(np.array([-3, 0, 5], kind), zero), [-3, 0, 5])

    def test_three_channels(self) -> None:
        pixel = np.array([1, 2, 3], np.float32)
        assert three_channels(pixel[None, None, :1])[0, 0].tolist() == [1, 1, 1]
        assert three_channels(pixel[None, None, :2])[0, 0].tolist() == [1, 2, 0]
        assert three_channels(pixel[None, None])[0, 0].tolist() == [1, 2, 3]

    @pytest.mark.parametrize(
        ("shape", "side"), [((28, 28), 28), ((20, 28), 28), ((28, 20), 28), ((2000, 300), 512), ((1, 40), 40)]
    )
    def test_a_square_of_the_longer_side_keeps_values(self, shape: tuple[int, int], side: int) -> None:
        """A ramp along the rows stays that ramp: stretched, not cropped or padded."""
        ramp = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None, None] * np.ones((1, shape[1], 3), np.float32)
        out = square(ramp)
        assert out.shape == (side, side, 3)
        assert np.ptp(out, axis=1).max() < 1e-6
        if shape[0] > 1:
            assert out[-1, 0, 0] > 0.9 and out[0, 0, 0] < -0.9


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Five clips: a shared file, an array, a broken file, values that are not finite, one of another data set."""
    root = tmp_path / "root"
    root.mkdir()
    rng = np.random.default_rng(0)
    save(root / "rgb.png", rng.integers(0, 255, (28, 28, 3), np.uint8))
    save(root / "uv.npy", rng.normal(0, 3, (14, 20, 2)))
    save(root / "nan.npy", np.full((8, 8), np.nan))
    (root / "broken.png").write_bytes(b"no image")
    lines = [
        "clip_id,subject,label,stream_a,stream_b,dataset",
        'c1,s1,none,"rgb.png#0,1",rgb.png#2,one',
        "c2,s1,10,rgb.png,uv.npy,one",
        "c3,s2,9,broken.png,uv.npy,one",
        "c4,s2,9,rgb.png,nan.npy,one",
        "c1,s1,9,rgb.png,uv.npy,two",
    ]
    (root / "streams.csv").write_text("\n".join(lines) + "\n")
    return root / "streams.csv"


def build(table: Path, cache: Path, jobs: int = 1, **settings: Any) -> list[str]:
    done: list[str] = []
    build_streams(load(table), cache, StreamSettings(**settings), jobs, lambda row: done.append(row["clip_id"]))
    return done


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class TestBuild:
    def test_what_is_there_afterwards(self, table: Path, tmp_path: Path) -> None:
        cache, before = tmp_path / "cache" / "streams", files(table.parent)
        build(table, cache)
        assert files(table.parent) == before, "inputs are only read"
        rows = read_manifest(cache).set_index("clip_id")
        assert list(rows["status"]) == ["ok", "ok", "rejected", "rejected", "ok"]
        assert list(rows["code"].dropna()) == ["broken_image", "not_finite"]
        assert rows.loc["one/s1/c1", "emotion"] == "none", "a class may be called so"
        folder = clip_folder(cache, "one/s1/c1")
        a, b = folder.load("stream_a.npy"), folder.load("stream_b.npy")
        rgb = cv2.cvtColor(cv2.imread(str(table.parent / "rgb.png")), cv2.COLOR_BGR2RGB).astype(np.float32) - 128
        np.testing.assert_array_equal(a, np.dstack([rgb[:, :, :2], np.zeros((28, 28))]))
        np.testing.assert_array_equal(b, np.dstack([rgb[:, :, 2]] * 3))
        assert folder.record()["stages"]["streams"]["settings"]["sources"]["stream_b"] == "rgb.png#2"
        assert clip_folder(cache, "one/s2/c3").folder.exists() is False

    def test_clips_of_two_data_sets_do_not_share_a_folder(self, table: Path, tmp_path: Path) -> None:
        build(table, tmp_path / "c")
        one, two = (clip_folder(tmp_path / "c", f"{name}/s1/c1") for name in ("one", "two"))
        assert one.folder != two.folder
        assert not np.array_equal(one.load("stream_b.npy"), two.load("stream_b.npy"))

    def test_one_data_set_lies_where_every_other_does(self, table: Path, tmp_path: Path) -> None:
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:3]))
        build(table, tmp_path / "c")
        assert clip_folder(tmp_path / "c", "one/s1/c1").folder == tmp_path / "c" / "clips" / "s1" / "c1"
        assert (tmp_path / "c" / "clips" / "s1" / "c1" / "stream_a.npy").is_file()

    def test_pictures_show_the_file_and_floats_one_scale_for_all_clips(self, table: Path, tmp_path: Path) -> None:
        cache = tmp_path / "c"
        build(table, cache)
        view = cv2.imread(str(clip_folder(cache, "one/s1/c2") / "stream_a.png"))
        original = cv2.imread(str(table.parent / "rgb.png"))
        np.testing.assert_array_equal(view, np.maximum(original, 1))
        rows = read_manifest(cache)
        assert set(rows["stream_a_view"].dropna()) == {127}
        assert len(set(rows["stream_b_view"].dropna())) == 1

    def test_the_same_bytes_for_any_number_of_processes(self, table: Path, tmp_path: Path) -> None:
        build(table, tmp_path / "1")
        build(table, tmp_path / "2", jobs=2)
        assert files(tmp_path / "1") == files(tmp_path / "2")

    def test_what_is_fresh_stays_and_a_change_remakes_exactly_its_clips(
        self, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "c"
        build(table, cache)
        before = files(cache)
        made: list[str] = []
        original = streams.square
        monkeypatch.setattr(streams, "square", lambda image: made.append("x") or original(image))
        build(table, cache)
        assert files(cache) == before
        fresh_again = len(made)
        assert fresh_again <= 4, "only what was rejected is looked at again"
        made.clear()
        save(table.parent / "uv.npy", np.ones((14, 20, 2)))
        build(table, cache)
        remade = {name for name, content in files(cache).items() if name.endswith(".npy") and before[name] != content}
        assert {name.rsplit("/", 1)[0] for name in remade} == {"one/clips/s1/c2", "two/clips/s1/c1"}

    @pytest.mark.parametrize("name", ["stream_a.npy", "stream_b.npy", "stream_a.png", "stream_b.png"])
    def test_a_flipped_bit_is_mended(self, table: Path, tmp_path: Path, name: str) -> None:
        cache = tmp_path / "c"
        build(table, cache)
        before = files(cache)
        path = clip_folder(cache, "one/s1/c1") / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        mended: list[Any] = []
        build_streams(load(table), cache, StreamSettings(), on_mended=lambda *one: mended.append(one))
        assert mended == [("one/s1/c1", (("streams", name),))]
        assert files(cache) == before

    def test_a_clip_that_became_broken_leaves_nothing_behind(self, table: Path, tmp_path: Path) -> None:
        cache = tmp_path / "c"
        build(table, cache)
        (table.parent / "uv.npy").write_bytes(b"cut")
        build(table, cache)
        assert not list(clip_folder(cache, "two/s1/c1").folder.glob("*.npy"))
        assert (read_manifest(cache)["status"] == "ok").sum() == 1

    def test_the_zero_is_an_option_of_each_stream(self, table: Path, tmp_path: Path) -> None:
        build(table, tmp_path / "c", zero_b="black")
        folder = clip_folder(tmp_path / "c", "one/s1/c1")
        assert folder.load("stream_a.npy").min() < 0 <= folder.load("stream_b.npy").min()

    def test_the_page_calls_them_streams(self, table: Path, tmp_path: Path) -> None:
        cache = tmp_path / "c"
        build(table, cache)
        text = write_gallery(cache).read_text("utf-8")
        assert "stream a" in text and "stream b" in text and "broken_image" in text
        assert "TRDI" not in text and "opens the contact sheet" not in text
        assert not (cache / "sheets").exists()


def test_a_wrong_channel_stops_everything(table: Path, tmp_path: Path) -> None:
    """It is the table that is to be changed, not one clip."""
    with table.open("a") as file:
        file.write("c9,s9,9,rgb.png#5,uv.npy,one\n")
    with pytest.raises(DatasetError, match=r"streams\.csv, line 7: rgb\.png#5 wants channel 5, the file has 0 to 2"):
        build(table, tmp_path / "c")
    assert not (tmp_path / "c" / "manifest.csv").exists()


@pytest.mark.parametrize("values", [np.zeros((3, 28, 28), np.float32), np.zeros((28, 28), complex)])
def test_one_array_of_the_wrong_form_is_one_clip(table: Path, tmp_path: Path, values: NDArray[Any]) -> None:
    """As a damaged header has it. If most arrays are so, the data set is refused."""
    save(table.parent / "odd.npy", values)
    with table.open("a") as file:
        file.write("c9,s9,9,rgb.png,odd.npy,one\n")
    build(table, tmp_path / "c")
    rows = read_manifest(tmp_path / "c")
    assert rows.loc[rows.code == "wrong_form", "clip_id"].tolist() == ["one/s9/c9"]
    table.write_text(table.read_text().replace("uv.npy", "odd.npy"))
    with pytest.raises(DatasetError, match=r"odd\.npy (has shape|holds) .* so it is in \d of \d files"):
        build(table, tmp_path / "d")


def test_a_clip_record_has_the_form_of_the_others(table: Path, tmp_path: Path) -> None:
    build(table, tmp_path / "c")
    record = clip_folder(tmp_path / "c", "one/s1/c1").record()
    assert set(record) == {"clip", "input", "libraries", "stages", "digest"}
    assert isinstance(load(table)[0], StreamClip)
