"""What the record of a clip says of a stage: read from `record.json` only if it is whole and safe to act on.

A stage's part of the record carries a digest over itself, so that a changed number is noticed like a changed file. A
part that is damaged, of an older form, or that names a file outside of the clip's folder does not count: the stage is
then undone and is made again. The facts beside the stages (clip, input, libraries) carry a digest too: where they were
changed, nothing in the record counts.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preprocessing.artefacts.files import digest, is_scratch

RECORD = "record.json"
DIGEST = "digest"


@dataclass(frozen=True)
class Mark:
    """Size in bytes and digest of a file when it was written."""

    size: int
    digest: str

    @classmethod
    def of(cls, path: Path) -> Mark:
        """The mark of a file as it is now."""
        return cls(path.stat().st_size, digest(path))


@dataclass
class Entry:
    """What one stage left behind.

    Attributes:
        key: of settings, input and versions; empty while the stage is undone.
        settings: of the stage.
        files: name → mark of every file that the stage wrote.
        result: numbers for the manifest.
        inputs: name → digest of every file of an earlier stage that this one was made from.
    """

    key: str
    settings: dict[str, Any]
    files: dict[str, Mark] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)


def stored(stage: str, entry: Entry) -> dict[str, Any]:
    """An entry as the record holds it, with the digest over it."""
    content = dataclasses.asdict(entry)
    return content | {"digest": _check(stage, content)}


def parsed(stage: str, found: object) -> Entry | None:
    """The entry that `stored` made, or None if it is not one, was changed, or names files that it may not."""
    if not isinstance(found, dict):
        return None
    content = {name: value for name, value in found.items() if name != "digest"}
    if set(content) != {f.name for f in dataclasses.fields(Entry)} or not _is_unchanged(stage, found, content):
        return None
    mappings = [content[name] for name in ("settings", "files", "result", "inputs")]
    if not isinstance(content["key"], str) or not all(isinstance(value, dict) for value in mappings):
        return None
    marks = {name: _mark(value) for name, value in content["files"].items()}
    names = [*marks, *content["inputs"]]
    if None in marks.values() or not all(map(is_bare_name, names)):
        return None
    return Entry(**{**content, "files": marks})


def is_bare_name(name: str) -> bool:
    """Whether a name is that of a file in a folder, on every system: no path, nothing hidden that we use ourselves."""
    hidden = name == RECORD or name.startswith(".lock") or is_scratch(name)
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\:\0") and not hidden


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a folder, or an empty one if there is none that parses (then nothing counts as done)."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {"stages": {}}
    whole = isinstance(record, dict) and isinstance(record.get("stages"), dict)
    return record if whole and record.get(DIGEST) == _check_facts(record) else {"stages": {}}


def as_text(record: Mapping[str, Any]) -> str:
    """A record as it is written: without parts that do not count, with the digest over its facts."""
    stages = {stage: found for stage, found in record["stages"].items() if parsed(stage, found) is not None}
    content = {**record, "stages": stages, DIGEST: _check_facts(record)}
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _check_facts(record: Mapping[str, Any]) -> str:
    facts = {name: value for name, value in record.items() if name not in ("stages", DIGEST)}
    return digest(json.dumps(facts, sort_keys=True).encode())


def _mark(value: object) -> Mark | None:
    if not isinstance(value, dict) or set(value) != {"size", "digest"}:
        return None
    return Mark(**value) if type(value["size"]) is int and isinstance(value["digest"], str) else None


def _is_unchanged(stage: str, found: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    try:
        return bool(found.get("digest") == _check(stage, content))
    except RecursionError:  # brackets within brackets
        return False


def _check(stage: str, content: Mapping[str, Any]) -> str:
    return digest(json.dumps([stage, content], sort_keys=True).encode())
