"""All of Dask: a local cluster, and a window of tasks that never grows with the collection."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from east.common.memory import keeping_environment

if TYPE_CHECKING:
    from distributed import Client

A = TypeVar("A")
B = TypeVar("B")

_IN_FLIGHT = 2  # tasks per worker: one runs, one waits, so that no worker idles between blocks


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """Worker processes on this machine, one task at a time each, sharing its cores evenly."""
    import dask
    from distributed import Client, LocalCluster

    # Replaces Dask's own, which sets MALLOC_TRIM_THRESHOLD_ low and OMP_NUM_THREADS=1: that is meant for
    # many small tasks per worker, while ours runs one and should use its share of the cores.
    settings = {"distributed.nanny.pre-spawn-environ": keeping_environment()}
    threads = max(1, (os.cpu_count() or 1) // workers)
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # nothing is killed over a share: what is held is bounded by blocks in flight
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(_prepare_worker, threads)
        yield client


def _prepare_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    # Ctrl-C reaches the whole process group; the client alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def call_on_worker(client: Client, function: Callable[[A], B], argument: A) -> B:
    """Run a function once on any worker and wait for it."""
    result: B = client.submit(function, argument, pure=False).result()
    return result


def map_window(client: Client, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """Apply a function to every item on the workers; results come as they finish.

    Only a few items per worker are submitted at a time, so neither the scheduler's memory nor the work lost
    in an interruption follows the number of items. The first error stops the rest.
    """
    from distributed import as_completed

    remaining = iter(items)
    window = _IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    running = as_completed([client.submit(function, item, pure=False) for item in islice(remaining, window)])
    for future in running:
        yield future.result()
        for item in islice(remaining, 1):
            running.add(client.submit(function, item, pure=False))
