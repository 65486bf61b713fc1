"""Replace an artefact in a way that its record vouches for, for tests of what reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.artefacts.clip_folder import ClipFolder
from preprocessing.artefacts.record import Entry
from preprocessing.artefacts.stacks import CROPS, write_stack


def overwrite(folder: ClipFolder, name: str, content: NDArray[Any] | bytes) -> None:
    """The file ``name`` holds ``content``, as if its stage had written that."""
    found = {stage: folder.entry(stage) for stage in folder.record()["stages"]}
    stage, entry = next((stage, one) for stage, one in found.items() if one is not None and name in one.files)
    files = {file: (folder / file).read_bytes() for file in entry.files if file != name}
    with folder.writing(stage, Entry(entry.key, entry.settings, {}, entry.result, entry.inputs)) as scratch:
        for file, data in files.items():
            (scratch / file).write_bytes(data)
        if isinstance(content, bytes):
            (scratch / name).write_bytes(content)
        else:
            write_stack(scratch / name, content) if name == CROPS else np.save(scratch / name, content)
