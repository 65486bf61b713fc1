"""Write a file whole or not at all, and hash settings into a key."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from preprocessing.artefacts.plain import plain


def key_of(*parts: Any) -> str:
    """Stable hash of settings, versions, digests and other keys (dataclasses, dicts, plain values)."""
    text = json.dumps([plain(part) for part in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8", newline="")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
