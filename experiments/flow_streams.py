"""u, v, strain images of a data set as files: in the form that the field's code reads, and in one that keeps px."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynamic_images import flow_streams as streams
from dynamic_images.clip_input import ClipArtefacts
from dynamic_images.encoding import view_of
from dynamic_images.flow_streams import StreamSettings
from experiments.progress import Progress
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import write_bytes, write_text
from preprocessing.artefacts.locks import locked
from preprocessing.errors import DatasetError, ToolkitError, UsageError
from preprocessing.workers import unordered

WHOLE = Path("datasets/STSNet_whole_norm_u_v_os")
FOLDS = Path("datasets/three_norm_u_v_os")
FACES = Path("datasets/combined_datasets_whole")
LISTED = "combined_3class_gt.csv"
TABLE = "combined_3_class2_for_optical_flow.csv"
SIGNED = "signed"
VIEW = (2.0, 2.0, 0.1)  # px, px, px per px at the white end of a picture of the signed images
SOLVERS = ("tvl1", "farneback", "dis")
MEASURED = ("r_u", "r_v", "r_strain")
COMPARED = 24  # clips that `like` looks at; more tell the choices apart no better


@dataclass(frozen=True)
class Row:
    """A clip as the files name it: of which data set and subject, its own name, its class and the number of that."""

    clip_id: str
    dataset: str
    subject: str
    clip: str
    label: str
    number: int

    @property
    def name(self) -> str:
        """File name without its ending, subject and clip, as the field joins them."""
        return f"{self.subject}_{self.clip}"


def rows_of(manifest: pd.DataFrame, classes: Sequence[str]) -> list[Row]:
    """The labelled clips of a manifest.

    Raises:
        DatasetError: two clips would have one file name.
    """
    numbers = {name: i for i, name in enumerate(classes)}
    found = []
    for clip_id, label in zip(manifest["clip_id"].astype(str), manifest["label"].astype(str), strict=True):
        dataset, subject, clip = clip_id.split("/", 2)
        found.append(Row(clip_id, dataset, subject, clip.replace("/", "_"), label, numbers[label]))
    seen: dict[str, str] = {}
    for one in found:
        if seen.setdefault(one.name, one.clip_id) != one.clip_id:
            raise DatasetError(
                f"{seen[one.name]} and {one.clip_id} would both become {one.name}.png: export one data set"
            )
    return found


def images_of(cache: Path, one: Row, choices: Sequence[StreamSettings]) -> tuple[Row, list[NDArray[np.float32]]]:
    """The clip's image under each choice, (size, size, 3) float32: u, v, strain. Flow is measured once per field."""
    cv2.setNumThreads(1)  # parallelism is over clips
    clip = ClipArtefacts(clip_folder(cache, one.clip_id))
    onset, apex, offset = (clip.crops[t] for t in (0, clip.apex, len(clip.crops) - 1))
    pairs = {"rising": (onset, apex), "falling": (apex, offset)}
    fields: dict[tuple[Any, ...], streams.Flow] = {}
    images = []
    for chosen in choices:
        key = (chosen.solver, chosen.crop, chosen.resize, chosen.size, chosen.phase)
        if key not in fields:
            fields[key] = streams.flow_image(*pairs[chosen.phase], clip.landmarks, chosen)
        images.append(streams.with_strain_of(fields[key], chosen))
    return one, images


def write_streams(
    cache: Path, rows: Sequence[Row], to: Path, chosen: StreamSettings, jobs: int, progress: Progress
) -> dict[str, int]:
    """Write the images of all clips in both forms, and say in ``README.txt`` what they are; returns clips per class.

    Raises:
        UsageError: ``to`` holds other things.
        ToolkitError: the crops of a clip are not there.
    """
    if to.exists() and any(path.name not in _OURS and not path.name.startswith(".") for path in to.iterdir()):
        raise UsageError(f"{to} holds other files: give an empty folder to --out, or one that this command wrote")
    with locked(to, "mer streams"), progress("u, v, strain images") as step:
        tasks = [(cache, one, to, chosen) for one in rows]
        for done, name in enumerate(unordered(_write_one, tasks, jobs), start=1):
            step(done, len(rows), name)
        _remove_others(to, rows)
        _write_folds(to, rows)
        _write_tables(to, rows)
        write_text(to / "README.txt", _about(rows, chosen))
    return {name: sum(one.label == name for one in rows) for name in dict.fromkeys(one.label for one in rows)}


