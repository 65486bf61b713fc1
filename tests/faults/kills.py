"""Commands that are killed at random moments: the next one ends with the right bytes, whatever was stopped where."""

from __future__ import annotations

import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.machine import Command, Tally
from tests.faults.world import World, contents, different

EACH = 10
"""Kills in a chain, before the undisturbed run."""
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
LAST_WORDS = {"dataset": "manifest.csv", "train": "report.html", "predict": "predictions.html"}
"""What stands in the last line of a command that has done its work."""


@dataclass(frozen=True)
class Chain:
    """A command that is killed again and again, and what it is started with."""

    command: str
    jobs: int
    given: tuple[str, ...]
    made: tuple[str, ...]


CHAINS = (
    Chain("dataset", 1, (), ("data", "cache/synthetic/clips")),
    Chain("dataset", 2, (), ("data", "cache/synthetic/clips")),
    Chain(
        "train",
        1,
        ("data", "cache/synthetic", "cache/synthetic-still"),
        ("data", "cache/synthetic", "runs/synthetic-afn"),
    ),
    Chain("train", 2, ("data", "cache/synthetic"), ("data", "cache", "runs/synthetic-afn")),
    Chain("predict", 1, ("data", MODEL := "runs/synthetic-afn/model"), ("runs/predict", MODEL)),
    Chain("predict", 2, ("data", MODEL), ("runs/predict", MODEL)),
)


def kill(world: World, scratch: Path, number: int, seed: int) -> Tally:
    """``number`` kills in chains of `EACH`."""
    rng, tally, chains, done = random.Random(f"kills {seed}"), Tally(), 0, 0
    choices = CHAINS if world.trained else CHAINS[:2]
    while done < number:
        chain = choices[chains % len(choices)]
        folder = world.copy(scratch / "killed", *chain.given)
        for _ in range(min(EACH, number - done)):
            _one(world, chain, folder, rng, tally)
            done += 1
        _undisturbed(world, chain, folder, rng, tally)
        chains += 1
        shutil.rmtree(folder, ignore_errors=True)
    tally.add("chains", chains)
    return tally


def _one(world: World, chain: Chain, folder: Path, rng: random.Random, tally: Tally) -> None:
    number = rng.choice(list(CODES))
    target = rng.choice(("parent", "group", "worker") if chain.jobs > 1 else ("parent", "group"))
    fresh = rng.random() < 0.25
    moment = rng.uniform(0, world.seconds[chain.command] * (1.3 if fresh else 1))
    command = world.machine.start(folder, *world.words(chain.command, chain.jobs), fresh=fresh)
    if fresh:
        _until_python_runs(command)
    code = world.machine.wait(command, moment)
    hit = "ended before"
    if code is None:
        hit = _send(command, number, target)
    tally.add("kills")
    tally.add(f"{signal.Signals(number).name}")
    tally.add(f"of {hit}")
    tally.add("while libraries load or later, a fresh process" if fresh else "of a process that was loaded")
    code = world.machine.end(command, tally)
    fine = {0, 1} if hit == "one worker" else {CODES[signal.Signals(number)], 0}
    if LAST_WORDS[chain.command] in command.said:  # all is done, and Python has taken its signals back
        fine.add(-number)
    if code not in fine and code is not None:
        tally.fault("wrong exit code", f"{code} after {number} to {hit} of {chain}: {command.said[-500:]}")
    if code not in (0, -9, None) and not command.said.strip():
        tally.fault("no word", f"{code} after {number} to {hit} of {chain}")


def _send(command: Command, number: int, target: str) -> str:
    if target == "worker":
        workers = _workers(command.pid)
        if workers:
            command_of_worker = Command(workers[0], command.log, command.words)
            command_of_worker.signal(number)
            return "one worker"
        target = "parent"
    command.signal(number, group=target == "group")
    return f"the {target}"


def _workers(parent: int) -> list[int]:
    """Worker processes of a command; not the one that keeps watch over them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            its_parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if its_parent == parent and b"popen_loky" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


def _until_python_runs(command: Command) -> None:
    """Wait until the process has asked for SIGTERM: before its first own line Python itself answers signals."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{command.pid}/status").read_text()
        except OSError:
            return
        caught = int(next((line for line in status.splitlines() if line.startswith("SigCgt")), "S: 0").split()[1], 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def _undisturbed(world: World, chain: Chain, folder: Path, rng: random.Random, tally: Tally) -> None:
    code, said = world.run(folder, chain.command, jobs=rng.choice((1, 2)), tally=tally)
    wrong = different(contents(folder, *chain.made), world.rights(*chain.made, early=chain.command == "dataset"))
    if chain.command == "train":
        wrong = [name for name in wrong if not name.startswith("runs/synthetic-afn/model/") and "/sheets/" not in name]
    if code != 0 or wrong:
        tally.fault("chains that ended otherwise", f"{code} {chain}: {wrong[:5]} {said[-500:] if code else ''}")
    else:
        tally.add("chains that ended with the right bytes")
