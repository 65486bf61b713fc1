"""The architecture, checked on the source: who may import what, and what may not stand anywhere."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LAYERS = ("preprocessing", "dynamic_images", "fusion_net", "experiments")
SOURCES = sorted(path for layer in LAYERS for path in (REPOSITORY / layer).rglob("*.py"))
LIBRARY = [path for path in SOURCES if path.relative_to(REPOSITORY).parts[0] != "experiments"]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full module name of every import of a file, also those inside functions."""
    package = path.relative_to(REPOSITORY).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])


def breaches(forbidden: dict[Path, set[str]]) -> list[str]:
    """``file:line imports module`` for every import whose first part a file may not have."""
    return [
        f"{path.relative_to(REPOSITORY)}:{line} imports {module}"
        for path, names in forbidden.items()
        for line, module in imports(path)
        if module.split(".")[0] in names
    ]


def room(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def test_the_reader_of_imports_sees_all_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "REPOSITORY", tmp_path)
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "b.py"
    file.write_text("import x.y\nfrom p import q\nfrom . import r\nfrom .s import t\ndef f():\n    import z\n")
    assert [name for _, name in sorted(imports(file))] == ["x.y", "p", "a", "a.s", "z"]


def test_there_are_sources_to_check() -> None:
    assert {path.relative_to(REPOSITORY).parts[0] for path in SOURCES} == set(LAYERS)


def test_imports_point_to_earlier_layers_only() -> None:
    later = {path: set(LAYERS[LAYERS.index(path.relative_to(REPOSITORY).parts[0]) + 1 :]) for path in SOURCES}
    assert breaches(later) == []


ROOMS = (
    "preprocessing/errors",
    "preprocessing/registry",
    "preprocessing/artefacts",
    "preprocessing/recordings",
    "preprocessing/video",
    "preprocessing/clips",
    "preprocessing/faces",
    "preprocessing/datasets",
    "preprocessing/pipeline",
    "dynamic_images/rank_pooling",
    "dynamic_images/motion_intensity",
    "dynamic_images/face_mask",
    "dynamic_images/noise_floor",
    "dynamic_images/regions",
    "dynamic_images/region_motion",
    "dynamic_images/action_unit_fit",
    "dynamic_images/representations",
    "dynamic_images/build",
    "dynamic_images/motion_histograms",
    "dynamic_images/clip_input",
    "dynamic_images/descriptors",
    "dynamic_images/region_inputs",
    "dynamic_images/inputs",
    "dynamic_images/disturbances",
    "dynamic_images/input_cache",
    "dynamic_images/pipeline",
    "dynamic_images/kinds",
    "dynamic_images/spotting",
    "dynamic_images/inspection",
    "fusion_net/blocks",
    "fusion_net/attention",
    "fusion_net/inputs",
    "fusion_net/models",
    "fusion_net/fit",
    "fusion_net/inference",
    "fusion_net/checkpoint",
    "fusion_net/new_clips",
    "experiments/scoring",
    "experiments/runs",
    "experiments/pages",
    "experiments/config",
    "experiments/preparation",
    "experiments/workflow",
    "experiments/bench",
    "experiments/options",
    "experiments/cli",
)
"""Modules and folders from the lowest to the highest; each may import those before it. Others may stand anywhere."""


def of_room(module: str) -> int | None:
    """Place in `ROOMS` of a module like ``experiments.runs.folds``; None for one that is not listed."""
    parts = module.split(".")
    return next((i for i, name in enumerate(ROOMS) if parts[:2] == name.split("/")), None)


