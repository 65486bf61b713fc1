"""Two commands at once in one folder: both end well, or one says why not, and nothing is a mix of both."""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from tests.faults.machine import Tally
from tests.faults.world import Bytes, World, contents, different, is_sentence

MODEL_PART = "runs/synthetic-afn/model"
CACHE = ("data", "cache")
RUN = ("data", "cache", "runs/synthetic-afn")
PREDICTED = ("data", "runs/predict", MODEL_PART)
IMAGES = ("temporal_ranked", "motion_intensity", "intensity", "order")


@dataclass(frozen=True)
class Pair:
    """Two commands, what they find, and which command then ends with which parts right.

    Attributes:
        given: parts of what is right that are there.
        gone: files that are taken away again: work that both want to do.
    """

    first: str
    second: str
    given: tuple[str, ...]
    gone: tuple[str, ...]
    last: str
    parts: tuple[str, ...]


CLIPS = "cache/synthetic/clips"
PAIRS = (
    Pair("dataset", "dataset", (), (), "dataset", ("data", CLIPS)),
    Pair(
        "dataset",
        "dataset",
        CACHE,
        ("data/synthetic/frames/s02", "data/synthetic/corpus.json", f"{CLIPS}/s01"),
        "dataset",
        CACHE,
    ),
    Pair("dataset", "other", CACHE, ("cache/synthetic/clips/s02",), "dataset", CACHE),
    Pair("other", "dataset", CACHE, (), "dataset", CACHE),
    Pair("other", "train", RUN, ("runs/synthetic-afn/folds",), "train", RUN),
    Pair("train", "train", RUN, ("runs/synthetic-afn/folds", "runs/synthetic-afn/predictions.csv"), "train", RUN),
    Pair("predict", "predict", ("data", MODEL_PART), (), "predict", PREDICTED),
    Pair("predict", "predict", PREDICTED, ("runs/predict/clips",), "predict", PREDICTED),
    Pair("inspect", "other", CACHE, ("cache/synthetic/sheets",), "inspect", ()),
    Pair("inspect", "inspect", CACHE, ("cache/synthetic/sheets",), "dataset", CACHE),
)


def pair(world: World, scratch: Path, number: int, seed: int) -> Tally:
    """``number`` pairs of commands, the second up to as much later as the first takes."""
    rng, tally = random.Random(f"pairs {seed}"), Tally()
    choices = PAIRS if world.trained else PAIRS[:2]
    for i in range(number):
        _one(world, choices[i % len(choices)], scratch / "pair", rng, tally)
    return tally


def _one(world: World, two: Pair, scratch: Path, rng: random.Random, tally: Tally) -> None:
    early = not any(part.startswith("runs") for part in (*two.given, *two.parts))
    folder = world.copy(scratch, *two.given, early=early)
    for name in two.gone:
        gone = folder / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    jobs = rng.choice((1, 1, 2))
    later = rng.choice((0, 0, rng.uniform(0, world.seconds.get(two.first, world.seconds["dataset"]))))
    both = []
    for word in (two.first, two.second):
        both.append(world.machine.start(folder, *world.words(word, jobs)))
        time.sleep(later if len(both) == 1 else 0)
    name = f"{two.first} and {two.second}"
    tally.add("pairs")
    tally.add(name)
    codes = []
    for command in both:
        code = world.machine.end(command, tally)
        codes.append(code)
        if code == 0:
            tally.add("commands that ended well")
        elif is_sentence(code, command.said):
            tally.add("commands that said why not")
        else:
            tally.fault("neither", f"{name}: rc {code}, {command.said[-500:]}")
        if two.first == two.second and code != 0 and two.first != "train":
            tally.add("of them with the same settings")
    _no_mix(world, folder, name, tally)
    if two.second == "train" and codes[1] == 0:
        _trained_right(world, folder, name, tally)
    code, said = world.run(folder, two.last, tally=tally)
    wrong = different(contents(folder, *two.parts), world.rights(*two.parts, early=early)) if two.parts else []
    if two.last == "train":
        wrong = [one for one in wrong if "/model/" not in one]
    if code != 0 or wrong:
        tally.fault(
            "silent wrong results", f"{name}, then {two.last}: rc {code}, {wrong[:4]} {said[-300:] if code else ''}"
        )
    else:
        tally.add("pairs after which the next command ended with the right bytes")
    shutil.rmtree(folder, ignore_errors=True)


def _no_mix(world: World, folder: Path, name: str, tally: Tally) -> None:
    """Images whose record is whole are those of one setting, in every file."""
    now = contents(folder, CLIPS)
    records = [one for one in now if one.endswith("/record.json")]
    for record in records:
        clip = record.removesuffix("record.json")
        own = _images(now, clip)
        if own not in (_images(world.early_bytes, clip), _images(world.other_bytes, clip)) and len(own) == len(IMAGES):
            tally.fault("silent wrong results", f"{name}: {clip} holds a mix")


def _images(of: Bytes, clip: str) -> Bytes:
    names = [f"{clip}{image}.npy" for image in IMAGES]
    return {name: of[name] for name in names if name in of}


def _trained_right(world: World, folder: Path, name: str, tally: Tally) -> None:
    part = "runs/synthetic-afn"
    wrong = different(contents(folder, part), world.rights(part))
    for file in (f"{part}/predictions.csv", f"{part}/metrics.json"):
        if file in wrong:
            tally.fault("silent wrong results", f"{name}: {file} is not what the settings give")
