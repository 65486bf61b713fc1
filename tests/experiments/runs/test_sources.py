"""What makes a finished result stale: the code that it was computed by, and no other."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dynamic_images.inputs import use
from experiments.runs.classical import SVMSettings
from experiments.runs.sources import source_digest, source_files
from experiments.runs.system_registry import make_system
from experiments.runs.systems import System
from fusion_net import AFNSettings, FDPSettings

REPOSITORY = Path(__file__).resolve().parents[3]

Write = Callable[..., str]


def files_of(*modules: str) -> set[str]:
    """Paths in the repository."""
    return {path.relative_to(REPOSITORY).as_posix() for path in source_files(modules).values()}


def modules_of(system: System) -> list[str]:
    return list(system._modules())


class TestToolkit:
    def test_a_network_counts_with_what_it_imports_and_not_with_what_imports_it(self) -> None:
        files = files_of("fusion_net.models.fdp.network")
        assert {
            *("fusion_net/models/fdp/network.py", "fusion_net/models/fdp/construction.py", "fusion_net/blocks.py"),
            *("dynamic_images/rank_pooling.py", "dynamic_images/inputs.py", "preprocessing/optical_flow.py"),
        } <= files
        assert not files & {"fusion_net/export.py", "fusion_net/models/afn.py", "fusion_net/models/__init__.py"}

    def test_one_network_does_not_count_for_another(self) -> None:
        """Also not by way of the registry that lists both, which training and prediction therefore do not import."""
        for system, other in (
            (make_system("afn", AFNSettings()), "fusion_net/models/fdp/"),
            (make_system("fdp", FDPSettings()), "fusion_net/models/afn.py"),
            (make_system("svm", SVMSettings()), "fusion_net/models/afn.py"),
        ):
            files = files_of(*modules_of(system))
            assert not [name for name in files if name.startswith(other)], system.name
            assert {"experiments/runs/systems.py", "fusion_net/inputs.py", "fusion_net/seeds.py"} <= files

    def test_training_and_prediction_count_for_a_network(self) -> None:
        files = files_of(*modules_of(make_system("afn", AFNSettings())))
        assert {"fusion_net/models/afn.py", "fusion_net/fit.py", "fusion_net/inference.py"} <= files
        assert not [name for name in files if name.startswith(("experiments/pages", "experiments/cli", "tests"))]

    def test_systems_of_other_code_have_other_digests(self) -> None:
        digests = [make_system(n, s).source for n, s in (("afn", AFNSettings()), ("fdp", FDPSettings()))]
        assert digests[0] != digests[1] and digests[0] == make_system("afn", AFNSettings(features=8)).source


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Write:
    """``write("a/b.py", "import x")`` in a package of this test alone; gives the module's full name."""
    package = f"toy_{abs(hash(request.node.nodeid)):x}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(path: str, text: str = "", init: bool = True) -> str:
        file = tmp_path / package / path
        file.parent.mkdir(parents=True, exist_ok=True)
        for folder in (file.parent, *file.parent.parents):
            if init and folder.is_relative_to(tmp_path / package):
                (folder / "__init__.py").touch()
        file.write_text(text.replace("PACKAGE", package), encoding="utf-8")
        return ".".join([package, *Path(path).with_suffix("").parts]).removesuffix(".__init__")

    return put


def ends(modules: dict[str, Path]) -> set[str]:
    """Names without their package."""
    return {name.partition(".")[2] for name in modules}


