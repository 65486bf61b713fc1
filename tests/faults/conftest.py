"""How many faults, where the results go, and the table at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.faults.machine import REPOSITORY, Machine, Tally
from tests.faults.world import World

OUT = REPOSITORY / "build" / "faults"
CODE = Path(os.environ.get("FAULTS_CODE", REPOSITORY)).resolve()
"""The code under test: this repository, or another checkout of it."""
SEED = int(os.environ.get("FAULTS_SEED", "0"))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The commands of the code under test."""
    machine = Machine(CODE, tmp_path_factory.mktemp("logs"))
    yield machine
    machine.close()


@pytest.fixture(scope="session")
def small_world(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two clips, and a model that was not judged."""
    return World(machine, tmp_path_factory.mktemp("small") / "right", clips=1, trained=False).make()


@pytest.fixture(scope="session")
def world(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Four clips with a run, a model and predictions; made once for all processes that test."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    world, kept = World(machine, base / "world" / "right"), base / "world.json"
    with FileLock(base / "world.lock"):
        if kept.is_file():
            for name, value in json.loads(kept.read_text()).items():
                setattr(world, name, value)
        else:
            world.make()
            facts = ("seconds", "bytes", "early_bytes", "other_bytes")
            kept.write_text(json.dumps({name: getattr(world, name) for name in facts}))
    return world


@pytest.fixture
def tell() -> Any:
    """Keep counts for the table at the end."""

    def keep(kind: str, part: int, tally: Tally) -> None:
        OUT.mkdir(parents=True, exist_ok=True)
        (OUT / f"{kind}-{part}.json").write_text(json.dumps(asdict(tally)))

    return keep


def pytest_sessionstart(session: pytest.Session) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ and OUT.is_dir() and "faults" in (session.config.option.markexpr or ""):
        for old in OUT.glob("*.json"):
            old.unlink()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ or config.option.markexpr != "faults":
        return
    sums: dict[str, Tally] = {}
    for path in sorted(OUT.glob("*.json")):
        found = json.loads(path.read_text())
        total = sums.setdefault(path.stem.rpartition("-")[0], Tally())
        for name, number in found["counts"].items():
            total.add(name, number)
        total.wrong += found["wrong"]
    for kind, tally in sums.items():
        terminalreporter.write_line(f"\n{kind}, seed {SEED}\n\n{tally}")
        for what in tally.wrong:
            terminalreporter.write_line(what)
