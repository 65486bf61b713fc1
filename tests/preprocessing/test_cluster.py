"""Work on a Dask cluster: the same answers as here, and a worker that would lose or change them is refused.

The cluster of these tests is one worker in this process, real workers as processes are in `tests/experiments`.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preprocessing import cluster
from preprocessing.errors import EnvironmentProblemError, UsageError
from preprocessing.workers import unordered

distributed = pytest.importorskip("distributed", reason="needs Dask: pip install -e '.[cluster]'")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with _local(threads=1) as found:
        yield found


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _local(threads: int) -> Any:
    return _Local(threads)


class _Local:
    def __init__(self, threads: int) -> None:
        self._cluster = distributed.LocalCluster(
            n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=":0", protocol="tcp"
        )

    def __enter__(self) -> str:
        return str(self._cluster.scheduler_address)

    def __exit__(self, *_: object) -> None:
        self._cluster.close()


def thread_of(task: int) -> tuple[int, int]:
    return task, threading.get_ident()


def test_every_task_is_done_once_and_not_by_the_command_itself(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "UNDER_WAY", 7)  # fewer than there are tasks
    with cluster.on_cluster(address, [Path("out")]) as at_once:
        found = list(unordered(thread_of, [(i,) for i in range(30)], at_once))
    assert at_once == 2  # one would stay here
    assert sorted(i for i, _ in found) == list(range(30))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_outside_of_the_block_work_stays_on_this_machine(address: str) -> None:
    with cluster.on_cluster(address):
        assert cluster.connected() is not None
    assert cluster.connected() is None


def test_relative_paths_are_those_of_the_command(address: str) -> None:
    with cluster.on_cluster(address, [Path("out")]):
        assert list(unordered(os.path.abspath, [("out",), ("out",)], 2)) == [str(Path("out").absolute())] * 2


def test_an_error_comes_through_as_it_is_and_ends_the_rest(address: str) -> None:
    with cluster.on_cluster(address), pytest.raises(FileNotFoundError, match="nowhere"):
        list(unordered(os.stat, [("nowhere",)] * 5, 2))


def test_nothing_stays_in_the_folders(address: str) -> None:
    with cluster.on_cluster(address, [Path("out")]):
        assert len(list(Path("out").iterdir())) == 1
    assert list(Path("out").iterdir()) == []


class TestWhatAWorkerProves:
    def refused(self, address: str, change: Any, match: str) -> None:
        with cluster.on_cluster(address, [Path("out")], [Path.cwd()]):
            found = cluster.connected()
            assert found is not None
            other = dataclasses.replace(found, place=change(found.place))
            with pytest.raises(EnvironmentProblemError, match=match):
                list(other.unordered(len, [("a",), ("b",)]))

    def test_a_folder_that_it_does_not_see(self, address: str, tmp_path: Path) -> None:
        """Clips would be rejected because their frames cannot be read."""
        gone = tmp_path / "gone"
        self.refused(address, lambda place: dataclasses.replace(place, read=(gone,)), f"does not see {gone}")

    def test_a_folder_of_that_name_that_is_another_one(self, address: str, tmp_path: Path) -> None:
        """The artefacts would be written where nobody reads them."""
        token = tmp_path / "not-written"
        self.refused(address, lambda place: dataclasses.replace(place, tokens=(token,)), "sees another folder as")

    def test_other_libraries_or_other_source_code(self, address: str) -> None:
        def older(place: cluster.Place) -> cluster.Place:
            return dataclasses.replace(place, code=tuple({**dict(place.code), "numpy": "1.0"}.items()))

        self.refused(address, older, r"numpy 1\.0, there \d")

    def test_several_threads(self) -> None:
        with _local(threads=2) as address:
            self.refused(address, lambda place: place, "has 2 threads: start workers with --nthreads 1")


def test_the_digest_of_the_source_sees_every_package() -> None:
    found = cluster.code_in_use()
    assert len(found["toolkit"]) == 12 and found["numpy"] != "none"
    assert all((Path(cluster.__file__).parents[1] / package).is_dir() for package in cluster.PACKAGES)


def test_no_scheduler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 0.3)
    with pytest.raises(EnvironmentProblemError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        cluster.on_cluster("tcp://127.0.0.1:9").__enter__()


@pytest.mark.parametrize("text", ["nonsense://host:1", "tcp://host:port"])
def test_an_address_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        cluster.on_cluster(text).__enter__()
