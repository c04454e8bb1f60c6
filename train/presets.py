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
# epochs, seed 0). Valid mAP with w = 0.9 at learning rate 3e-4, 1e-3, 3e-3: east-fitnet - .546 .605,
# east-fitnet+linear .530 .585 .604; with standardised embeddings east-dc - .560 .544, east-dc+linear -
# .581 .571 (without: .549 .528 and .536 .560); baseline .487 .506 .515. Mean of the four EAsT systems at
# 3e-3 .581, at 1e-3 .568. At 1e-3, w = 0.5, 0.9, 0.97: .498 .546 .556, .588 .585 .576, .529 .549 .471 and
# .558 .536 .537; without standardised embeddings east-fitnet .486, east-fitnet+linear .595. Sixty epochs at
# 1e-3: baseline .506 (it stopped at epoch 21), east-fitnet+linear .585.
PRESETS: dict[str, Settings] = {
    "few-labels": {"lr": 3e-3, "weight": 0.9, "normalize": "standardise"},
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
