"""Send pieces of work to the workers of a Dask cluster: the same work and bytes as in processes of one machine.

Only arguments and short answers travel. What is read and written lies in folders that every machine sees under the same
path; each worker proves that before its first piece of work, and that it runs this code with these libraries.

joblib's own backend for Dask is not used: it computes in the command itself when the cluster has one thread, and takes
the number of workers from the start of the work, while a cluster grows and shrinks.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import platform
import queue
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from preprocessing.artefacts.files import remove_leftovers, scratch_path
from preprocessing.errors import EnvironmentProblemError, UsageError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

PACKAGES = ("preprocessing", "dynamic_images", "fusion_net", "experiments")
LIBRARIES = ("numpy", "scipy", "opencv-contrib-python-headless", "dlib-bin", "av", "torch", "scikit-learn", "pandas")
CONNECT = 10.0
"""Seconds in which the scheduler must answer."""
NO_WORKER = 60.0
"""Seconds that a cluster may be without workers: those that died are being started again."""
UNDER_WAY = 250
"""Pieces of work that the scheduler holds at a time: memory does not grow with their number."""
HOW = "see docs/cluster.md"


@dataclass(frozen=True)
class Place:
    """What a worker must find before it works for a command.

    Attributes:
        folder: that relative paths start from.
        tokens: files that this command has just written, one in each folder that workers write into.
        read: paths that are only read.
        code: `code_in_use` of the command.
    """

    folder: Path
    tokens: tuple[Path, ...]
    read: tuple[Path, ...]
    code: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cluster:
    """A cluster that a command is connected to."""

    client: Client
    address: str
    place: Place

    def unordered(self, function: Callable[..., T], tasks: Sequence[tuple[Any, ...]]) -> Iterator[T]:
        """Yield ``function(*task)`` of every task as soon as a worker has done it.

        A worker that dies is none of our business: Dask gives its work to another one, and an artefact is whole or not
        there. A piece of work at which one worker after the other dies ends it all.

        Raises:
            EnvironmentProblemError: the scheduler or all workers were lost, or a worker is not fit for the work.
        """
        finished: queue.Queue[Future[T]] = queue.Queue()
        waiting, left, done = set[Any](), iter(tasks), 0
        try:
            while done < len(tasks):
                while len(waiting) < UNDER_WAY and (task := next(left, None)) is not None:
                    future = self.client.submit(_on_worker, self.place, function, task, pure=False)
                    waiting.add(future)
                    future.add_done_callback(finished.put)
                future = self._next(finished, done, len(tasks))
                waiting.discard(future)
                yield self._answer(future, done, len(tasks))
                done += 1
        finally:
            if waiting:
                with suppress(Exception):  # whatever a lost connection raises: it was told already
                    self.client.cancel(list(waiting))

    def _next(self, finished: queue.Queue[Future[T]], done: int, total: int) -> Future[T]:
        """The next finished piece of work; None comes for as long as there are workers."""
        while True:
            with suppress(queue.Empty):
                return finished.get(timeout=NO_WORKER)
            if self.client.status != "running":
                raise self._lost(done, total)
            if not self.client.scheduler_info(n_workers=1)["workers"]:
                raise EnvironmentProblemError(
                    f"the cluster {self.address} has had no worker for {NO_WORKER:.0f} seconds, after {done} of "
                    f"{total} pieces of work: start workers, then run the same command again, which goes on from there"
                )

    def _answer(self, future: Future[T], done: int, total: int) -> T:
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            result: T = future.result()
        except KilledWorker as error:
            raise EnvironmentProblemError(
                "workers were killed one after the other at the same piece of work, most often because memory ran out: "
                "start them with more memory, then run the same command again, which goes on from there"
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise self._lost(done, total) from error
        future.release()
        return result

    def _lost(self, done: int, total: int) -> EnvironmentProblemError:
        return EnvironmentProblemError(
            f"the scheduler at {self.address} was lost after {done} of {total} pieces of work: what is finished is "
            "kept; start it and its workers again, then run the same command, which goes on from there"
        )


_connected: list[Cluster] = []


def connected() -> Cluster | None:
    """The cluster that work is sent to at present."""
    return _connected[-1] if _connected else None


@contextmanager
def on_cluster(address: str, written: Sequence[Path] = (), read: Sequence[Path] = ()) -> Iterator[int]:
    """In the block, `preprocessing.workers.unordered` sends its work to the Dask cluster at ``address``.

    Args:
        address: of the scheduler, ``tcp://HOST:8786``, or the path of its ``--scheduler-file``.
        written: folders that the work writes into, made if they are not there; every worker must see them.
        read: further paths that the work reads.

    Yields:
        Pieces of work that are done at once: threads of the cluster, at least two, since one would stay here.

    Raises:
        EnvironmentProblemError: Dask is not installed, or no scheduler or no worker answers.
        UsageError: ``address`` is none.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_connection(address))
        tokens = [stack.enter_context(_token(folder)) for folder in written]
        here = tuple(path.absolute() for path in read)
        place = Place(Path.cwd(), tuple(tokens), here, tuple(code_in_use().items()))
        _connected.append(Cluster(client, address, place))
        try:
            yield max(2, sum(client.nthreads().values()))
        finally:
            _connected.pop()


