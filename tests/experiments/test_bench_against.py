"""Two builds side by side: each is measured from its own folder, and the ratios are of runs that took turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.bench import against
from experiments.bench.against import Row, against_table, check_checkout
from experiments.bench.probes import chain, commands, folds
from preprocessing.errors import EnvironmentProblemError, UsageError
from preprocessing.synthetic.corpus import generate
from preprocessing.synthetic.settings import CorpusSettings

PROBE = """
import json, os, sys, preprocessing
seen = os.path.join(sys.argv[1], "turns")
turn = len(open(seen).read().split()) if os.path.exists(seen) else 0
with open(seen, "a") as file:
    print(preprocessing.NAME, file=file)
print("libraries may talk first")
print(json.dumps({"time": preprocessing.COST * (1 + turn // 2), "size": preprocessing.COST}))
"""
ROWS = (Row("probe", "time", "time, ms"), Row("probe", "size", "size, MB"))


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Folders of the other and of this build, which differ in what they cost, and a probe that asks them."""
    for name, cost in (("other", 12), ("this", 4)):
        package = tmp_path / name / "preprocessing"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"NAME = {name!r}\nCOST = {cost}\n")
    (tmp_path / "probe.py").write_text(PROBE)
    monkeypatch.setattr(against, "PROBES", tmp_path)
    monkeypatch.setattr(against, "OURS", tmp_path / "this")
    return tmp_path / "other", tmp_path / "this"


def test_each_build_is_measured_from_its_own_folder_and_in_turns(two: tuple[Path, Path], tmp_path: Path) -> None:
    table = against_table(tmp_path, two[0], ROWS, runs=3, log=tmp_path / "log.jsonl")
    turns = (tmp_path / "turns").read_text().split()
    assert turns == ["other", "this", "this", "other", "other", "this"]
    time, size = table.to_dict("records")
    # a machine that slows down from run to run changes both alike: the ratio of a run stays, 1 if only one build ran
    assert (time["other"], time["this"]) == (24, 8)
    assert [time[name] for name in ("times better", "lowest", "highest")] == [3, 3, 3]
    assert (size["measure"], size["times better"]) == ("size, MB", 3)
    kept = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["build"] for line in kept] == turns, "each is kept as soon as it is known"
    assert kept[0] == {"probe": "probe", "run": 1, "build": "other", "time": 12, "size": 12}
    assert str(tmp_path) not in table.to_csv() + table.attrs["note"]


@pytest.mark.parametrize(
    ("probe", "message"),
    [("raise OSError('no such corpus')", "OSError: no such corpus"), ("print('done')", "quantity → number as JSON")],
)
def test_a_probe_that_fails_ends_the_bench(two: tuple[Path, Path], tmp_path: Path, probe: str, message: str) -> None:
    (tmp_path / "probe.py").write_text(probe)
    with pytest.raises(EnvironmentProblemError, match=message):
        against_table(tmp_path, two[0], ROWS, runs=1)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no preprocessing/__init__.py; wanted the top folder of a checkout"):
        check_checkout(tmp_path)


def test_every_row_has_a_probe() -> None:
    assert all((against.PROBES / f"{row.probe}.py").is_file() for row in against.ROWS)


@pytest.mark.slow
def test_the_chain_is_measured_in_parts(tmp_path: Path) -> None:
    generate(tmp_path, CorpusSettings(subjects=1, clips_per_subject=1, width=320, height=240, lead_in=2, tail=2))
    spent = chain.measure(tmp_path, clips=1)
    assert {row.key for row in against.ROWS if row.probe == "chain"} <= set(spent)
    assert all(value > 0 for value in spent.values())
    assert sum(spent[part] for part in ("flow", "register", "warp")) < spent["whole chain"]
    json.dumps(spent)


@pytest.mark.slow
def test_folds_and_commands_are_measured(tmp_path: Path) -> None:
    assert folds.measure(subjects=2, clips=8, epochs=1, jobs=1)["folds"] > 0
    spent = commands.measure(tmp_path)
    assert 0 < spent["help"] < spent["done"], "the second loads torch"