_OURS = {"datasets", SIGNED, LISTED, TABLE, "table.csv", "README.txt"}


def file_name(one: Row) -> str:
    """The name that the field's images have, with its blank before the ending: code builds it like this."""
    return f"{one.name} .png"


def _write_one(cache: Path, one: Row, to: Path, chosen: StreamSettings) -> str:
    _, (image,) = images_of(cache, one, [chosen])
    write_bytes(to / WHOLE / file_name(one), _png(streams.min_max(image)))
    write_bytes(to / SIGNED / f"{one.name}.png", _png(view_of(image, VIEW)))
    array = to / SIGNED / f"{one.name}.npy"
    if not (array.is_file() and np.array_equal(np.load(array), image)):
        array.parent.mkdir(parents=True, exist_ok=True)
        np.save(array, image)
    clip = ClipArtefacts(clip_folder(cache, one.clip_id))
    bgr = cv2.cvtColor(clip.crops[clip.apex], cv2.COLOR_RGB2BGR)
    write_bytes(to / FACES / f"{one.name}.jpg", cv2.imencode(".jpg", bgr)[1].tobytes())
    return one.clip_id


def _png(rgb: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes())


def _remove_others(to: Path, rows: Sequence[Row]) -> None:
    """Take away images of clips that an earlier call wrote and this one did not: code lists the folder."""
    for folder in (WHOLE, SIGNED, FACES):
        for path in (to / folder).iterdir():
            if path.stem.strip() not in {one.name for one in rows}:
                path.unlink()


def _write_folds(to: Path, rows: Sequence[Row]) -> None:
    """Per subject left out, ``u_train/<class>/`` and ``u_test/<class>/``: the same files, linked where links can be."""
    shutil.rmtree(to / FOLDS, ignore_errors=True)
    for subject in dict.fromkeys(one.subject for one in rows):
        for one in rows:
            part = "u_test" if one.subject == subject else "u_train"
            target = to / FOLDS / subject / part / str(one.number) / file_name(one)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(to / WHOLE / file_name(one))
            except OSError:
                shutil.copyfile(to / WHOLE / file_name(one), target)


def _write_tables(to: Path, rows: Sequence[Row]) -> None:
    listed = "".join(f"{one.dataset},{one.subject},{one.clip},{one.number}\r\n" for one in rows)
    write_text(to / LISTED, listed)
    table = pd.DataFrame(
        {
            "dataset": [one.dataset for one in rows],
            "sub": [one.subject for one in rows],
            "filename_o": [one.clip for one in rows],
            "imagename": [f"{one.name}.jpg" for one in rows],
            "label": [one.number for one in rows],
            "emotion": [one.label for one in rows],
        }
    )
    write_text(to / TABLE, table.to_csv(index=False))
    own = pd.DataFrame(
        {
            "clip_id": [one.clip for one in rows],
            "subject": [one.subject for one in rows],
            "label": [one.label for one in rows],
            "stream_a": [f"{SIGNED}/{one.name}.npy#0,1" for one in rows],
            "stream_b": [f"{SIGNED}/{one.name}.npy#2" for one in rows],
            "dataset": [one.dataset for one in rows],
        }
    )
    write_text(to / "table.csv", own.to_csv(index=False))


