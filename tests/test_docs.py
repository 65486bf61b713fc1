"""The code in README and guide runs as it stands there, in order, in a folder that ``mer train --final`` has filled.

A block of ``python`` is executed. One with a ``title`` is a file of the guide's package, which can be imported from
then on. In blocks of ``sh`` the commands and options of ``mer`` must exist.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import typer.main
from typer.testing import CliRunner

from experiments.cli import app
from fusion_net.models import MODELS
from preprocessing.datasets import DATASETS

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs" / "guide").glob("*.md"))]
ALL_PAGES = [*PAGES, *sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "CONTRIBUTING.md"]
PACKAGE = "my_package"
"""Of the guide; `tests/test_plugins.py` installs it."""
OWN_DATASET = REPOSITORY / "docs" / "guide" / "own_dataset.md"
"""Has its own test, which goes on from there."""
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
SMALL = (
    *("--config", "quick", "--jobs", "1", "--set", "faces.size=64", "--set", "fit.epochs=2"),
    *("--set", "corpus.width=320", "--set", "corpus.height=240", "--set", "corpus.lead_in=2", "--set", "corpus.tail=2"),
    *("--set", "corpus.subjects=2", "--set", "corpus.clips_per_subject=3", "--set", "evaluation.input_size=32"),
    *("--set", "afn.widths=[8]", "--set", "afn.grid=1"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands at the beginning of the guide leave behind, small."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(app, ["train", "synthetic", "--final", *SMALL])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "runs/synthetic-afn/model"
    return folder


@pytest.fixture
def workplace(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy with a person's recordings beside it; what the guide adds to the toolkit is taken away again."""
    folder = tmp_path / "here"
    shutil.copytree(made, folder)
    frames = folder / "data/synthetic/frames"
    shutil.copytree(frames / "s01/c01", folder / "my_videos/anna")
    table = pd.read_csv(folder / "data/synthetic/annotation.csv").set_index(["subject", "clip"])
    for subject, clip in table.index:
        shutil.copytree(frames / subject / clip, folder / "mylab_data" / subject / clip)
    table.reset_index()[["subject", "clip", "onset", "apex", "offset", "emotion"]].to_csv(
        folder / "mylab_data/labels.csv", index=False
    )
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder / "files" / PACKAGE))
    tables = (DATASETS, MODELS)
    before = [set(one) for one in tables]
    modules = set(sys.modules)
    yield folder
    for one, was in zip(tables, before, strict=True):
        for name in set(one) - was:
            del one[name]
    for name in set(sys.modules) - modules:
        package, _, leaf = name.rpartition(".")
        if "here" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
            if hasattr(sys.modules.get(package), leaf):
                delattr(sys.modules[package], leaf)


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """(title, text) of the blocks of a language."""
    return [(title, text) for kind, title, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def run_page(page: Path, folder: Path) -> None:
    names: dict[str, object] = {"__name__": "guide"}
    for title, text in blocks(page, "python"):
        if title:
            file = folder / "files" / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            importlib.invalidate_caches()
            continue
        exec(compile(text, f"{page.name}: {text.strip().splitlines()[0]}", "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if page != OWN_DATASET], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page: Path, workplace: Path) -> None:
    assert blocks(page, "python"), "a page without code"
    before = sorted((workplace / "data").rglob("*"))
    run_page(page, workplace)
    assert sorted((workplace / "data").rglob("*")) == before


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for _, text in blocks(page, "sh") for line in text.splitlines()]
    for line in lines:
        for words in map(str.split, line.split("#")[0].split("&&")):
            if words[:1] != ["mer"]:
                continue
            assert words[1] in commands, line
            known = {option for parameter in commands[words[1]].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, line
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets


def anchors(page: Path) -> set[str]:
    """What links to a heading of a page may name, by GitHub's rule: lower case, spaces to hyphens, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    broken = []
    for page in ALL_PAGES:
        for target, _, anchor in (
            link.partition("#") for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", page.read_text("utf-8"))
        ):
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            file = page.parent / target if target else page
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert broken == []


def test_the_adapter_of_the_guide_goes_all_the_way(workplace: Path) -> None:
    """From a table and folders of frames to a judged network, and its own tests pass."""
    adapter = next(text for title, text in blocks(OWN_DATASET, "python") if title.endswith("mylab.py"))
    assert len([line for line in adapter.splitlines() if line.strip()]) <= 50, "about forty lines"
    run_page(OWN_DATASET, workplace)
    result = CliRunner().invoke(app, ["train", "mylab", "--root", "mylab_data", *SMALL])
    assert result.exit_code == 0, result.output
    table = pd.read_csv("runs/mylab-afn/predictions.csv")
    labels = pd.read_csv("mylab_data/labels.csv")
    assert len(table) == len(labels) == 6
    assert set(table["y_true"]) <= {"positive", "other"}
    assert sorted(table["subject"].unique()) == ["mylab/s01", "mylab/s02"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(workplace / "files" / PACKAGE)])}
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{PACKAGE}/tests"]
    done = subprocess.run(tests, cwd=workplace / "files", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


@pytest.mark.parametrize("package", ["preprocessing", "dynamic_images", "fusion_net", "experiments"])
def test_what_is_public_is_there_and_says_what_it_is(package: str) -> None:
    module = __import__(package)
    assert module.__doc__ and len(module.__doc__) > 80
    for name in module.__all__:
        thing = getattr(module, name)
        assert not callable(thing) or thing.__doc__, f"{package}.{name} has no docstring"
