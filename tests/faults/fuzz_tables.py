"""Damaged tables, lists, logs, settings and models."""

from __future__ import annotations

import csv
import functools
import io
import json
import random
import tomllib
from pathlib import Path
from typing import Any

from fuzz_cases import Case, damaged, expect

CELLS = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1e400",
        "nan",
        "9" * 400,
        "=1+1",
        "../../x",
        "/etc",
        "a" * 300,
        "12.5",
        "\x00",
        "ä",
        "“",
        "\\",
    ),
    *("none", "NA", "true", "[[[", "2026-01-01", "a\nb", '"', "'", ";", "s01/s02", "١", "1_000", " 11", "11.0"),
)


def text_of(header: list[str], rows: list[list[Any]], rng: random.Random) -> bytes:
    """A table as text, with one or two cells that are not as they should be, or damaged as bytes."""
    rows = [list(map(str, row)) for row in rows]
    mode = rng.randrange(4)
    if mode < 2:
        for _ in range(rng.choice((1, 2))):
            row = rng.choice(rows)
            row[rng.randrange(len(row))] = rng.choice(CELLS)
    elif mode == 2:
        match rng.randrange(6):
            case 0:
                rng.choice(rows).pop()
            case 1:
                rows.append(list(rng.choice(rows)))
            case 2:
                header = [*header, rng.choice(header)]
            case 3:
                header = [name for name in header if name != rng.choice(header)] or header
            case 4:
                rows = []
            case _:
                rng.choice(rows).append("x" * rng.choice((1, 200_000)))
    buffer = io.StringIO()
    csv.writer(buffer).writerows([header, *rows])
    content = buffer.getvalue().encode()
    return damaged(content, rng) if mode == 3 else content


def read_independently(path: Path) -> list[dict[str, str]]:
    """The rows of a table by Python's reader alone."""
    text = path.read_bytes().decode("utf-8-sig")
    first = next((line for line in text.splitlines() if line.strip()), "")
    mark = max((",", ";", "\t"), key=first.count)
    rows = [row for row in csv.reader(text.splitlines(keepends=True), delimiter=mark) if any(c.strip() for c in row)]
    header = [name.strip().lower() for name in rows[0]]
    return [dict(zip(header, (cell.strip() for cell in row), strict=True)) for row in rows[1:]]


def log(rng: random.Random, folder: Path, _: Path) -> str:
    """A prediction log: its accuracy is the share of rows with the right label."""
    try:
        from experiments.scoring.prediction_log import assess, read_log
    except ImportError:
        from experiments.scoring import assess, read_log
    rows = [[f"s{i // 3}", f"c{i}", "0", "abc"[i % 3], "abc"[(i * i) % 3]] for i in range(12)]
    path = folder / "log.csv"
    path.write_bytes(text_of(["subject", "clip_id", "seed", "y_true", "y_pred"], rows, rng))
    table = read_log(path)
    there = read_independently(path)
    expect(len(table) == len(there), f"{len(table)} rows of {len(there)}")
    right = sum(row["y_true"] == row["y_pred"] for row in there)
    expect(abs((table["y_true"] == table["y_pred"]).sum() - right) < 1, "another number of right rows")
    if rng.random() < 0.25:
        found = assess(table)
        if table["seed"].nunique() == 1:
            expect(abs((found.scores.accuracy or 0) - right / len(there)) < 1e-9, "another accuracy")
    return "accepted"


def streams_table(rng: random.Random, folder: Path, _: Path) -> str:
    """A table of precomputed images: only files in its folder, ids that are folder names."""
    from preprocessing.datasets import streams

    for name in ("a.png", "b.png"):
        (folder / name).touch()
    rows = [[f"c{i}", f"s{i // 2}", "ab"[i % 2], "a.png", "b.png#0"] for i in range(6)]
    path = folder / "streams.csv"
    path.write_bytes(text_of(["clip_id", "subject", "label", "stream_a", "stream_b"], rows, rng))
    clips = streams.load(path)
    there = read_independently(path)
    expect([clip.label for clip in clips] == [row["label"] for row in there], "other labels than in the table")
    for clip in clips:
        for source in (clip.stream_a, clip.stream_b):
            expect(source.path.resolve().parent == folder.resolve(), f"a file elsewhere: {source.path}")
        parts = clip.clip_id.split("/")
        expect(len(parts) >= 3 and not {"", ".", ".."} & set(parts), f"an id that is no path: {clip.clip_id!r}")
    return "accepted"


def corrections(rng: random.Random, folder: Path, _: Path) -> str:
    """A list of corrections: every cell as it stands in the file."""
    try:
        from preprocessing.datasets.reading.corrections import COLUMNS, read_corrections
    except ImportError:
        from preprocessing.datasets.corrections import COLUMNS, read_corrections
    rows = [[f"casme2/sub01/EP{i}", "apex", str(i), str(i + 1), "a typing error"] for i in range(5)]
    path = folder / "corrections.csv"
    path.write_bytes(text_of(list(COLUMNS), rows, rng))
    found = read_corrections("casme2", str(path))[1]
    there = read_independently(path)
    read = [[getattr(one, column) for column in COLUMNS] for one in found]
    expect(read == [[row[column] for column in COLUMNS] for row in there], "other cells than in the file")
    return "accepted"


