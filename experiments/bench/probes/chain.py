"""The offline chain: ms per frame of the whole and of its parts, one thread; its memory, and what it leaves on disk."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from dynamic_images.pipeline import StageSettings, build_clip
from preprocessing import pipeline
from preprocessing.datasets import synthetic
from preprocessing.faces import alignment

CLIPS = 4


def measure(root: Path, clips: int = CLIPS) -> dict[str, float]:
    """Build some clips of the corpus ``root`` and time it: ms per frame by part, MB at most, MB on disk per clip.

    The parts are timed where every build calls them, so that flow counts with reading crops and writing fields.
    """
    cv2.setNumThreads(1)
    chosen = synthetic.load(root)[:: max(1, len(synthetic.load(root)) // clips)][:clips]
    spent = {"flow": 0.0, "register": 0.0, "warp": 0.0}
    running: list[str] = []  # the part that is being timed: what it calls counts as its own
    kept = pipeline.measure_flow, alignment.RigidRegistration.__call__, alignment.warp
    replacements: dict[tuple[Any, str], Callable[..., Any]] = {
        (pipeline, "measure_flow"): _timed(kept[0], spent, running, "flow"),
        (alignment.RigidRegistration, "__call__"): _timed(kept[1], spent, running, "register"),
        (alignment, "warp"): _timed(kept[2], spent, running, "warp"),
    }
    with tempfile.TemporaryDirectory(prefix="mer-bench-") as name:
        build_clip(chosen[0], Path(name) / "warm-up", StageSettings())  # models are loaded once per process
        for (owner, attribute), timed in replacements.items():
            setattr(owner, attribute, timed)
        start, frames = time.perf_counter(), 0
        for clip in chosen:
            build_clip(clip, Path(name), StageSettings())
            frames += (clip.offset or 0) - clip.onset + 1
        whole = time.perf_counter() - start
        files = [path for path in (Path(name) / "clips").rglob("*") if path.is_file()]
        disk = sum(path.stat().st_size for path in files) / len(chosen) / 1e6
    for ((owner, attribute), _), before in zip(replacements.items(), kept, strict=True):
        setattr(owner, attribute, before)
    spent = {"whole chain": whole, **spent}
    return {part: 1e3 * seconds / frames for part, seconds in spent.items()} | {"disk": disk, "memory": _peak()}


def _peak() -> float:
    """Largest resident memory of this process, MB."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _timed(work: Callable[..., Any], spent: dict[str, float], running: list[str], part: str) -> Callable[..., Any]:
    """``work`` with its seconds added to ``spent[part]``, unless it runs inside a part that is timed."""

    def timed(*given: Any, **named: Any) -> Any:
        if running:
            return work(*given, **named)
        running.append(part)
        start = time.perf_counter()
        try:
            return work(*given, **named)
        finally:
            spent[part] += time.perf_counter() - start
            running.pop()

    return timed


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
