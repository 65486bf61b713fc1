"""Train the weights that are shipped, on made-up motion alone (``mer weights``).

One stream with a head for each task: the three classes of MEGC2019, the five of CASME II, and every action unit with
its side. Nothing here has seen a face, real or drawn. Generator, recipes and everything else were fixed before any
result on the corpus with seed 0, on the corpus with seed 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dynamic_images.build import ImageSettings
from dynamic_images.inputs import use
from dynamic_images.made_up import VERSION, MadeUp, MadeUpSettings, People, draw, recipes
from dynamic_images.pipeline import StageSettings
from experiments.progress import Progress
from experiments.runs.run import library_versions
from fusion_net.augment import mirror
from fusion_net.checkpoint import Checkpoint, save
from fusion_net.inputs import Scaler
from fusion_net.models.contract import new_model
from fusion_net.models.motion_net import SHIPPED, MotionNet, MotionNetSettings, centred
from preprocessing.artefacts.files import key_of, write_text
from preprocessing.artefacts.plain import plain
from preprocessing.optical_flow import FlowSettings
from preprocessing.pipeline import FaceSettings
from preprocessing.synthetic.action_units import CODES
from preprocessing.workers import unordered

INPUT = "apex_strain_face"
TASKS = ("3", "5", "units")
CHUNK = 2000
"""Clips that are made up at once, by people of their own."""
PERMUTED = "motion_permuted"
Made = Mapping[str, MadeUp]
"""Task → its clips."""
Scale = tuple[float, ...]
"""Of u, v and strain."""


@dataclass(frozen=True)
class WeightSettings:
    """How the shipped weights are trained.

    Attributes:
        clips: made-up clips of each task.
        held_out: further ones, of other people, that say how well it was learnt and how sure the answers may be.
        epochs: passes over them.
        batch: clips of each task in a step.
        rate: largest learning rate.
        decay: weight decay.
        smoothing: of the targets.
        people: in each chunk of `CHUNK` clips.
        seed: of everything.
        permuted: labels in another order: weights that know motion and no class.
        motion: how it is made up.
    """

    clips: int = 16_000
    held_out: int = 2_000
    epochs: int = 12
    batch: int = 128
    rate: float = 2e-3
    decay: float = 0.02
    smoothing: float = 0.1
    people: int = 60
    seed: int = 7
    permuted: bool = False
    motion: MadeUpSettings = field(default_factory=MadeUpSettings)


class Heads(nn.Module):
    """The stream of `MotionNet` with a linear layer per task."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        body = new_model(MotionNet, MotionNetSettings(), ("a",), seed, (use(INPUT),))
        assert isinstance(body, MotionNet)
        self.stream, self.dropout = body.stream, body.dropout
        sizes = {"3": len(recipes("3")), "5": len(recipes("5")), "units": len(CODES)}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleDict({t: nn.Linear(MotionNetSettings().features, n) for t, n in sizes.items()})

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Scaled maps (B, 3, S, S) to logits."""
        found: Tensor = self.heads[task](self.dropout(self.stream(centred(x))))
        return found


def train(settings: WeightSettings, out: Path, jobs: int, progress: Progress) -> dict[str, Any]:
    """Make up the motion, train, and write one model folder per task below ``out``; what was learnt, in numbers."""
    torch.set_num_threads(1)
    with progress("making up motion") as step:
        made = _make(settings, jobs, step)
    rms = np.sqrt((made["3"].maps ** 2).mean(axis=(2, 3)))
    vector, strain = float(np.median(np.hypot(rms[:, 0], rms[:, 1]) / math.sqrt(2))), float(np.median(rms[:, 2]))
    scale = (round(vector, 6), round(vector, 6), round(strain, 6))
    model = Heads(settings.seed)
    with progress("training") as step:
        _fit(model, made, scale, settings, step)
    found = _judge(model, made, scale, settings)
    _write(model, found, scale, settings, out)
    return found


def _make(settings: WeightSettings, jobs: int, step: Any) -> dict[str, MadeUp]:
    """Training clips of each task, then those that are held out, in one array each."""
    chunks = math.ceil((settings.clips + settings.held_out) / CHUNK)
    tasks = [(settings, task, chunk) for task in TASKS for chunk in range(chunks)]
    found: dict[tuple[str, int], MadeUp] = {}
    for task, chunk, clips in unordered(made_chunk, tasks, jobs):
        found[task, chunk] = clips
        step(len(found), len(tasks), f"{task} {chunk}")
    joined = {}
    for task in TASKS:
        parts = [found[task, chunk] for chunk in range(chunks)]
        joined[task] = MadeUp(
            np.concatenate([p.maps for p in parts]),
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.units for p in parts]),
        )
    return joined


def made_chunk(settings: WeightSettings, task: str, chunk: int) -> tuple[str, int, MadeUp]:
    """One chunk of clips, by people of its own."""
    rng = np.random.default_rng([settings.seed, TASKS.index(task), chunk])
    people = People(settings.people, rng, settings.motion)
    scheme = "3" if task == "units" else task
    return task, chunk, draw(CHUNK, people, rng, scheme, settings.motion, units=task == "units")


def _fit(model: Heads, made: Made, scale: Scale, settings: WeightSettings, step: Any) -> None:
    steps = settings.epochs * (settings.clips // settings.batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, steps)
    batches = {task: _batches(made[task], task, scale, settings) for task in TASKS}
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for at in range(steps):
            losses = []
            for task in TASKS:
                x, target = next(batches[task])
                logits = model(x, task)
                if task == "units":
                    losses.append(F.binary_cross_entropy_with_logits(logits, target) * 3)
                else:
                    losses.append(F.cross_entropy(logits, target, label_smoothing=settings.smoothing))
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
            schedule.step()
            step(at + 1, steps, f"loss {float(torch.stack(losses).detach().sum()):.3f}")
    model.eval()


def _batches(made: MadeUp, task: str, scale: Scale, settings: WeightSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """Scaled maps and targets, half of the clips mirrored, in another order in every epoch."""
    rng = np.random.default_rng([settings.seed, 99, TASKS.index(task)])
    target = _targets(made, task)[: settings.clips]
    if settings.permuted:
        target = target[rng.permutation(len(target))]
    turned = target[:, _other_sides()] if task == "units" else target
    divisor = torch.tensor(scale)[:, None, None]
    while True:
        order = rng.permutation(settings.clips)
        for first in range(0, settings.clips - settings.batch + 1, settings.batch):
            rows = order[first : first + settings.batch]
            x = torch.from_numpy(made.maps[rows]) / divisor
            flip = torch.from_numpy(rng.random(len(rows)) < 0.5)
            x = torch.where(flip[:, None, None, None], mirror(x, "flow"), x)
            y = torch.where(flip[:, None] if task == "units" else flip, turned[rows], target[rows])
            yield x, y


def _targets(made: MadeUp, task: str) -> Tensor:
    return torch.from_numpy((made.units > 0).astype(np.float32) if task == "units" else made.labels)


def _other_sides() -> list[int]:
    """Index of each code's mirror image: 12L and 12R."""
    return [CODES.index(code[:-1] + {"L": "R", "R": "L"}[code[-1]]) for code in CODES]


