"""DFME: 7,526 clips in the paper, of which 2,629 of 259 people are released, at 200 to 500 frames per second.

Zhao et al., IEEE TAFFC 2023, "DFME: A New Benchmark for Dynamic Facial Micro-expression Recognition". No real table was
seen by those who wrote this: it follows public code that reads the data set, so treat what it reads with care and tell
us. Ids are ``dfme/sub0003/sub0003_01``. Folders are ``train_data/sub0003_01/00000.png`` without a folder for the
subject; frame numbers are those of the files, and a row has its own frame rate.

The released part comes as train, test A and test B, whose people differ: the column ``split`` of the manifest. Which
of them a table belongs to is told by its name or the folders above it, since the names of the test tables are not
known to us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

from preprocessing.datasets.labels import SCHEMES
from preprocessing.datasets.reading.folders import ImageFolder
from preprocessing.datasets.reading.layout import (
    Key,
    Layout,
    Published,
    Row,
    Source,
    StrayRowError,
    clip_name,
    is_footnote,
    sort_out,
)
from preprocessing.datasets.reading.tables import Table, TableRow, read_table
from preprocessing.errors import DatasetError

COLUMNS = ("subject", "clip", "onset", "apex", "offset", "emotion")
SPLITS = {
    "test_a": r"test[ _-]?(?:set|data|part)?[ _-]?a(?![a-z])",
    "test_b": r"test[ _-]?(?:set|data|part)?[ _-]?b(?![a-z])",
    "train": r"train",
}
"""Part → what its table, or a folder above it, is called (in lower case)."""

_SHARED: Mapping[str, Mapping[str, int]] = {
    "train": {"disgust": 548, "surprise": 298, "sadness": 278, "fear": 265, "happiness": 206},
    "test_a": {"disgust": 129, "surprise": 101, "sadness": 46, "fear": 62, "happiness": 63},
    "test_b": {"disgust": 58, "surprise": 48, "sadness": 35, "fear": 38, "happiness": 42},
}
_ANGER_AND_CONTEMPT = {"train": (161, 100), "test_a": (39, 34), "test_b": (41, 37)}
"""Two classes of which it is not known to us which has how many clips."""
_SUBJECTS = {"train": 176, "test_a": 42, "test_b": 41}


def _rows(source: Source) -> tuple[list[Row], list[str]]:
    """Rows of all tables. One that repeats a clip of the same part gives way to the table with action units."""
    if source.table is None:
        raise DatasetError(f"no table was found below {source.tree.root}")
    kept: dict[Key, Row] = {}
    said: list[str] = []
    order = [*_SHARED, None]
    tables = [(_split_of(table.path, source.tree.root), table) for table in _tables(source)]
    tables.sort(key=lambda one: (order.index(one[0]), "action_units" not in one[1].columns))
    for split, table in tables:
        if split is None and "split" not in table.columns:
            said.append(f"{table.path.name} names neither train nor test A or B: its clips are in no part")
        rows, stray = sort_out(table.rows, table.path.name, lambda row, where, s=split: _row(row, where, s))  # type: ignore[misc]
        said += stray
        for row in rows:
            first = kept.setdefault(row.keys[0], row)
            if first.text("split") != row.text("split"):
                raise DatasetError(
                    f"{row.name} is in {first.text('split') or 'no part'} ({first.where}) and in "
                    f"{row.text('split') or 'no part'} ({row.where}): name the one table that holds with --table PATH"
                )
    return list(kept.values()), said


def _tables(source: Source) -> Iterator[Table]:
    """Those that are tables of clips; if none is, the reason."""
    problem: DatasetError | None = None
    found = False
    for path in source.tables:
        try:
            yield read_table(path, COLUMNS)
            found = True
        except DatasetError as error:
            problem = problem or error
    if problem is not None and not found:
        raise problem


def _split_of(path: Path, root: Path) -> str | None:
    """The part that a table's path names, the file itself before the folders above it, up to the root."""
    below = path.relative_to(root).parts if path.is_relative_to(root) else path.parts[-2:]
    for name in reversed(below):
        found = [split for split, pattern in SPLITS.items() if re.search(pattern, name.lower())]
        if found:
            return found[0]
    return None


def _row(row: TableRow, where: str, split: str | None) -> Row | None:
    if is_footnote(row):
        return None
    name = clip_name(row.cells["clip"], where)
    match = re.fullmatch(r"sub(\d{1,5})_(\d{1,5})", name.lower())
    if match is None:
        raise StrayRowError(f"{where}: clip {name!r} is not one of DFME, wanted a name like sub0003_01")
    number = int(match[1])
    cells = row.cells if split is None else {**row.cells, "split": split}
    return Row(where, f"sub{number:04d}", name.lower(), ((number, int(match[2])),), cells)


def _folder_key(folder: ImageFolder) -> Key | None:
    match = re.fullmatch(r"sub(\d{1,5})_(\d{1,5})", folder.parts[-1].lower() if folder.parts else "")
    return None if match is None else (int(match[1]), int(match[2]))


def _published() -> Iterator[Published]:
    """Every set of parts that a copy may hold, with either reading of anger and contempt in each."""
    orders = [[None, (0, 1), (1, 0)]] * len(SPLITS)
    for chosen in product(*orders):
        parts = {split: order for split, order in zip(_SHARED, chosen, strict=True) if order is not None}
        if not parts:
            continue
        classes = {word: sum(_SHARED[split][word] for split in parts) for word in _SHARED["train"]}
        for word, place in (("anger", 0), ("contempt", 1)):
            classes[word] = sum(_ANGER_AND_CONTEMPT[split][order[place]] for split, order in parts.items())
        splits = {
            split: (sum(_SHARED[split].values()) + sum(_ANGER_AND_CONTEMPT[split]), _SUBJECTS[split]) for split in parts
        }
        people = sum(subjects for _, subjects in splits.values())
        yield Published(" + ".join(parts).replace("_", " "), people, classes, splits)


LAYOUT = Layout(
    name="dfme",
    title="DFME",
    fps=None,
    tables=r"(.*(train|test).*|coding.*|dfme.*)\.(xlsx?|csv)",
    usual_table="training_full_with_AU.xlsx and one for each test part",
    example="train_data/sub0003_01",
    rows=_rows,
    folder_key=_folder_key,
    published=tuple(sorted(_published(), key=lambda known: -len(known.splits))),
    licence="University of Science and Technology of China",
    schemes=SCHEMES["dfme"],
    several_tables=True,
    divided=r".*(train|test).*",
    certain=False,
)
