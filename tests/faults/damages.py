"""Files that change between two commands and keep their size: the next command makes them again, or refuses them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faults.machine import Tally
from tests.faults.world import MADE, MODEL, PARTS, Bytes, World, contents, different, is_sentence

Damage = Callable[[bytearray, random.Random], None]


def one_bit(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def many_bits(data: bytearray, rng: random.Random) -> None:
    for _ in range(1000):
        one_bit(data, rng)


def header(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(min(len(data), 80))] ^= 1 << rng.randrange(8)


def block_of_zeros(data: bytearray, rng: random.Random) -> None:
    length = min(4096, max(1, len(data) // 2))
    start = rng.randrange(len(data) - length + 1)
    data[start : start + length] = bytes(length)


def all_zeros(data: bytearray, _: random.Random) -> None:
    data[:] = bytes(len(data))


def halves_changed(data: bytearray, _: random.Random) -> None:
    half = len(data) // 2
    data[:] = data[half:] + data[:half]


DAMAGES: tuple[Damage, ...] = (one_bit, many_bits, header, block_of_zeros, all_zeros, halves_changed)


@dataclass(frozen=True)
class Round:
    """Damage to several files, then commands.

    Attributes:
        name: what is damaged and how it is looked for.
        files: (folder, random numbers) → files that are damaged at once, one of each clip, so that none is made again
            because of another.
        commands: what is run, and whether it must end with the bytes of the other settings.
        touched: the files look as if a program had changed them, else as if a disk had failed.
        early: on a corpus and a cache with which nothing was trained yet.
    """

    name: str
    files: Callable[[Path, random.Random], list[Path]]
    commands: tuple[tuple[str, tuple[str, ...]], ...]
    touched: bool = True
    early: bool = True


def of_each_clip(folder: Path, rng: random.Random) -> list[Path]:
    """Of each clip a file of its cache and one of its corpus, and a table of each."""
    found = []
    for clip in sorted((folder / CLIPS).glob("*/*")):
        corpus, inside = folder / "data/synthetic", f"{clip.parent.name}/{clip.name}"
        found.append(rng.choice(sorted(clip.iterdir())))
        drawn = (*(corpus / "frames" / inside).iterdir(),)
        found.append(rng.choice((rng.choice(sorted(drawn)), *(corpus / f"{p}/{inside}.{s}" for p, s in BESIDE))))
    corpus, cache = folder / "data/synthetic", folder / "cache/synthetic"
    tables = ((corpus / "annotation.csv", corpus / "corpus.json"), (cache / "manifest.csv", cache / "dataset.json"))
    return found + [rng.choice(two) for two in tables]


def that_images_are_made_of(folder: Path, rng: random.Random) -> list[Path]:
    """Of each clip what the last stage reads."""
    return [clip / f"{rng.choice(('crops', 'flow', 'landmarks'))}.npy" for clip in sorted((folder / CLIPS).glob("*/*"))]


def that_training_reads(folder: Path, rng: random.Random) -> list[Path]:
    """Of each clip an input of a network or a baseline."""
    names = ("temporal_ranked", "motion_intensity", "flow_grid")
    return [clip / f"{rng.choice(names)}.npy" for clip in sorted((folder / CLIPS).glob("*/*"))]


def of_a_run(folder: Path, rng: random.Random) -> list[Path]:
    """A file of each fold, a baseline, and some of the tables, numbers and the page."""
    run = folder / "runs/synthetic-afn"
    folds = [rng.choice(sorted(fold.iterdir())) for fold in sorted((run / "folds").iterdir())]
    files = sorted(path for path in run.iterdir() if path.is_file())
    return [*folds, rng.choice(sorted((run / "baselines").iterdir())), *rng.sample(files, 4)]


def of_a_model(folder: Path, rng: random.Random) -> list[Path]:
    """The weights or the description."""
    return [folder / MODEL / rng.choice(("model.safetensors", "model.json"))]


CLIPS = "cache/synthetic/clips"
BESIDE = (("truth", "npz"), ("drawn", "json"))
VERIFY = ("dataset", ("--verify",))
ROUNDS = (
    Round("changed by a program, then dataset", of_each_clip, (("dataset", ()),)),
    Round("changed by themselves, then dataset --verify", of_each_clip, (VERIFY,), touched=False),
    Round(
        "changed by themselves, then dataset under other settings",
        that_images_are_made_of,
        (("other", ()), VERIFY),
        touched=False,
    ),
    Round("changed by themselves, then train", that_training_reads, (("train", ()),), touched=False, early=False),
    Round("changed by a program, then train", of_a_run, (("train", ()),), early=False),
    *[Round("a model, then predict", of_a_model, (), early=False)] * 6,
)


def damage(world: World, scratch: Path, number: int, seed: int) -> Tally:
    """``number`` damages of the same size."""
    rng, tally, done = random.Random(f"damages {seed}"), Tally(), 0
    verifies = "--verify" in world.machine.run(world.right, "dataset", "--help")[1]
    rounds = [one for one in ROUNDS if (world.trained or one.early) and (verifies or VERIFY not in one.commands)]
    if world.trained:  # what is right was inspected too: an input that only pages show is taken away, and made by them
        rounds = [
            replace(one, commands=(*one.commands, ("inspect", ()))) if one.files is of_each_clip else one
            for one in rounds
        ]
    folders: dict[bool, Path] = {}
    while done < number:
        for one in rounds:
            if done >= number:
                break
            if one.early not in folders:
                parts = PARTS if one.early else MADE
                folders[one.early] = world.copy(scratch / f"damaged-{one.early}", *parts, early=one.early)
            game = Game(world, folders[one.early], one, rng, tally)
            done += game.play(number - done)
            if different(contents(game.folder), game.right()):
                del folders[one.early]
    return tally


@dataclass
class Game:
    """A round as it is played, and what became of each file."""

    world: World
    folder: Path
    round: Round
    rng: random.Random
    tally: Tally

    def play(self, most: int) -> int:
        """Returns how many files were damaged."""
        paths = [path for path in self.round.files(self.folder, self.rng) if path.exists()]  # older code has fewer
        paths = self.rng.sample(paths, min(most, len(paths)))
        names = [path.relative_to(self.folder).as_posix() for path in paths]
        for path in paths:
            harm(path, self.rng, self.round.touched)
        self.tally.add("damages", len(names))
        self.tally.add(self.round.name, len(names))
        for name in names:
            self.tally.add(f"of {kind_of(name)}")
        if self.round.commands:
            self._mended(names)
        else:
            self._refused(names)
        return len(names)

    def right(self) -> Bytes:
        """What the folder must hold."""
        return self.world.rights(*(PARTS if self.round.early else MADE), early=self.round.early)

    def _refused(self, names: list[str]) -> None:
        code, said = self.world.run(self.folder, "predict", tally=self.tally)
        if is_sentence(code, said):
            self.tally.add("refused in a sentence", len(names))
        else:
            self._silent(names, f"rc {code}, {said[-200:]}")

    def _mended(self, names: list[str]) -> None:
        for command, more in self.round.commands:
            code, said = self.world.run(self.folder, command, *more, tally=self.tally)
            if is_sentence(code, said):
                self.tally.add("refused in a sentence", len(names))
                self._no_dead_end(names, command)
                return
            unfinished = command != "inspect" and self.round.commands[-1][0] == "inspect"
            wrong = [] if unfinished else self._wrong(command == "other")
            if code != 0 or wrong:
                self._silent(
                    [n for n in names if n in wrong] or names, f"then {command}: rc {code}, {wrong[:3]} differ"
                )
                return
        self.tally.add("made again to the byte", len(names))

    def _wrong(self, other: bool) -> list[str]:
        now = contents(self.folder)
        if not other:
            return different(now, self.right())
        right = self.world.rights(CLIPS, other=True)
        return [name for name in right if name.endswith(IMAGES) and now.get(name) != right[name]]

    def _no_dead_end(self, names: list[str], command: str) -> None:
        """What one command refuses, another one must mend."""
        self.world.run(self.folder, *VERIFY[:1], *VERIFY[1], tally=self.tally)
        code, said = self.world.run(self.folder, command, tally=self.tally)
        if code != 0:
            self.tally.fault("dead ends", f"{names}: {said[-300:]}")

    def _silent(self, names: list[str], what: str) -> None:
        for name in names:
            self.tally.fault("silent wrong results", f"{name}: {what}")


IMAGES = ("temporal_ranked.npy", "motion_intensity.npy", "intensity.npy", "order.npy", ".png")


def kind_of(name: str) -> str:
    """What a file is called in the table."""
    *_, last = name.split("/")
    suffix = last.rpartition(".")[2]
    if name.startswith("data/"):
        return (
            "corpus: jpeg"
            if suffix == "jpg"
            else f"corpus: {last if suffix == 'csv' or last == 'corpus.json' else suffix}"
        )
    if name.startswith("cache/"):
        return f"cache: {'png' if suffix == 'png' else last}"
    part = name.removeprefix("runs/synthetic-afn/").split("/")[0]
    return f"{part}: {last}" if part in ("model", "folds") else f"run: {'baselines' if part == 'baselines' else last}"


def harm(path: Path, rng: random.Random, touched: bool) -> None:
    """Change a file and keep its size; with ``touched`` its time says so."""
    before, data = path.stat(), path.read_bytes()
    changed = bytearray(data)
    rng.choice(DAMAGES)(changed, rng)
    if changed == data:
        one_bit(changed, rng)
    if changed == data:
        changed[0] ^= 1
    path.write_bytes(changed)
    if not touched:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))