def _about(rows: Sequence[Row], chosen: StreamSettings) -> str:
    numbers = sorted({(one.number, one.label) for one in rows})
    choices = ", ".join(f"{name} {value}" for name, value in _choice(chosen).items())
    unit = "px of the aligned crop" if chosen.resize == "field" else "px of the small picture"
    return f"""u, v, strain images of {len(rows)} clips, {chosen.size} x {chosen.size} px.

{choices}
classes: {", ".join(f"{number} {label}" for number, label in numbers)}

{WHOLE}: red = u (to the right), green = v (down), blue = strain, each channel stretched over
  0 to 255 by its own least and largest value. OpenCV reads the channels in reverse: strain, v, u.
{FOLDS}/<subject>/u_train|u_test/<class number>/: the same files, one subject left out.
{FACES}: the aligned face at the apex. {TABLE} and {LISTED} list the clips.

{SIGNED}/*.npy: (H, W, 3) float32, u and v in {unit}, strain in px per px, signed, not scaled.
{SIGNED}/*.png: a view, 128 is 0; 255 is {VIEW[0]} px of u and v and {VIEW[2]} of strain.
table.csv: `mer train streams --root table.csv` trains on the signed images.

The pictures show the participants' faces and motions: treat them as the data set's agreement treats the recordings.
"""


def like(
    cache: Path, rows: Sequence[Row], folder: Path, jobs: int, progress: Progress, solvers: Sequence[str] = SOLVERS
) -> pd.DataFrame:
    """Which choices come nearest to the images in ``folder``, best first.

    Files are matched by name: ``<subject>_<clip>``, whatever follows. The mean correlation over clips is taken of each
    channel; both orders of the channels are tried, since OpenCV writes them in reverse.

    Returns:
        solver, crop, resize, strain, gradient, phase, order (``u v strain`` or ``strain v u``), r_u, r_v,
        r_strain (correlations), mean, clips.

    Raises:
        UsageError: fewer than two clips have an image there.
    """
    theirs = _pictures(folder)
    matched = [(one, theirs[one.name]) for one in rows if one.name in theirs][:COMPARED]
    if len(matched) < 2:
        raise UsageError(
            f"{folder} holds {len(theirs)} pictures, and {len(matched)} are named after a clip of this data set: "
            f"wanted at least 2 called <subject>_<clip>.png, for example {rows[0].name}.png"
        )
    size = _side(folder, matched[0][1])
    kinds = (solvers, *map(get_args, (streams.Crop, streams.Resize, streams.Strain, streams.Gradient, streams.Phase)))
    choices = [
        StreamSettings(solver, crop, resize, size, strain, gradient, phase)
        for solver, crop, resize, strain, gradient, phase in product(*kinds)
    ]
    files = {one.clip_id: path for one, path in matched}
    found: list[NDArray[np.float64]] = []
    with progress("images under every choice") as step:
        tasks = [(cache, one, choices) for one, _ in matched]
        for one, images in unordered(images_of, tasks, jobs):
            picture = _read(files[one.clip_id], size)
            orders = (picture, picture[..., ::-1])
            found.append(np.array([[streams.closeness(image, p) for p in orders] for image in images]))
            step(len(found), len(tasks), one.clip_id)
    means = np.mean(sorted(found, key=lambda a: a.tobytes()), axis=0)  # (choices, orders, channels), in a fixed order
    table = pd.DataFrame(
        [
            _choice(chosen) | {"order": order} | dict(zip(MEASURED, map(float, values), strict=True))
            for chosen, both in zip(choices, means, strict=True)
            for order, values in zip(("u v strain", "strain v u"), both, strict=True)
        ]
    )
    table["mean"] = table[list(MEASURED)].mean(axis=1)
    table["clips"] = len(matched)
    return table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


def _choice(chosen: StreamSettings) -> dict[str, Any]:
    names = ("solver", "crop", "resize", "strain", "gradient", "phase")
    return {name: getattr(chosen, name) for name in names}


def _pictures(folder: Path) -> dict[str, Path]:
    """Stem, without blanks at its end → file."""
    if not folder.is_dir():
        raise UsageError(f"--like {folder} is no folder: give the folder of the images")
    endings = {".png", ".jpg", ".jpeg", ".bmp"}
    return {path.stem.strip(): path for path in sorted(folder.rglob("*")) if path.suffix.lower() in endings}


def _side(folder: Path, path: Path) -> int:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ToolkitError(f"{path.relative_to(folder)} cannot be read as a picture: take it out of {folder}")
    return max(streams.SMALLEST, max(picture.shape[:2]))


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8 RGB."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ToolkitError(f"{path} cannot be read as a picture: take it out")
    square = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(square, cv2.COLOR_BGR2RGB), np.uint8)