def internal_imports() -> dict[str, set[str]]:
    """Module → modules of the toolkit that it imports, also inside functions; not what only a type checker reads."""
    names = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path for path in SOURCES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        guarded = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        wanted: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and id(node) not in guarded:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= (parts & set(names)) or {node.module}
            elif isinstance(node, ast.Import) and id(node) not in guarded:
                wanted |= {alias.name for alias in node.names}
        found[name] = (wanted & set(names)) - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other: what is left when those whose imports are all settled are taken away."""
    left = {name: set(imported) for name, imported in graph.items()}
    while free := [name for name, imported in left.items() if not imported & set(left)]:
        for name in free:
            del left[name]
    return [sorted(left)] if left else []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["a", "b", "c"]]


def test_no_modules_import_each_other() -> None:
    assert circles(internal_imports()) == []


def test_rooms_import_lower_rooms_only() -> None:
    upward = [
        f"{module} imports {imported}"
        for module, wanted in internal_imports().items()
        for imported in sorted(wanted)
        if (own := of_room(module)) is not None and (other := of_room(imported)) is not None and other > own
    ]
    assert upward == []


def test_every_listed_room_exists() -> None:
    missing = [name for name in ROOMS if not (REPOSITORY / name).is_dir() and not (REPOSITORY / f"{name}.py").is_file()]
    assert missing == []


def test_generic_code_names_no_model_and_no_input() -> None:
    """A model, an input or a kind of data set is asked, never compared by name; strings count, prose does not."""
    homes = {
        "fdp": ("fusion_net/models/", "experiments/pages/frame_ranking.py"),
        "afn": ("fusion_net/models/", "experiments/cli.py", "experiments/bench/", "experiments/options.py"),
        "frames": (
            "dynamic_images/clip_input.py",
            "dynamic_images/inputs.py",
            "fusion_net/models/fdp/",
            "preprocessing/synthetic/",
            "experiments/bench/",
        ),
        "temporal_ranked": ("dynamic_images/", "fusion_net/models/afn.py"),
        "motion_intensity": ("dynamic_images/", "fusion_net/models/afn.py"),
        "streams": (
            "preprocessing/datasets/",
            "preprocessing/synthetic/",
            "dynamic_images/",
            "fusion_net/models/",
            "experiments/options.py",
            "experiments/stream_predictions.py",
        ),
    }
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare | ast.Subscript | ast.Call):
                if "kind" in ast.unparse(node):  # there is also a kind of input that is called frames
                    continue
                inside = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
                found += [
                    f"{room(path)}:{node.lineno} {word}"
                    for word, allowed in homes.items()
                    if word in inside and not room(path).startswith(allowed)
                ]
    assert "\n".join(sorted(set(found))) == ""


def test_no_package_imports_the_tests() -> None:
    assert breaches({path: {"tests", "conftest", "pytest", "hypothesis"} for path in SOURCES}) == []


def test_dlib_has_one_home() -> None:
    elsewhere = [path for path in SOURCES if room(path) != "preprocessing/faces/landmarks.py"]
    assert breaches({path: {"dlib", "face_recognition", "face_recognition_models"} for path in elsewhere}) == []


def test_video_files_have_two_homes() -> None:
    homes = ("preprocessing/recordings/", "preprocessing/artefacts/picture_stack.py")
    elsewhere = [path for path in SOURCES if not room(path).startswith(homes)]
    assert breaches({path: {"av"} for path in elsewhere}) == []


def test_torch_stays_in_the_later_layers() -> None:
    early = [path for path in SOURCES if room(path).startswith(("preprocessing/", "dynamic_images/"))]
    assert breaches({path: {"torch", "torchvision", "safetensors"} for path in early}) == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("preprocessing.datasets, dynamic_images.pipeline", {"torch", "matplotlib"}),
        # each of these takes a tenth of a second or more to load, and --help needs none
        ("experiments.cli", {"torch", "numpy", "pandas", "cv2", "av", "scipy", "sklearn", "joblib", "rich.progress"}),
    ],
)
def test_modules_load_no_more_than_they_need(module: str, unwanted: set[str]) -> None:
    """A worker that loads torch weighs 200 MB more; the command line must answer --help at once."""
    code = f"import sys, {module}; print(*sorted({unwanted!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", LAYERS)
def test_public_names_are_found(package: str) -> None:
    """They are loaded when they are asked for, so that nothing else notices a home that has moved."""
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert not hasattr(module, "no_such_name")


def test_no_room_for_everything() -> None:
    names = {"utils", "util", "common", "helpers", "helper", "misc"}
    found = [room(p) for top in (*LAYERS, "tests") for p in (REPOSITORY / top).rglob("*") if p.stem in names]
    assert found == []


def test_library_code_does_not_print() -> None:
    calls = [
        f"{room(path)}:{node.lineno}"
        for path in LIBRARY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert calls == []


def test_nothing_catches_everything() -> None:
    """``except Exception`` hides the class that a metric then silently leaves out."""
    caught = [
        f"{room(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
    ]
    assert caught == []


def test_user_input_is_not_checked_by_assert() -> None:
    """``python -O`` removes asserts, and their message is for nobody."""
    asserts = [
        f"{room(path)}:{node.lineno}"
        for path in LIBRARY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


def test_no_machine_paths_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("needs the git repository")
    machine = re.compile(r"(?<![\w.~/-])/(?:home|Users|root|work|mnt|media|scratch|private)/\w|\b[A-Z]:\\\w")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        try:
            text = (REPOSITORY / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue  # a picture, or deleted since it was listed
        found += [f"{name}: {match.group()}" for match in machine.finditer(text)]
    assert found == []
