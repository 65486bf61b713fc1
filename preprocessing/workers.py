"""Run many independent pieces of work, in this process, in worker processes, or on a cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import starmap
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

from preprocessing.artefacts import locks
from preprocessing.cluster import connected
from preprocessing.errors import EnvironmentProblemError
from preprocessing.worker_leftovers import announce

T = TypeVar("T")

LOOK_EVERY = 0.3  # seconds


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stays_here(tasks: Sequence[Any], jobs: int) -> bool:
    """Whether `unordered` does this work in this process, in order: with one job, or one task."""
    return jobs == 1 or len(tasks) < 2


def unordered(function: Callable[..., T], tasks: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[T]:
    """Yield ``function(*task)`` of every task as soon as it is done.

    Workers end with the process that started them, also when that one is killed. Otherwise they would finish what is
    queued, and the command that is started again would meet them writing the same files.

    Inside `preprocessing.cluster.on_cluster` the workers are those of the cluster.

    Args:
        function: importable by name, so that a worker finds it.
        tasks: arguments of each call.
        jobs: processes; see `stays_here`.

    Raises:
        EnvironmentProblemError: a worker was killed or broke down, or the cluster is lost. Whatever ``function`` raises
            comes through as it is.
    """
    if stays_here(tasks, jobs):
        yield from starmap(function, tasks)
        return
    cluster = connected()
    if cluster is not None:
        yield from cluster.unordered(function, tasks)
        return
    announce()
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered")
    try:
        with _interrupts_held_back():
            tell = locks.listener()
            results = parallel(delayed(_attached)(os.getpid(), tell, function, task) for task in tasks)
        done = 0
        for result in results:
            done += 1
            yield result
    except TerminatedWorkerError as error:
        raise EnvironmentProblemError(
            f"one of {jobs} worker processes was killed, most often because memory ran out: try again with fewer --jobs"
        ) from error
    except BrokenProcessPool as error:
        cause = " ".join(str(error).split())
        raise EnvironmentProblemError(f"one of {jobs} worker processes broke down ({cause}): try again") from error
    if done < len(tasks):
        raise EnvironmentProblemError(f"the workers ended after {done} of {len(tasks)} pieces of work: try again")


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Signals come to this process when the block ends, and Ctrl-C never to workers that are started in it.

    They inherit that Ctrl-C is held back: one that is still importing would otherwise print a traceback, as does one
    whose parent ends before it has told it what to do. SIGTERM must still end them, so it is only put off here.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # it is started with the first workers, and Python 3.11 then lets signals through, whatever was held back before
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _put_off(signal.SIGTERM):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _put_off(number: signal.Signals) -> Iterator[None]:
    """A signal that this process handles is handled when the block ends."""
    handler, arrived = signal.getsignal(number), False
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return

    def keep(_: int, __: object) -> None:
        nonlocal arrived
        arrived = True

    signal.signal(number, keep)
    try:
        yield
    finally:
        signal.signal(number, handler)
        if arrived:
            signal.raise_signal(number)


def _attached(parent: int, tell: locks.Tell | None, function: Callable[..., T], task: tuple[Any, ...]) -> T:
    _end_with(parent)
    with locks.waits_told(tell):
        return function(*task)


@cache
def _end_with(parent: int) -> None:
    """Start one thread per worker that exits the worker when its parent dies: artefacts are written atomically.

    Ctrl-C reaches the parent too, which then ends the workers; on their own account they would print a traceback each.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