class TestPlugIn:
    def test_its_modules_count_and_so_do_those_of_the_toolkit_that_it_imports(self, write: Write) -> None:
        write("parts.py", "import json\nfrom fusion_net.blocks import Stream\n")
        net = write("net.py", "from PACKAGE.parts import Stream\nimport numpy as np\n")
        found = source_files([net])
        assert {"net", "parts"} <= ends(found) and "fusion_net.blocks" in found
        assert not [name for name in found if name.startswith(("json", "numpy", "torch"))], "they count by versions"

    def test_a_file_that_is_not_imported_leaves_the_digest_and_an_imported_one_does_not(self, write: Write) -> None:
        write("parts.py", "WIDTH = 8\n")
        write("notes.py", "# today\n")
        net = write("net.py", "from PACKAGE.parts import WIDTH\n")
        before = source_digest([net])
        write("notes.py", "# tomorrow\n")
        write("more.py", "WIDTH = 1\n")
        assert source_digest([net]) == before
        write("parts.py", "WIDTH = 9\n")
        assert source_digest([net]) != before
        write("parts.py", "WIDTH = 8\n")
        assert source_digest([net]) == before

    def test_names_count_beside_contents(self, write: Write) -> None:
        """Two files that trade their contents are not the same code."""
        one, two = write("one.py", "A = 1\n"), write("two.py", "A = 2\n")
        before = source_digest([one, two])
        write("one.py", "A = 2\n")
        write("two.py", "A = 1\n")
        assert source_digest([one, two]) != before

    @pytest.mark.parametrize(
        ("line", "found"),
        [
            ("from .parts import x", {"net", "net.parts"}),
            ("from . import parts", {"net", "net.parts"}),
            ("from ..blocks import x", {"net", "blocks"}),
            ("from .. import blocks", {"net", "blocks"}),
            ("from PACKAGE import blocks", {"net", "blocks"}),
            ("from PACKAGE.blocks import x", {"net", "blocks"}),
            ("import PACKAGE.blocks", {"net", "blocks"}),
            ("import PACKAGE.net.parts as p, PACKAGE.blocks", {"net", "net.parts", "blocks"}),
            ("from PACKAGE import x", {"net", ""}),
            ("from PACKAGE import blocks, x", {"net", "blocks", ""}),
            ("def f():\n    from PACKAGE import blocks", {"net", "blocks"}),
            ("if True:\n    import PACKAGE.blocks", {"net", "blocks"}),
            ("from . import *", {"net"}),
            ("import a_package_that_is_not_installed", {"net"}),
        ],
    )
    def test_every_form_of_import_is_followed(self, write: Write, line: str, found: set[str]) -> None:
        """``net/__init__.py`` with the line; its package has ``__init__`` with x, blocks and net/parts."""
        write("__init__.py", "x = 1\n")
        write("blocks.py", "x = 2\n")
        write("net/parts.py", "x = 3\n")
        net = write("net/__init__.py", f"{line}\n")
        assert ends(source_files([net])) == found

    def test_chains_and_circles_are_followed_once(self, write: Write) -> None:
        write("a.py", "from .b import x\n")
        write("b.py", "from .c import x\n")
        write("c.py", "from . import a\nx = 1\n")
        assert ends(source_files([write("net.py", "from . import a\n")])) == {"net", "a", "b", "c"}

    def test_a_package_without_an_init_file_is_followed_too(self, write: Write) -> None:
        write("blocks.py", "x = 1\n", init=False)
        net = write("net.py", "from PACKAGE import blocks\n", init=False)
        assert ends(source_files([net])) == {"net", "blocks"}

    def test_a_module_without_a_file_is_left_out(self) -> None:
        assert source_files(["a_notebook_cell", "sys"]) == {}


def test_the_maker_of_an_input_counts(write: Write) -> None:
    """Also through `functools.partial`, whose own module says nothing."""
    write("maps.py", "SCALE = 2\n")
    write("inputs.py", "from .maps import SCALE\ndef made(clip, settings, scale=1):\n    return scale * SCALE\n")
    made = importlib.import_module(write("other.py", "from .inputs import made\n")).made
    svm = make_system("svm", SVMSettings())
    for maker in (made, partial(made, scale=3)):
        mine = replace(use("flow_grid").input, make=maker)
        system = replace(svm, inputs=(replace(svm.inputs[0], input=mine),))
        assert {"inputs", "maps"} <= ends({n: p for n, p in source_files(modules_of(system)).items() if "toy_" in n})
        before = system.key
        write("maps.py", "SCALE = 3\n")
        assert system.key != before
        write("maps.py", "SCALE = 2\n")
        assert system.key == before
