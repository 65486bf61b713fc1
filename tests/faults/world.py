"""What faults are done to: a corpus, a cache, a run, a model and predictions, small, and the bytes that are right."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.machine import Machine, Tally

CORPUS = (
    *("--config", "quick", "--set", "corpus.width=320", "--set", "corpus.height=240", "--set", "corpus.fps=60"),
    *("--set", "corpus.lead_in=2", "--set", "corpus.tail=2", "--set", "corpus.subjects=2", "--set", "faces.size=64"),
)
TRAINING = (
    *("--set", "evaluation.input_size=32", "--set", "fit.epochs=1", "--set", "afn.widths=[8]", "--set", "afn.grid=1"),
)
OTHER = ("--set", "images.weights=linear")
"""Other settings of the last stage: they are made from the crops and the flow that are there."""
MODEL = "runs/synthetic-afn/model"
PARTS = ("data", "cache")
MADE = ("data", "cache", "runs")

Bytes = dict[str, str]
"""File → digest, relative to a folder."""


def contents(folder: Path, *parts: str) -> Bytes:
    """Digests of all files below some parts of a folder, hidden ones too."""
    found = {}
    for part in parts or MADE:
        for path in sorted((folder / part).rglob("*")):
            if path.is_file():
                digest = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
                found[path.relative_to(folder).as_posix()] = digest
    return found


def different(one: Bytes, other: Bytes) -> list[str]:
    """Files that are not in both with the same bytes."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def is_sentence(code: int | None, said: str) -> bool:
    """Whether a command ended with an error in words."""
    return code in (1, 2) and re.search(r"^(error|usage|╭─ error)", said.strip().lower(), re.MULTILINE) is not None


@dataclass
class World:
    """The commands and what they leave undisturbed.

    Attributes:
        machine: runs them.
        right: a folder in which everything was made undisturbed.
        clips: of each of two subjects.
        trained: whether there are a run and predictions, not only data, cache and model.
        seconds: how long each command took there.
    """

    machine: Machine
    right: Path
    clips: int = 2
    trained: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    def words(self, command: str, jobs: int = 1, *more: str) -> tuple[str, ...]:
        """A command by name; ``other`` is ``dataset`` with other settings, ``final`` is ``train --final``."""
        each = (*CORPUS, "--set", f"corpus.clips_per_subject={self.clips}")
        end = (*more, "--jobs", str(jobs))
        match command:
            case "other":
                return ("dataset", "synthetic", *each, *OTHER, *end)
            case "train":
                return ("train", "synthetic", *each, *TRAINING, *end)
            case "final":
                return (
                    "train",
                    "synthetic",
                    *each,
                    *TRAINING,
                    "--final",
                    *(() if self.trained else ("--no-judge",)),
                    *end,
                )
            case "predict":
                return ("predict", "data/synthetic/frames/s01", "--model", MODEL, *end)
            case _:
                return (command, "synthetic", *each, *end)

    def run(
        self, folder: Path, command: str, *more: str, jobs: int = 1, tally: Tally | None = None
    ) -> tuple[int | None, str]:
        """A command from beginning to end."""
        return self.machine.run(folder, *self.words(command, jobs, *more), tally=tally)

    def make(self) -> World:
        """Make what is right, and beside it what is right under the other settings."""
        self.right.mkdir(parents=True, exist_ok=True)
        for command in (
            "dataset",
            *(("inspect",) if self.trained else ()),
            "final",
            *(("train", "predict") if self.trained else ()),
        ):
            start = time.monotonic()
            code, said = self.run(self.right, command)
            assert code == 0, said
            self.seconds[command] = time.monotonic() - start
            if command == ("inspect" if self.trained else "dataset"):  # training adds inputs to the cache
                self.early_bytes = contents(self.right, *PARTS)
                shutil.copytree(self.right, self.right.with_name("early"))
        self.bytes = contents(self.right)
        other = self.copy(self.right.with_name("other"), *PARTS, early=True)
        code, said = self.run(other, "other")
        assert code == 0, said
        self.other_bytes = contents(other, *PARTS)
        return self

    def copy(self, to: Path, *parts: str, early: bool = False) -> Path:
        """A folder with parts of what is right; ``early``: before anything was trained."""
        source = self.right.with_name("early") if early else self.right
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        for part in parts:
            shutil.copytree(source / part, to / part)
        return to

    def rights(self, *parts: str, other: bool = False, early: bool = False) -> Bytes:
        """The right bytes of some parts; ``early``: before anything was trained."""
        of = self.other_bytes if other else self.early_bytes if early else self.bytes
        return {name: digest for name, digest in of.items() if name.startswith(tuple(f"{part}/" for part in parts))}