@contextmanager
def _connection(address: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise EnvironmentProblemError(
            "Dask is not installed: pip install 'micro-expression-toolkit[cluster]', here and where the workers run"
        ) from error
    given = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    with _quiet():
        try:
            client: Client = Client(**given, timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise EnvironmentProblemError(
                f"no Dask scheduler answers at {address} within {CONNECT:.0f} seconds: start one with `dask "
                f"scheduler`, {HOW}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"--cluster {address!r} is no address: wanted, for example, tcp://node01:8786") from error
        try:
            client.wait_for_workers(1, timeout=NO_WORKER)
            yield client
        except TimeoutError as error:
            raise EnvironmentProblemError(
                f"the scheduler at {address} has had no worker for {NO_WORKER:.0f} seconds: start some with `dask "
                f"worker {address} --nthreads 1`, {HOW}"
            ) from error
        finally:
            with suppress(Exception):  # of a scheduler that is gone, whose loss was told already
                client.close(timeout=2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what Dask logs when a connection ends: it becomes one sentence."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in ("distributed", "tornado")]
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", *names)]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _token(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    with scratch_path(folder.absolute()) as token:
        token.touch()
        yield token


def _on_worker(place: Place, function: Callable[..., T], task: tuple[Any, ...]) -> T:
    """One piece of work in a worker, whose one thread runs nothing else meanwhile."""
    _prove(place)
    os.chdir(place.folder)
    return function(*task)


@cache
def _prove(place: Place) -> None:
    """Refuse to work where the result could be another one, or would be lost. Once per worker and command.

    Raises:
        EnvironmentProblemError: other code or libraries, a folder that is not shared, or several threads.
    """
    from distributed import get_worker

    me = f"worker {os.getpid()} on {socket.gethostname()}"
    if get_worker().state.nthreads != 1:
        raise EnvironmentProblemError(
            f"{me} has {get_worker().state.nthreads} threads: start workers with --nthreads 1 --nworkers CORES, {HOW}"
        )
    ours = dict(place.code)
    other = [f"{name} {ours[name]}, there {found}" for name, found in code_in_use().items() if ours[name] != found]
    if other:
        raise EnvironmentProblemError(
            f"{me} would compute something else ({'; '.join(other)}): install the same environment, then start it again"
        )
    for path in (place.folder, *(token.parent for token in place.tokens), *place.read):
        if not path.exists():
            raise EnvironmentProblemError(f"{me} does not see {path}: it must be in a folder that all machines share")
    for token in place.tokens:
        if not token.exists():
            raise EnvironmentProblemError(
                f"{me} sees another folder as {token.parent} than this command does: it must be shared by all machines"
            )


@cache
def code_in_use() -> dict[str, str]:
    """What results depend on besides the processor: versions of Python and the libraries, digest of our source code."""
    found = {"Python": platform.python_version(), "toolkit": _source()}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return {name: found.get(name, "none") for name in ("Python", "toolkit", *LIBRARIES)}


def _source() -> str:
    state = hashlib.blake2b(digest_size=6)
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        folders = [] if spec is None else [Path(found) for found in spec.submodule_search_locations or ()]
        for folder in folders:
            for path in sorted(folder.rglob("*.py")):
                state.update(f"{package}/{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes())
    return state.hexdigest()
