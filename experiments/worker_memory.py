"""What a worker of the offline stages weighs; imports nothing but what such a worker does, torch least of all."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from dynamic_images.pipeline import StageSettings, build_clip
from preprocessing.clips import Clip


def build_and_weigh(clip: Clip, folder: Path, settings: StageSettings) -> float:
    """All stages of a clip, then `peak_memory`."""
    build_clip(clip, folder, settings)
    return peak_memory()


def peak_memory() -> float:
    """Largest resident memory of this process so far, MB."""
    peak = _status("VmHWM")  # ru_maxrss of a spawned process may still count its parent
    if peak is not None:
        return peak
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def resident_memory() -> float:
    """Resident memory of this process now, MB; where the system does not say, the largest so far."""
    now = _status("VmRSS")
    return peak_memory() if now is None else now


def _status(name: str) -> float | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024
