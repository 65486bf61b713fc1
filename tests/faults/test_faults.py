"""Nothing wrong is ever taken for right: kills, damage, two commands at once, inputs of every kind that are damaged.

`make test` does a few faults of each kind, `make test-faults` the numbers that docs/reliability.md gives. FAULTS_SEED
draws others, FAULTS_KILLS, FAULTS_DAMAGES, FAULTS_PAIRS and FAULTS_INPUTS say how many, and FAULTS_CODE names another
checkout whose code is to be tested.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults import damages, fuzz, kills, pairs
from tests.faults.conftest import SEED
from tests.faults.machine import Machine, Tally
from tests.faults.world import MODEL, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, limits memory and looks for processes in /proc")

PARTS = range(4)
"""Each number is done in so many parts, which several processes can share."""
KINDS = {"kills": (kills.kill, 100), "damages": (damages.damage, 500), "pairs": (pairs.pair, 50)}


def part_of(name: str, number: int, part: int) -> int:
    """How many of a number are done in one part."""
    whole = int(os.environ.get(f"FAULTS_{name.upper()}", number))
    return whole // len(PARTS) + (part < whole % len(PARTS))


def no_fault(tally: Tally) -> None:
    assert not tally.wrong, "\n".join(tally.wrong)


@pytest.mark.parametrize(("kind", "number"), [("kills", 3), ("damages", 12), ("pairs", 1)])
def test_a_few(small_world: World, tmp_path: Path, kind: str, number: int) -> None:
    tally = KINDS[kind][0](small_world, tmp_path, number, SEED)
    assert tally.counts[kind] == number
    no_fault(tally)


def test_a_few_damaged_inputs(small_world: World, tmp_path: Path) -> None:
    for tally in fuzz.fuzz(small_world.machine, small_world.right / MODEL, tmp_path, 100, SEED).values():
        no_fault(tally)


@pytest.mark.faults
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_many(world: World, tmp_path: Path, tell: Any, kind: str, part: int) -> None:
    do, number = KINDS[kind]
    tally = do(world, tmp_path, part_of(kind, number, part), SEED * 1000 + part)
    tell(kind, part, tally)
    no_fault(tally)


@pytest.mark.faults
@pytest.mark.parametrize("part", PARTS)
def test_many_damaged_inputs(machine: Machine, world: World, tmp_path: Path, tell: Any, part: int) -> None:
    number = part_of("inputs", 10_000, part)
    found = fuzz.fuzz(machine, world.right / MODEL, tmp_path, number, SEED * 1000 + part)
    for kind, tally in found.items():
        tell(f"inputs, {kind}", part, tally)
    no_fault(Tally({}, [what for tally in found.values() for what in tally.wrong]))
