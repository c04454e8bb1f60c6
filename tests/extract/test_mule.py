"""MULE against the package's own clip-level call."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mule_torch import MuleConfig, MuleModel

from east.common.errors import RefusedError
from east.extract.teacher import Weights
from east.extract.teachers.mule import Mule, _filters

CPU = torch.device("cpu")
NARROW = MuleConfig(
    embedding_dim=72,
    slow_stem_channels=(4, 8, 8, 16),
    fast_stem_channels=(2, 2, 4, 4),
    slow_stage_in=(32, 48, 64, 96),
    slow_stage_out=(32, 32, 48, 48),
    fast_stage_in=(4, 8, 16, 24),
    fast_stage_out=(8, 16, 24, 24),
    slow_group_size=8,
    fast_group_size=4,
    fusion_input_channels=(8, 8, 16, 24),
    fusion_output_channels=(16, 16, 32, 48),
)


def published(folder: Path, config: MuleConfig) -> MuleModel:
    """Write a folder as the hub has it; the gains of the residual paths are not zero."""
    torch.manual_seed(1)
    model = MuleModel(config, mel_fb=_filters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("skip_gain"):
                parameter.fill_(0.7)
    folder.mkdir(exist_ok=True)
    model.save_pretrained(folder)
    return model.eval()


def check(
    folder: Path,
    config: MuleConfig,
    clips: dict[str, Any],
    mean_of_each: Callable[..., Any],
    agree: Callable[..., None],
) -> None:
    original = published(folder, config)
    teacher = Mule.load(Weights("file", folder, ""), CPU)
    mixed = mean_of_each(teacher, clips, batch_size=4)
    for name, audio in clips.items():
        with torch.inference_mode():
            theirs = original(torch.from_numpy(audio)[None])[0].numpy()
        agree(mean_of_each(teacher, {name: audio}, batch_size=1)[name], theirs)
        agree(mixed[name], theirs)


def test_equals_the_package(
    tmp_path: Path, clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    check(tmp_path, NARROW, clips(16_000, (0.5, 3, 7.3)), mean_of_each, agree)


@pytest.mark.slow
def test_equals_the_package_at_full_size(
    tmp_path: Path, clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    seconds = (0.5, 3, 7.3, 10, 12.5, 29.1)
    check(tmp_path, MuleConfig(), clips(16_000, seconds), mean_of_each, agree)


def test_shortest_clip_and_size() -> None:
    teacher = Mule.load(Weights("random", None, ""), CPU)
    assert teacher.windows(torch.zeros(teacher.info.min_samples)).shape == (1, 1, 96, 300)
    assert teacher.info.parameters is not None
    assert sum(p.numel() for p in teacher.model.parameters()) == teacher.info.parameters.total


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    published(tmp_path, NARROW)
    weights = Weights("file", tmp_path, "")
    (tmp_path / "config.json").write_text(json.dumps(MuleConfig().to_dict()))
    with pytest.raises(RefusedError, match=r"not a checkpoint of mule: .* have another shape"):
        Mule.load(weights, CPU)
    (tmp_path / "config.json").write_text("<html>")
    with pytest.raises(RefusedError, match=r"has no config\.json of mule"):
        Mule.load(weights, CPU)
