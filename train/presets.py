"""Named settings that were found by measuring; the defaults stay those of the authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from east.common.errors import RefusedError

Settings = dict[str, Any]

SETTINGS = (
    *("protocol", "epochs", "batch_size", "lr", "weight", "normalize", "detach", "compression"),
    *("compression_dim", "unlabelled", "channels", "device", "precision", "workers"),
)
"""Fields of `TrainConfig` that a preset or an option may set, the same for all runs of a comparison."""

# few-labels: found on the valid split of the demo set with a quarter of its labels (16 channels, at most 30
# epochs, seed 0). Valid mAP at learning rate 1e-3 for w = 0.5, 0.9, 0.97: east-fitnet .498 .546 -,
# east-fitnet+linear .588 .585 .576, east-dc .529 .549 -, east-dc+linear .558 .536 .537; baseline .506 (at
# 3e-3: .515). 0.9 has the best mean over the four.
PRESETS: dict[str, Settings] = {
    "few-labels": {"lr": 1e-3, "weight": 0.9},
}


def settings(preset: str | None, given: Mapping[str, Any]) -> Settings:
    """A preset's settings with those that the user gave on top; None counts as not given.

    Args:
        preset: A name, or None.
        given: Option -> value; what is not among `SETTINGS` is left aside.

    Raises:
        RefusedError: There is no such preset.
    """
    if preset is not None and preset not in PRESETS:
        raise RefusedError(f"unknown preset {preset!r}: choose from {', '.join(PRESETS)}")
    base = PRESETS[preset] if preset else {}
    return {**base, **{name: given[name] for name in SETTINGS if given.get(name) is not None}}