@functools.cache
def annotated(folder: Path) -> tuple[Path, dict[str, tuple[Any, ...]]]:
    """A small copy of CASME II in ``folder``, and what is read from it undamaged."""
    for subject, clip, onset in TABLE:
        place = folder / "CASME2_RAW_selected" / f"sub{subject}" / clip
        place.mkdir(parents=True, exist_ok=True)
        for number in range(onset, onset + 4):
            (place / f"img{number}.jpg").touch()
    write_book(folder / "CASME2-coding-20140508.xlsx", [])
    return folder, read_clips(folder)


TABLE = [(f"{1 + i // 2:02d}", f"EP{i:02d}_01f", 10 + i) for i in range(6)]
HEADER = ["Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units", "Estimated Emotion"]


def table_rows() -> list[list[Any]]:
    return [[s, c, "", on, on + 1, on + 3, "", "4", "disgust"] for s, c, on in TABLE]


def write_book(path: Path, changes: list[tuple[int, int, Any]]) -> None:
    """The annotation table with some cells changed."""
    import openpyxl

    rows = table_rows()
    for row, column, value in changes:
        rows[row][column] = value
    book = openpyxl.Workbook()
    for line in (HEADER, *rows):
        book.active.append(line)
    book.save(path)


def read_clips(folder: Path) -> dict[str, tuple[Any, ...]]:
    from preprocessing.datasets import DATASETS

    found = DATASETS["casme2"].clips(folder)[0]
    return {clip.clip_id: (clip.subject, clip.onset, clip.apex, clip.offset, clip.emotion) for clip in found}


def annotation(rng: random.Random, folder: Path, _: Path) -> str:
    """An annotation table: a cell changes its own clip alone; a damaged workbook has sums over its content."""
    from openpyxl.utils.exceptions import IllegalCharacterError

    root, right = annotated(folder / "casme2")
    path = root / "CASME2-coding-20140508.xlsx"
    touched: set[int] = set()
    damage = rng.random() < 0.5
    try:
        if damage:
            write_book(path, [])
            path.write_bytes(damaged(path.read_bytes(), rng))
        else:
            columns = (0, 1, 3, 4, 5, 7, 8)
            changes = [(rng.randrange(6), rng.choice(columns), cell(rng)) for _ in range(rng.choice((1, 2)))]
            touched = {row for row, *_ in changes}
            write_book(path, changes)
    except (IllegalCharacterError, ValueError):  # no spreadsheet holds this
        return "cannot be written"
    found = read_clips(root)
    if damage:
        expect(found == right, "another table out of a damaged workbook, which has sums")
        return "accepted"
    kept = {f"casme2/sub{s}/{c}" for i, (s, c, _) in enumerate(TABLE) if i not in touched}
    wrong = [name for name in kept if found.get(name) != right[name]]
    expect(not wrong, f"clips of rows that were not changed differ: {wrong[:2]}")
    return "accepted"


def cell(rng: random.Random) -> Any:
    """A cell as spreadsheets hold it: text, a number, a date, nothing."""
    import datetime

    return rng.choice((*CELLS, None, 0, -5, 3.7, 1e300, True, datetime.datetime(2020, 1, 2), 10**15))


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    """Leaves of a tree by dotted name."""
    if not isinstance(tree, dict):
        return {name: tree}
    return {k: v for key, inner in tree.items() for k, v in flat(inner, f"{name}.{key}" if name else key).items()}


@functools.cache
def settings() -> tuple[dict[str, type[Any]], str]:
    """All sections, and every setting with its default as TOML."""
    from experiments.config import all_sections, load_config

    return all_sections(), load_config(all_sections()).to_toml()


VALUES = (
    *(
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "true",
        '"x"',
        "[]",
        "[1, 2]",
        "{}",
        "9" * 400,
        "1.5",
        "''",
        "none",
        "[" * 2000,
    ),
    *("{a = 1}", "2026-01-01", "1_0", "0x10", "word", "", "=", "[[1], [2]]", "-0.0", "3", "8", '"""', "é", "\x00"),
)


def config(rng: random.Random, folder: Path, _: Path) -> str:
    """A file of settings: what it gives is what is used."""
    sections, whole = settings()
    lines = whole.splitlines()
    if rng.random() < 0.6:
        place = rng.choice([i for i, line in enumerate(lines) if "=" in line])
        lines[place] = f"{lines[place].partition('=')[0]}= {rng.choice(VALUES)}"
        content = "\n".join(lines).encode()
    else:
        content = damaged(whole.encode(), rng)
    path = folder / "config.toml"
    path.write_bytes(content)
    return used(sections, tomllib.loads, str(path), content, [])