@torch.no_grad()
def _judge(model: Heads, made: Made, scale: Scale, settings: WeightSettings) -> dict[str, Any]:
    """On held-out made-up clips: accuracy, or F1 of units, and the temperature that makes answers as sure as right."""
    found: dict[str, Any] = {"scale": list(scale)}
    for task in TASKS:
        held = slice(settings.clips, settings.clips + settings.held_out)
        x = torch.from_numpy(made[task].maps[held]) / torch.tensor(scale)[:, None, None]
        logits = torch.cat([model(part, task) for part in x.split(500)])
        target = _targets(made[task], task)[held]
        if task == "units":
            right = ((logits > 0).float() == target).float().mean()
            positive, told = target.sum(), (logits > 0).float()
            hits = (told * target).sum()
            found[task] = {"accuracy": float(right), "f1": float(2 * hits / (told.sum() + positive))}
        else:
            found[task] = {"accuracy": float((logits.argmax(1) == target).float().mean())}
        found[task]["temperature"] = _temperature(logits, target, task)
    return found


def _temperature(logits: Tensor, target: Tensor, task: str) -> float:
    """The divisor of logits with the smallest loss (Guo et al., ICML 2017, arXiv:1706.04599)."""
    values = np.exp(np.linspace(math.log(0.3), math.log(4), 60))
    loss = F.binary_cross_entropy_with_logits if task == "units" else F.cross_entropy
    losses = [float(loss(logits / t, target)) for t in values]
    return round(float(values[int(np.argmin(losses))]), 4)


def _write(model: Heads, found: Mapping[str, Any], scale: Scale, settings: WeightSettings, out: Path) -> None:
    stages = StageSettings(FaceSettings(), FlowSettings(), ImageSettings())
    names = {"3": tuple(recipes("3")), "5": tuple(recipes("5")), "units": CODES}
    for task in ("3",) if settings.permuted else TASKS:
        one = new_model(MotionNet, MotionNetSettings(), names[task], 0, (use(INPUT),))
        assert isinstance(one, MotionNet)
        one.stream.load_state_dict(model.stream.state_dict())
        with torch.no_grad():
            one.classifier.weight.copy_(model.heads[task].weight / found[task]["temperature"])
            one.classifier.bias.copy_(model.heads[task].bias / found[task]["temperature"])
        about = {
            "training": {
                "dataset": "made-up motion",
                "clips": settings.clips,
                "subjects": settings.people * math.ceil(settings.clips / CHUNK),
                "epochs": settings.epochs,
                "scheme": task,
                "settings": plain(settings),
                "generator": key_of(VERSION, plain(settings.motion), {k: plain(recipes(k)) for k in ("3", "5")}),
                "held_out": {key: round(value, 4) for key, value in found[task].items()},
            },
            "evaluation": None,
            "libraries": library_versions(),
        }
        folder = out / (PERMUTED if settings.permuted else SHIPPED[task])
        save(folder, Checkpoint(one.eval(), Scaler({INPUT: scale}), settings.motion.side, about, stages))
        write_text(folder / "model_card.md", _card(task, found[task], settings))


def _card(task: str, found: Mapping[str, float], settings: WeightSettings) -> str:
    what = {
        "3": "negative, positive or surprise, as MEGC2019 joins the emotions",
        "5": "happiness, surprise, disgust, repression or others, as CASME II has them",
        "units": "single action units, each with its side",
    }[task]
    what += " (labels in another order: these weights know motion and no class)" if settings.permuted else ""
    return f"""# Shipped weights: {what}

- **Trained on made-up motion alone.** {settings.clips:,} maps of u, v and optical strain, made from action units as
  smooth fields on random faces. No face, real or drawn, was ever seen.
- **Input**: `{INPUT}`, {settings.motion.side} x {settings.motion.side}, from onset to apex.
- **On held-out made-up motion**: {", ".join(f"{key} {value:.3f}" for key, value in found.items())}.
- **On drawn faces and on real skin**: see `docs/weights.md`. On the 442 clips of MEGC2019: not measured here.
- **Use**: research on what moves in a face. An answer says which motion a clip resembles, not what a person feels.
- **Not for** decisions about people, in any setting; see `docs/responsible_use.md`.
- Made by `mer weights`; settings and the digest of the generator stand in `model.json`.
"""
