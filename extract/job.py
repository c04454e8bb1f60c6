"""An extraction job: config -> plan -> run. The same call serves the command line, Python and the tests."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from east.common.blocks import State, block_size, pending_blocks, states
from east.common.errors import EastError, RefusedError, StoreError
from east.common.store import (
    SCHEMA,
    Header,
    Store,
    TeacherRecord,
    check_identity,
    create_store,
    open_store,
    store_exists,
)
from east.common.terminal import Quiet, Reporter
from east.data import DATASETS
from east.data.index import Index
from east.extract.columns import columns
from east.extract.config import ExtractConfig
from east.extract.grow import grow, grown_index
from east.extract.lock import alone, creating, sharing
from east.extract.presence import any_is_there, gone_line
from east.extract.retry import any_failed, clip_name, retry_failed
from east.extract.teacher import TeacherInfo, TeacherSpec
from east.extract.teachers import find_teacher
from east.extract.weights import resolve_weights

if TYPE_CHECKING:
    from east.extract.cluster import Workers
    from east.extract.worker import TeacherFacts

_SHOWN_FAILURES = 5


@dataclass(frozen=True)
class ExtractResult:
    """What a job did and what the store holds now.

    Attributes:
        computed: Clips that this job worked on.
        done: Clips done for the audio and every named teacher.
        failed: Clips that failed for any of them.
        seconds: Time from the first to the last block.
    """

    computed: int
    done: int
    failed: int
    seconds: float


@dataclass(frozen=True)
class Plan:
    """A checked request. Nothing has been written yet.

    Attributes:
        config: The request.
        index: The clips.
        teachers: The named teachers, weights found and hashed.
        store: The existing store, or None where it is to be made.
        grows: Whether the index has clips that the store is to take in first.
    """

    config: ExtractConfig
    index: Index
    teachers: tuple[TeacherSpec, ...]
    store: Store | None
    grows: bool = False

    @property
    def nothing_to_do(self) -> bool:
        """Whether every clip is done or failed already."""
        if self.store is None or self.grows or self.config.overwrite:
            return False
        if self.config.retry_failed and any_failed(self.store, self.names):
            return False
        return not pending_blocks(self.store, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The teachers' names in the store."""
        return tuple(spec.name for spec in self.teachers)


def extract(config: ExtractConfig, reporter: Reporter | None = None) -> ExtractResult:
    """Bring a store to where all clips are done or failed for the audio and the named teachers.

    Raises:
        RefusedError: The request cannot be carried out; nothing was written.
        EastError: Too many clips failed, or the work broke off; blocks that are done stay.
    """
    reporter = reporter or Quiet()
    job = make_plan(config, reporter)
    if job.store is not None and job.nothing_to_do:
        reporter.say(f"{config.store}: nothing to compute, every clip is done or failed already")
        result = _count(job.store, job.names, computed=0, seconds=0.0)
    else:
        try:
            if job.grows:
                job = _grown(job, reporter)
            result = _run(job, reporter)
        except KeyboardInterrupt:
            reporter.say("interrupted: what is done stays, the same command goes on from here")
            raise
    reporter.say(f"{config.store}: {result.done} done, {result.failed} failed")
    if result.failed > config.max_failed * len(job.index) or not result.done:
        raise EastError(
            f"{result.failed} of {len(job.index)} clips failed, more than --max-failed {config.max_failed:g} "
            f"allows; `extract info {config.store}` lists the reasons"
        )
    return result


def make_plan(config: ExtractConfig, reporter: Reporter) -> Plan:
    """Check a request against the data set, the weights and the store, without writing anything.

    Raises:
        RefusedError: It cannot be carried out; names what is wrong and the mend.
    """
    infos = {name: find_teacher(name).info for name in config.teachers}
    _check_precision(config, infos.values())
    index = _index(config, reporter)
    store = open_store(config.store, mode="r+") if store_exists(config.store) else None
    grown = grown_index(store, index) if store is not None and config.append else None
    if store is not None and grown is None:
        _check_store(store, config, index)
    specs = tuple(
        TeacherSpec(name, i.name, resolve_weights(i, config.weights.get(name), reporter), config.device)
        for name, i in infos.items()
    )
    if store is not None and not config.overwrite:
        for spec in specs:
            _check_teacher(store, config, infos[spec.plugin], spec)
    job = Plan(config, grown or index, specs, store, grows=grown is not None)
    if not job.nothing_to_do and not any_is_there(index.root, index.paths):
        raise RefusedError(gone_line(index.root, index.paths))
    return job


def _grown(job: Plan, reporter: Reporter) -> Plan:
    """Take the new clips of the index into the store."""
    with alone(job.config.store, "--append"):
        n = grow(open_store(job.config.store, mode="r+"), job.index)
    reporter.say(f"{job.config.store}: {n} new clips")
    return replace(job, store=open_store(job.config.store, mode="r+"), grows=False)


def _run(job: Plan, reporter: Reporter) -> ExtractResult:
    # Dask is heavy, and a job with nothing to do does not need it.
    from east.extract.cluster import call_on_worker, local_cluster
    from east.extract.worker import teacher_facts

    config = job.config
    with sharing(config.store, job.names) as locked, local_cluster(config.workers) as client:
        if not locked:
            reporter.say(f"{config.store} cannot be locked: let no second job write the same teacher into it")
        reporter.say(f"loading {', '.join(config.teachers)} on {config.workers} worker(s)")
        facts = [
            call_on_worker(client, partial(teacher_facts, max_seconds=job.index.max_seconds), spec)
            for spec in job.teachers
        ]
        with creating(config.store):
            store = _prepare_store(job, facts)
        if config.retry_failed:
            retry_failed(store, job.names)
        sizes = {known.info.name: known.info.batch_size or config.batch_size for known in facts}
        return _embed(job, store, sizes, client, reporter)