def change(rng: random.Random, folder: Path, _: Path) -> str:
    """One ``--set``."""
    sections, whole = settings()
    names = list(flat(tomllib.loads(whole)))
    name, value = rng.choice(names), rng.choice(VALUES)
    text = f"{name}={value}"
    if rng.random() < 0.3:
        data = bytearray(text.encode())
        data[rng.randrange(len(data))] = rng.randrange(32, 127)
        text = data.decode("utf-8", "replace")
    return used(sections, None, None, b"", [text])


def used(sections: Any, parse: Any, source: str | None, content: bytes, changes: list[str]) -> str:
    from experiments.config import load_config

    found = load_config(sections, source, changes)
    resolved = flat(tomllib.loads(found.to_toml()))
    again = load_config(sections, None, [])
    expect(set(resolved) | set(flat(tomllib.loads(again.to_toml()))) >= set(resolved), "settings are lost")
    if source is not None:
        given = flat(parse(content.decode()))
        wrong = [k for k, v in given.items() if v != "none" and not same(resolved.get(k), v)]
        expect(not wrong, f"{wrong[:2]} are not what the file says")
    for text in changes:
        name, _, value = text.partition("=")
        name = name.strip()
        try:
            wanted = tomllib.loads(f"x = {value}")["x"]
        except tomllib.TOMLDecodeError:
            wanted = value.strip()
        if wanted != "none" and not isinstance(wanted, dict):
            expect(same(resolved.get(name), wanted), f"{text[:80]!r} became {resolved.get(name)!r}")
    return "accepted"


def same(one: Any, other: Any) -> bool:
    """Equal, also as a number with and without a fraction, or a number that stands for the word that it spells."""
    return one == other or str(one) == str(other) or (one != one and other != other)


@functools.cache
def trained(folder: Path) -> tuple[dict[str, Any], bytes]:
    """The description and the weights of a model."""
    return json.loads((folder / "model.json").read_text()), (folder / "model.safetensors").read_bytes()


ODD = (
    None,
    [],
    {},
    "x",
    "",
    0,
    -1,
    1,
    1.5,
    float("nan"),
    float("inf"),
    1e308,
    -1e308,
    True,
    [0, 0],
    [None],
    10**9,
    "../x",
)


def model(rng: random.Random, folder: Path, right: Path) -> str:
    """A model folder: damaged it is refused; described otherwise by somebody else it is refused or answers soundly."""
    from fusion_net.checkpoint import load

    try:
        from preprocessing.artefacts.files import key_of
    except ImportError:
        from preprocessing.cache import key_of

    description, weights = trained(right)
    place = folder / "model"
    place.mkdir(exist_ok=True)
    text, data, signed = json.dumps(description), weights, False
    match rng.randrange(4):
        case 0:
            data = damaged(weights, rng)
        case 1:
            text = damaged(text.encode(), rng).decode("latin-1")
        case _:
            signed = True
            changed = json.loads(text)
            put(changed, rng)
            changed.pop("digest", None)
            if "digest" in description:
                changed["digest"] = key_of(changed)
            text = json.dumps(changed)
    (place / "model.json").write_bytes(text.encode("latin-1", "replace"))
    (place / "model.safetensors").write_bytes(data)
    checkpoint = load(place)
    if not signed:
        expect(data == weights and json.loads(text) == description, "a damaged model")
        return "accepted"
    return answers(checkpoint)


def put(tree: Any, rng: random.Random) -> None:
    """Put an odd value at a random place of plain values."""
    places = []

    def walk(node: Any) -> None:
        inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in inside:
            places.append((node, key))
            walk(value)

    walk(tree)
    node, key = rng.choice(places)
    node[key] = rng.choice(ODD)


def answers(checkpoint: Any) -> str:
    """An accepted model answers with probabilities over different classes."""
    import torch

    from fusion_net.inference import predict
    from fusion_net.inputs import ClipTensors

    classes = tuple(checkpoint.model.classes)
    expect(len(set(classes)) == len(classes) and all(isinstance(name, str) for name in classes), f"classes {classes}")
    inputs = {one.name: torch.ones(2, *one.shape(checkpoint.size)) for one in checkpoint.model.inputs}
    data = ClipTensors(("a", "b"), ("a", "b"), torch.tensor([0, 0]), classes, inputs)
    table = predict(checkpoint.model, checkpoint.scaler(data), mirrored=checkpoint.mirrored)
    likely = table.filter(regex="^p_").to_numpy()
    expect(bool(abs(likely.sum(axis=1) - 1).max() < 1e-5), f"probabilities {likely.tolist()}")
    return "accepted"


CASES: dict[str, Case] = {
    "annotation tables": annotation,
    "streams tables": streams_table,
    "corrections": corrections,
    "prediction logs": log,
    "TOML": config,
    "--set": change,
    "model folders": model,
}
