"""Whether a report is still what it would be if it was written now, without drawing it again.

A page ends with a line that holds a key of all that it was made from and a digest of its own bytes. The key covers the
files of the run, the manifest, the records of the clips, the source and the templates of the page, and the libraries
that draw it. A page without that line, or one that was changed, is not what was written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path

from experiments.runs.run import Run
from experiments.runs.sources import source_digest
from preprocessing.artefacts.clip_folder import clip_folder
from preprocessing.artefacts.files import digest, is_scratch, key_of
from preprocessing.artefacts.locks import LOCK
from preprocessing.artefacts.manifest import MANIFEST
from preprocessing.artefacts.record import RECORD

LIBRARIES = ("jinja2", "markupsafe", "matplotlib", "numpy", "opencv-contrib-python-headless", "pandas", "scipy")
ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ("experiments/pages/templates", "dynamic_images/inspection/templates")
_LAST_LINE = re.compile(rb"<!-- made from ([0-9a-f]+), bytes ([0-9a-f]+) -->\n")


def sealed(text: str, key: str) -> str:
    """The page ``text`` with its last line."""
    text = text if text.endswith("\n") else text + "\n"
    return f"{text}<!-- made from {key}, bytes {digest(text.encode())} -->\n"


def is_fresh(page: Path, key: str) -> bool:
    """Whether ``page`` was made under ``key`` and is as it was written; nothing is fresh under an empty key."""
    try:
        written = page.read_bytes()
    except OSError:
        return False
    found = list(_LAST_LINE.finditer(written))
    if not key or not found or found[-1].end() != len(written):
        return False
    return found[-1][1].decode() == key and found[-1][2].decode() == digest(written[: found[-1].start()])


def report_key(run: Run, cache: Path) -> str:
    """What the report of a run is made from, as a key; empty if that cannot be told.

    It cannot where a package adds sections to the report, since those may read anything, and where a clip has files
    that are not what its record says.
    """
    if entry_points(group="mer.report_sections"):
        return ""
    clips = list(dict.fromkeys(run.predictions()["clip_id"]))
    folders = [clip_folder(cache, clip_id) for clip_id in clips]
    if any(folder.damage() for folder in folders):
        return ""
    # where the cache lies is not shown, and copies of a run in two places have the same page
    about = {name: value for name, value in run.about().items() if name != "cache"}
    return key_of(
        [run.name, about, _files(run)],
        [digest(cache / MANIFEST), [_digest(folder / RECORD) for folder in folders]],
        [source_digest(["experiments.pages.report"]), _templates()],
        {name: version(name) for name in LIBRARIES},
    )


def _files(run: Run) -> dict[str, str]:
    """Digest of every file of a run that its report may read."""
    left_out = {run.about_file, run.report_file}
    places: Sequence[Path] = [path for path in run.folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(run.folder).as_posix(): digest(path)
        for path in sorted(places)
        if path not in left_out
        and not path.is_relative_to(run.model)
        and path.name != LOCK
        and not any(map(is_scratch, path.relative_to(run.folder).parts))
    }


def _templates() -> dict[str, str]:
    return {f"{folder}/{path.name}": digest(path) for folder in TEMPLATES for path in sorted((ROOT / folder).iterdir())}


def _digest(path: Path) -> str:
    return digest(path) if path.is_file() else ""
