"""All of Dask: a local cluster, and a window of tasks that never grows with the collection."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, TypeVar

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, Worker, WorkerPlugin, as_completed

from east.common.errors import EastError
from east.common.memory import keeping_environment

A = TypeVar("A")
B = TypeVar("B")

Workers = Client
"""The worker processes of a job, reached through their scheduler."""

_IN_FLIGHT = 2  # tasks per worker: one runs, one waits, so that no worker idles between blocks


@contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """Worker processes on this machine, one task at a time each, sharing its cores evenly."""
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
            # Without a dashboard Dask opens this port all the same; a job beside this one has its default.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.register_plugin(_PreparedWorker(threads))
        try:
            yield client
        except BaseException:
            _kill_workers(cluster)
            raise


def _kill_workers(cluster: LocalCluster) -> None:
    """End the workers in the middle of their blocks, which are then pending; Dask would wait for them."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


class _PreparedWorker(WorkerPlugin):  # type: ignore[misc]
    """Prepares every worker process, those too that are started in place of one that died."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Called by Dask in a new worker process."""
        import torch

        torch.set_num_threads(self.threads)
        # Ctrl-C reaches the whole process group; the client alone answers it, and ends its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def call_on_worker(client: Client, function: Callable[[A], B], argument: A) -> B:
    """Run a function once on any worker and wait for it."""
    result: B = _result(client.submit(function, argument, pure=False), "loading")
    return result


def map_window(client: Client, function: Callable[[A], B], items: Sequence[A]) -> Iterator[B]:
    """Apply a function to every item on the workers; results come as they finish.

    Only a few items per worker are submitted at a time, so neither the scheduler's memory nor the work lost
    in an interruption follows the number of items. The first error stops the rest.
    """
    remaining = iter(items)
    window = _IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    submitted = {client.submit(function, item, pure=False): item for item in islice(remaining, window)}
    running = as_completed(list(submitted))
    for future in running:
        yield _result(future, str(submitted.pop(future)))
        for item in islice(remaining, 1):
            submitted[new := client.submit(function, item, pure=False)] = item
            running.add(new)


def _result(future: Future, what: str) -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        raise EastError(
            f"worker processes died again and again over {what} (killed, out of memory, or a decoder that "
            "crashed: see the system's log); what is done stays, the same command goes on from here"
        ) from error
