"""All teachers in one job over real recordings, in a process of its own so that its memory can be told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from east.common.blocks import State, states
from east.common.store import array_of, open_store

TEACHERS = ("musicnn", "passt", "panns", "mule", "discogs")
JOB = """
import json, resource, sys
from collections import Counter
from pathlib import Path

import torch

from east.common.memory import keep_freed_memory
from east.extract import block as block_module, worker
from east.extract.config import ExtractConfig
from east.extract.job import _prepare_store, make_plan
from east.extract.block import process_block
from east.common.blocks import pending_blocks
from east.common.terminal import Quiet

keep_freed_memory()
root, store, *names = sys.argv[1:]
decoded = Counter()
decode = block_module.decode
def counting(path, seconds):
    decoded[path.name] += 1
    return decode(path, seconds)
block_module.decode = counting
config = ExtractConfig("esc50", Path(root), store, tuple(names), device="cpu", limit=24,
                       weights={name: "random" for name in names})
plan = make_plan(config, Quiet())
facts = [worker.teacher_facts(spec, plan.index.max_seconds) for spec in plan.teachers]
made = _prepare_store(plan, facts)
task = worker.BlockTask(store, plan.index.root, plan.teachers, config.batch_size, config.precision)
for block in pending_blocks(made, plan.names):
    report = worker.run_block(task, block)
    assert report.failed == {}, report.failed
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"decoded": decoded, "kilobytes": peak}))
"""


@pytest.mark.slow
def test_five_teachers_share_one_decoding_of_each_file(esc10: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "s.zarr")
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(esc10), store, *TEACHERS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen["decoded"]) == 24
    assert set(seen["decoded"].values()) == {1}
    assert seen["kilobytes"] < 6 * 2**20
    opened = open_store(store)
    for name in TEACHERS:
        group = opened.teacher_group(name)
        assert set(states(group).tolist()) == {State.DONE}
        assert np.isfinite(np.asarray(array_of(group, "mean")[:])).all()
