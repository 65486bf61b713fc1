"""Two commands as they are typed: seconds of `mer --help`, and of `mer train` when all is done."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

TINY = """
[corpus]
subjects = 3
clips_per_subject = 2
width = 200
height = 200
fps = 60.0
lead_in = 2
tail = 2
[faces]
size = 64
[evaluation]
seeds = 1
input_size = 32
[fit]
epochs = 2
"""


def measure(folder: Path) -> dict[str, float]:
    """Both commands in ``folder``, where a run is made first; seconds of the whole process."""
    settings = folder / "tiny.toml"
    settings.write_text(TINY, encoding="utf-8")
    train = ["train", "synthetic", "--config", str(settings), "--jobs", "1"]
    _seconds(folder, train)
    _seconds(folder, ["--help"])  # files are in memory from here on
    return {"help": _seconds(folder, ["--help"]), "done": _seconds(folder, train)}


def _seconds(folder: Path, words: list[str]) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-P", "-m", "experiments", *words]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(Path.cwd())))
