"""What loading and running any teacher must not do: fetch, start a process, print, or write elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TEACHERS = ("musicnn", "passt", "panns", "mule", "discogs", "discogs-onnx")
AUDIT = """
import json, os, sys
seen = []
watched = ("subprocess.Popen", "os.system", "os.fork", "os.posix_spawn", "socket.connect", "socket.bind")
def hook(event, arguments):
    if event in watched:
        seen.append([event, str(arguments[0])])
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        # numba opens folders, to see whether it might write there; a file in them would be seen.
        if not os.path.isdir(arguments[0]) and not arguments[0].startswith("/dev/"):
            seen.append([event, arguments[0]])
sys.addaudithook(hook)
sys.dont_write_bytecode = True
import torch
from east.extract.teacher import Weights
from east.extract.teachers import find_teacher
for name in sys.argv[1:]:
    teacher = find_teacher(name).load(Weights("random", None, ""), torch.device("cpu"))
    with torch.inference_mode():
        teacher.embed(teacher.windows(torch.zeros(max(teacher.info.min_samples, teacher.info.sample_rate))))
print(json.dumps(seen), file=sys.stderr)
"""


@pytest.mark.parametrize("name", TEACHERS)
def test_no_network_no_process_no_output_nothing_written(name: str, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, name], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert json.loads(done.stderr) == []
    assert list(tmp_path.iterdir()) == []
