"""Cache folders that are made of others: which data set's clips lie where.

Clips of several data sets need folders of their own, since two may call a subject alike. ``members.json`` in the folder
that stands for all of them says where each lies: in it (``casme2``), or beside it (``../casme2``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from preprocessing.artefacts.files import write_text
from preprocessing.errors import ToolkitError

MEMBERS = "members.json"


def read_members(cache: Path) -> dict[str, str]:
    """Data set → the cache folder of its clips, relative to ``cache``; empty where ``cache`` holds its own clips.

    Raises:
        ToolkitError: the list of members is damaged, or names a folder that is neither in ``cache`` nor beside it.
    """
    path = cache / MEMBERS
    try:
        members = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ToolkitError(f"{path} is no list of folders ({error}): run `mer dataset {cache.name}` again") from error
    if not isinstance(members, dict):
        raise ToolkitError(f"{path} is no list of folders: run `mer dataset {cache.name}` again")
    for name, folder in members.items():
        if not isinstance(folder, str) or not _is_near(folder):
            raise ToolkitError(
                f"{path}: the folder of {name} is {folder!r}, wanted one in {cache.name} or ../ and one beside it; run "
                f"`mer dataset {cache.name}` again"
            )
    return dict(members)


def write_members(cache: Path, members: Mapping[str, str]) -> None:
    """Say that ``cache`` is made of other folders, or with an empty mapping that it is not."""
    if members:
        write_text(cache / MEMBERS, json.dumps(dict(members), indent=1) + "\n")
    else:
        (cache / MEMBERS).unlink(missing_ok=True)


def _is_near(folder: str) -> bool:
    parts = folder.split("/")
    inside = parts[1:] if parts[0] == ".." else parts
    plain = all(part not in ("", ".", "..") for part in inside) and not set(folder) & set("\\:\0")
    return plain and bool(inside) and (parts[0] != ".." or len(inside) == 1)
