"""Damaged inputs of every kind, read in forked children under a limit of memory and time."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from tests.faults.machine import Machine, Tally

SHARES = {
    "pictures": 18,
    "sequences": 10,
    "videos": 10,
    "annotation tables": 10,
    "streams tables": 10,
    "corrections": 6,
    "prediction logs": 10,
    "TOML": 8,
    "--set": 8,
    "model folders": 10,
}
"""Percent of the cases."""
IN_ONE = 250
"""Cases that one child reads."""
PATIENCE = 60.0
"""Seconds without a result after which a child is ended: its own alarm did not come through."""


def fuzz(machine: Machine, model: Path, scratch: Path, number: int, seed: int) -> dict[str, Tally]:
    """``number`` damaged inputs, by kind."""
    tallies = {}
    for kind, share in SHARES.items():
        tallies[kind] = tally = Tally()
        count = max(1, number * share // 100)
        for first in range(0, count, IN_ONE):
            _child(machine, model, scratch, kind, first, min(count, first + IN_ONE), seed, tally)
    return tallies


def _child(
    machine: Machine, model: Path, scratch: Path, kind: str, first: int, last: int, seed: int, tally: Tally
) -> None:
    """Cases of one kind; a child that dies or hangs is told and followed by another one."""
    while first < last:
        folder, results = scratch / "fuzz", scratch / "fuzz.jsonl"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        results.unlink(missing_ok=True)
        cases = {"kind": kind, "first": first, "last": last, "seed": seed}
        command = machine.start(
            folder, cases=cases | {"folder": str(folder), "model": str(model), "results": str(results)}, limited=True
        )
        code, seen = None, -1
        while code is None:
            code = machine.wait(command, PATIENCE)
            size = results.stat().st_size if results.exists() else 0
            if code is None and size == seen:
                command.signal(signal.SIGKILL, group=True)
                code = machine.wait(command, 30) or -9
            seen = size
        done = _count(results, kind, tally)
        if first + done < last:
            tally.add("cases")
            name = "hangs" if code == -signal.SIGKILL else "crashes"
            tally.fault(
                name, f"{kind} {first + done}, seed {seed}: the process ended with {code}: {command.said[-800:]}"
            )
            done += 1
        first += done
        shutil.rmtree(folder, ignore_errors=True)


def _count(results: Path, kind: str, tally: Tally) -> int:
    done = 0
    for line in results.read_text().splitlines() if results.exists() else ():
        found = json.loads(line)
        if "ended" not in found:
            continue
        done += 1
        tally.add("cases")
        if found["outcome"] in ("accepted", "a rejected row", "refused in a sentence", "cannot be written"):
            tally.add(found["outcome"])
        else:
            tally.fault(found["outcome"], f"{kind} {found['ended']}: {found['what']}")
    return done
