"""`extract verify` as a command: shows what `verify.py` finds and, with `--repair`, mends the store.

A repair computes nothing: it sets clips pending, and the next run does them.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from zarr.core.sync import sync

from east.common.blocks import State, plan, set_pending, states
from east.common.errors import EastError, RefusedError, StoreError
from east.common.layout import create_audio_arrays, write_columns
from east.common.store import Store, array_of, group_of, open_store
from east.common.terminal import Quiet, Reporter
from east.data import DATASETS
from east.data.index import Index
from east.extract.columns import columns
from east.extract.lock import alone
from east.extract.verify import AUDIO, INDEX, Fault, clips_by_part, inspect, unfinished_files

_SHOWN = 20


@dataclass(frozen=True)
class VerifyConfig:
    """Everything `extract verify` is asked for.

    Attributes:
        store: Path or URL of the store.
        repair: Set damaged clips pending and remove files that killed jobs left.
        dataset: Name of the data set to compare with; None: what came from the index is taken as it is.
        root: Where that data set lies.
    """

    store: str
    repair: bool = False
    dataset: str | None = None
    root: Path | None = None

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.root is None):
            raise RefusedError("--from needs both the name of a data set and where it lies")


def verify(config: VerifyConfig, reporter: Reporter | None = None) -> list[Fault]:
    """Read a store back, say what is damaged and, if asked to, mend it.

    Returns:
        What was found.

    Raises:
        RefusedError: There is no store, the data set is another one, or jobs are at work on what is to be
            repaired.
        EastError: Something is damaged and is not repaired now.
    """
    reporter = reporter or Quiet()
    with alone(config.store, "--repair") if config.repair else nullcontext():
        store = open_store(config.store, mode="r+" if config.repair else "r")
        store.check_not_growing()
        wanted = _wanted(store, config)
        faults = inspect(store, wanted, reporter)
        _show(store, faults, reporter)
        if config.repair:
            _repair(store, faults, wanted)
    _conclude(config, faults, wanted, reporter)
    return faults


def _wanted(store: Store, config: VerifyConfig) -> Index | None:
    """The index in the store's order."""
    if config.dataset is None or config.root is None:
        return None
    index = DATASETS.load(config.dataset)().index(config.root).cut(store.header.max_seconds)
    if index.sha256 != store.header.index_sha256:
        # Perhaps a store of the first clips alone (`--limit`).
        index = index.first(array_of(store.audio, "state").shape[0])
    if index.sha256 != store.header.index_sha256:
        raise RefusedError(
            f"{config.dataset} at {config.root} is not what {config.store} was made of (index_sha256 "
            f"{store.header.index_sha256[:12]}, now it is {index.sha256[:12]}): name what it was made of"
        )
    return index.take(_order(store, index))


def _order(store: Store, index: Index) -> list[int]:
    """Rows of the index in the store's order, by whichever of its two names of a clip can still be read."""
    for name, values in (("clip_id", index.ids), ("path", index.paths)):
        number = {value: i for i, value in enumerate(values)}
        stored = _words(store, name)
        if sorted(stored) == sorted(number) and len(number) == len(index):
            return [number[value] for value in stored]
    raise RefusedError(
        f"{store.url}: the order of the clips is lost, since neither clip_id nor path can be read: "
        "extract into a new store"
    )


def _words(store: Store, name: str) -> list[str]:
    """An array of words, empty where it cannot be read, which `inspect` reports."""
    try:
        return [str(value) for value in np.asarray(array_of(store.group, name)[:])]
    except (StoreError, ValueError):
        return []


def _show(store: Store, faults: list[Fault], reporter: Reporter) -> None:
    for fault in faults[:_SHOWN]:
        reporter.say(f"damaged: {fault.part}: {fault.what}")
    if len(faults) > _SHOWN:
        reporter.say(f"... and {len(faults) - _SHOWN} more")
    for part, clips in clips_by_part(faults).items():
        reporter.say(f"do again in {part}: {_listed(store, clips)}")
    left = unfinished_files(store.url)
    if left:
        reporter.say(f"{len(left)} unfinished files (*.partial) of a job at work, or of one that was killed")


def _listed(store: Store, clips: list[int]) -> str:
    ids = _words(store, "clip_id")
    shown = [repr(ids[clip]) if clip < len(ids) else f"number {clip}" for clip in clips[:_SHOWN]]
    return f"{len(clips)} clips: {', '.join(shown)}" + (", ..." if len(clips) > _SHOWN else "")


def _repair(store: Store, faults: list[Fault], wanted: Index | None) -> None:
    if any(fault.part == INDEX for fault in faults):
        if wanted is None:
            return  # without the clips' number and order nothing can be told to be right
        write_columns(store.group, columns(wanted))
        store.update_header(classes=list(wanted.classes), protocols=list(wanted.protocols), task=wanted.task)
    for part in {fault.part for fault in faults if fault.part != INDEX}:
        mine = [fault for fault in faults if fault.part == part]
        if any(fault.remake for fault in mine):
            _remake(store, part)
        else:
            _set_pending(store, part, mine)
    for path in unfinished_files(store.url):
        path.unlink()


def _remake(store: Store, part: str) -> None:
    if part == AUDIO:
        group = store.group.create_group(part, overwrite=True)
        create_audio_arrays(group, store.n_clips, store.header.max_seconds, store.header.block)
    else:
        del store.group[part]  # the next run makes it anew


def _set_pending(store: Store, part: str, faults: list[Fault]) -> None:
    chosen = np.zeros(store.n_clips, dtype=np.bool_)
    for fault in faults:
        chosen[list(fault.clips)] = True
    for block in plan(store.n_clips, store.header.block):
        set_pending(group_of(store.group, part), block, chosen[block.rows])
    for fault in faults:
        if fault.chunk:
            sync(store.group.store.delete(fault.chunk))


def _conclude(config: VerifyConfig, faults: list[Fault], wanted: Index | None, reporter: Reporter) -> None:
    """Say how to go on, with an error where something is still damaged."""
    if any(fault.part == INDEX for fault in faults) and not (config.repair and wanted is not None):
        raise EastError(
            f"{config.store} is damaged in what came from the index; mend it with "
            f"`extract verify {config.store} --repair --from DATASET ROOT`"
        )
    if faults and not config.repair:
        raise EastError(
            f"{config.store} is damaged; `extract verify {config.store} --repair` sets these clips pending"
        )
    store = open_store(config.store)
    for name in ("audio", *store.teachers()):
        group = store.audio if name == "audio" else store.teacher_group(name)
        pending = int((states(group) == State.PENDING).sum())
        if pending:
            reporter.say(f"{pending} clips of {name} are pending: the next `extract run` does them")
    reporter.say(f"{config.store}: " + (f"{len(faults)} faults repaired" if faults else "no damage"))
