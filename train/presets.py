"""Named settings that were found by measuring; the defaults stay those of the authors."""

from __future__ import annotations

from typing import Any

from east.common.errors import RefusedError

Settings = dict[str, Any]

PRESETS: dict[str, Settings] = {
    "few-labels": {"lr": 1e-3, "weight": 0.9},
}


def settings(preset: str | None, **given: Any) -> Settings:
    """A preset's settings with those that the user gave on top; None counts as not given.

    Raises:
        RefusedError: There is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise RefusedError(f"unknown preset {preset!r}: choose from {', '.join(PRESETS)}")
    base = PRESETS[preset] if preset else {}
    return {**base, **{name: value for name, value in given.items() if value is not None}}
