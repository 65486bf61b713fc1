"""The package of the guide, installed as a stranger would: its parts work under every command, also in workers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
GUIDE = REPOSITORY / "docs" / "guide"
BLOCK = re.compile(r'^```\w+ title="(my_package/[^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
SMALL = (
    *("--config", "quick", "--jobs", "2", "--set", "faces.size=64", "--set", "fit.epochs=2"),
    *("--set", "corpus.width=320", "--set", "corpus.height=240", "--set", "corpus.lead_in=2", "--set", "corpus.tail=2"),
    *("--set", "corpus.subjects=3", "--set", "corpus.clips_per_subject=3", "--set", "evaluation.input_size=32"),
)
TINY = ("--set", "strain_net.widths=[8,8]", "--set", "strain_net.grid=1", "--set", "strain_net.features=8")

Mer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def mer(tmp_path_factory: pytest.TempPathFactory) -> Mer:
    """``mer(...)`` in a folder of its own, with the guide's package installed beside the toolkit."""
    source = tmp_path_factory.mktemp("source")
    for page in sorted(GUIDE.glob("*.md")):
        for title, text in BLOCK.findall(page.read_text("utf-8")):
            file = source / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    (source / "my_package/my_package/__init__.py").touch()
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(site), str(source / "my_package")]
    subprocess.run([*pip, *offline], check=True)

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join([str(site), str(REPOSITORY)])
        environment = {**os.environ, "PYTHONPATH": paths, "NO_COLOR": "1"}
        command = [sys.executable, "-m", "experiments", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    run.folder = folder  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def trained(mer: Mer) -> Path:
    """The run of the package's network and its final model, two processes."""
    mer("train", "synthetic", "--model", "strain_net", *SMALL, *TINY, "--final")
    return Path(mer.folder) / "runs/synthetic-strain_net"  # type: ignore[attr-defined]


def test_a_network_of_a_package_is_judged_in_two_processes(trained: Path) -> None:
    about = json.loads((trained / "run.json").read_text("utf-8"))
    assert (about["model"], about["title"]) == ("strain_net", "StrainNet")
    assert about["inputs"] == {"apex_strain": [3, 32, 32]}
    table = pd.read_csv(trained / "predictions.csv")
    assert len(table) == 9 and table["subject"].nunique() == 3
    page = (trained / "report.html").read_text("utf-8")
    assert "StrainNet on synthetic" in page and "u, v and strain at the apex" in page


@pytest.mark.slow
def test_it_resumes_to_the_same_bytes_in_one_process(mer: Mer, trained: Path) -> None:
    before = (trained / "predictions.csv").read_bytes()
    lost = sorted(trained.glob("folds/*"))[0]
    for file in lost.iterdir():
        file.unlink()
    done = mer("train", "synthetic", "--model", "strain_net", *SMALL, *TINY, "--jobs", "1")
    assert (trained / "predictions.csv").read_bytes() == before
    assert "training folds: 3/3" in done.stderr


@pytest.mark.slow
def test_an_estimator_of_a_package_is_compared_with_it(mer: Mer, trained: Path) -> None:
    mer("train", "synthetic", "--model", "ridge", *SMALL, "--set", "ridge.alphas=[1.0]")
    done = mer("compare", "runs/synthetic-strain_net", "runs/synthetic-ridge")
    assert "synthetic-ridge minus synthetic-strain_net" in done.stdout
    page = Path(mer.folder) / "runs/compare/synthetic-strain_net_synthetic-ridge.html"  # type: ignore[attr-defined]
    assert "Ridge classifier on flow statistics" in page.read_text("utf-8")


@pytest.mark.slow
def test_its_final_model_predicts_and_is_exported(mer: Mer, trained: Path) -> None:
    card = (trained / "model/model_card.md").read_text("utf-8")
    assert "u, v and strain at the apex (3 × 32 × 32)" in card and "dynamic image" not in card.split("## Intended")[0]
    done = mer("predict", "data/synthetic/frames/s01/c01", "--model", "runs/synthetic-strain_net/model", "--jobs", "1")
    table = pd.read_csv(Path(mer.folder) / "runs/predict/predictions.csv")  # type: ignore[attr-defined]
    assert table["status"].tolist() == ["ok"] and "runs/predict/predictions.html" in done.stdout
    pytest.importorskip("onnx", reason="needs the extra export")
    mer("export", "runs/synthetic-strain_net/model", "--onnx")
    assert (trained / "model/model.onnx").stat().st_size > 1000


@pytest.mark.slow
def test_it_is_ablated_and_explained(mer: Mer, trained: Path) -> None:
    done = mer("ablate", "synthetic", "--model", "strain_net", *SMALL, *TINY)
    assert "| full |" in done.stdout
    mer("explain", "runs/synthetic-strain_net", "--jobs", "2")
    assert "HiResCAM" in (trained / "report.html").read_text("utf-8")


def test_inputs_and_flow_methods_of_a_package_are_there(mer: Mer, trained: Path) -> None:
    further = (
        "--input",
        "apex_speed",
        "--input",
        "apex_strain",
        "--set",
        "flow.method=dis_fast",
        "--cache",
        "cache/fast",
    )
    mer("dataset", "synthetic", *SMALL, *further)
    usual, fast = (Path(mer.folder) / f"cache/{name}/clips" for name in ("synthetic", "fast"))  # type: ignore[attr-defined]
    clips = sorted(fast.glob("*/*"))
    assert len(clips) == 9
    files = [f"apex_{name}.{end}" for name in ("speed", "strain") for end in ("npy", "png")]
    assert all((clip / file).is_file() for clip in clips for file in files)
    assert (usual / "s01/c01/flow.npy").read_bytes() != (fast / "s01/c01/flow.npy").read_bytes()


def test_names_are_listed_and_near_ones_offered(mer: Mer) -> None:
    done = mer("train", "synthetic", "--model", "strain", *SMALL, code=2)
    assert "strain_net" in done.stderr and len(done.stderr.strip().splitlines()) == 1
