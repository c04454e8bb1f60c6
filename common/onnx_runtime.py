"""onnxruntime, imported so that it keeps to itself."""

from __future__ import annotations

import os
from typing import Any


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off.

    On Linux too, the official wheels otherwise write a device id into the user's cache folder and report to
    their maker from the import on (onnxruntime, docs/Privacy.md); the variable counts only before that.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