def _embed(
    job: Plan, store: Store, sizes: dict[str, int], client: Workers, reporter: Reporter
) -> ExtractResult:
    from east.extract.cluster import map_window
    from east.extract.worker import BlockTask, run_block

    config, root = job.config, job.index.root.absolute()
    todo = pending_blocks(store, job.names)
    task = BlockTask(config.store, root, job.teachers, config.batch_size, config.precision)
    clips, failed, start = sum(len(block) for block in todo), 0, time.monotonic()
    with reporter.progress("embedding", clips) as advance:
        for report in map_window(client, partial(run_block, task), todo):
            for clip, reason in report.failed.items():
                failed += 1
                if failed <= _SHOWN_FAILURES:
                    reporter.say(f"failed: {clip_name(store, clip)}: {reason}")
            for name, size in report.batch_sizes.items():
                if size < sizes[name]:
                    sizes[name] = size
                    reporter.say(f"{name}: out of memory, going on with {size} windows per forward pass")
            advance(len(report.block), f"{failed} failed" if failed else "")
    return _count(store, job.names, computed=clips, seconds=time.monotonic() - start)


def _prepare_store(job: Plan, facts: list[TeacherFacts]) -> Store:
    """Make the store and the teachers' groups where they are missing: the first thing that is written."""
    config = job.config
    if store_exists(config.store):  # perhaps another job made it since
        store = open_store(config.store, mode="r+")
        _check_store(store, config, job.index)
    else:
        store = create_store(config.store, _header(config, job.index), columns(job.index))
    store.update_header(root=str(config.root.absolute()))
    for spec, known in zip(job.teachers, facts, strict=True):
        if config.overwrite or store.find_teacher(spec.name) is None:
            record = _record(config, spec, known)
            store.create_teacher(record, known.n_frames, known.info.feature)
    return store


def _index(config: ExtractConfig, reporter: Reporter) -> Index:
    dataset = DATASETS.load(config.dataset)()
    reporter.say(f"reading the index of {config.dataset} at {config.root}")
    index = dataset.index(config.root)
    for remark in index.remarks:
        reporter.say(remark)
    if config.limit is not None:
        index = index.first(config.limit)
    return index if config.max_seconds is None else index.cut(config.max_seconds)


def _header(config: ExtractConfig, index: Index) -> Header:
    return Header(
        schema=SCHEMA,
        dataset=index.dataset,
        task=index.task,
        classes=list(index.classes),
        protocols=list(index.protocols),
        index_sha256=index.sha256,
        max_seconds=index.max_seconds,
        block=config.block or block_size(len(index), index.max_seconds),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        software=f"east-audio {version('east-audio')}",
        root=str(config.root.absolute()),
    )


def _record(config: ExtractConfig, spec: TeacherSpec, facts: TeacherFacts) -> TeacherRecord:
    info = facts.info
    return TeacherRecord(
        name=info.name,
        versions=facts.versions,
        weights={"source": spec.weights.source, "sha256": spec.weights.sha256},
        sample_rate=info.sample_rate,
        windows=info.windows,
        supervision=info.supervision,
        licences=info.licences,
        citation=info.citation,
        dtype=config.dtype,
        precision=config.precision,
        device=facts.device,
        remark=info.remark,
    )


def _check_store(store: Store, config: ExtractConfig, index: Index) -> None:
    store.check_not_growing()
    found = store.header.identity()
    wanted = _header(config, index).identity()
    mend = "use the same data set and options as then, or a new STORE"
    check_identity(f"{config.store}", found, wanted, mend)
    if config.block not in (None, store.header.block):
        raise StoreError(f"{config.store} has --block {store.header.block} since its creation: leave it out")


def _check_teacher(store: Store, config: ExtractConfig, info: TeacherInfo, spec: TeacherSpec) -> None:
    if store.find_teacher(info.name) is None:
        return
    wanted = {
        "weights": spec.weights.sha256,
        "windows": info.windows,
        "dtype": config.dtype,
        "precision": config.precision,
    }
    mend = f"use the same as then, or replace its embeddings with --teacher {info.name} --overwrite"
    what = f"teacher {info.name} in {config.store}"
    check_identity(what, store.teacher_record(info.name).identity(), wanted, mend)


def _check_precision(config: ExtractConfig, infos: Iterable[TeacherInfo]) -> None:
    for info in infos:
        if config.precision not in info.precisions:
            raise RefusedError(
                f"--precision {config.precision}: {info.name} computes in {', '.join(info.precisions)} only"
            )


def _count(store: Store, names: Sequence[str], computed: int, seconds: float) -> ExtractResult:
    groups = [store.audio, *(store.teacher_group(name) for name in names)]
    table = np.stack([states(group) for group in groups])  # (group, clip)
    return ExtractResult(
        computed=computed,
        done=int((table == State.DONE).all(axis=0).sum()),
        failed=int((table == State.FAILED).any(axis=0).sum()),
        seconds=seconds,
    )
