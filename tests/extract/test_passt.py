"""PaSST against the package's own clip-level call, `get_scene_embeddings`."""

import io
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from east.common.errors import RefusedError
from east.extract.teacher import Weights
from east.extract.teachers.passt import Passt, _front_end, _package

RANDOM = Weights("random", None, "")
CPU = torch.device("cpu")
LENGTHS = (0.5, 3, 7.3, 10, 12.5, 29.1)


def small_network() -> nn.Module:
    """The package's own class with two blocks of 48 features."""
    torch.manual_seed(0)
    with redirect_stdout(io.StringIO()):
        network: nn.Module = _package("passt").PaSST(
            img_size=(128, 998), stride=(10, 10), embed_dim=48, depth=2, num_heads=3, distilled=True
        )
    return network


def original(teacher: Passt) -> Any:
    from hear21passt.wrapper import PasstBasicWrapper

    sizes = {"scene_embedding_size": 768, "timestamp_embedding_size": 768}
    return PasstBasicWrapper(_front_end(), teacher.network, mode="embed_only", **sizes).eval()


def check(
    teacher: Passt, clips: dict[str, Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    mixed = mean_of_each(teacher, clips, batch_size=4)
    wrapper = original(teacher)
    for name, audio in clips.items():
        with torch.inference_mode():
            theirs = wrapper.get_scene_embeddings(torch.from_numpy(audio)[None])[0].numpy()
        agree(mean_of_each(teacher, {name: audio}, batch_size=1)[name], theirs)
        agree(mixed[name], theirs)


def test_equals_the_package(
    clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    check(Passt(small_network(), CPU), clips(32_000, LENGTHS), mean_of_each, agree)


@pytest.mark.slow
def test_equals_the_package_at_full_size(
    clips: Callable[..., Any], mean_of_each: Callable[..., Any], agree: Callable[..., None]
) -> None:
    check(Passt.load(RANDOM, CPU), clips(32_000, LENGTHS), mean_of_each, agree)


def test_frames_of_a_clip() -> None:
    teacher = Passt(small_network(), CPU)
    assert teacher.windows(torch.zeros(teacher.info.min_samples)).shape == (1, 1, 128, 16)
    assert teacher.windows(torch.zeros(320_000)).shape == (1, 1, 128, 1000)
    assert teacher.windows(torch.zeros(round(29.1 * 32_000))).shape == (12, 1, 128, 1000)


def test_leaves_the_random_state_alone() -> None:
    teacher = Passt(small_network(), CPU)
    before = torch.random.get_rng_state()
    teacher.embed(teacher.windows(torch.zeros(32_000)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    teacher = Passt.load(RANDOM, CPU)
    teacher.embed(teacher.windows(torch.zeros(32_000)))
    assert capfd.readouterr() == ("", "")


def test_published_file_loads_and_its_size_is_as_stated(tmp_path: Path) -> None:
    first = Passt.load(RANDOM, CPU)
    counted = sum(p.numel() for p in first.network.parameters())
    assert first.info.parameters is not None
    assert counted == first.info.parameters.total
    with torch.no_grad():
        first.network.norm.bias.fill_(0.25)  # type: ignore[union-attr, operator]
    torch.save(first.network.state_dict(), tmp_path / "passt.pt")
    again = Passt.load(Weights("file", tmp_path / "passt.pt", ""), CPU)
    for key, tensor in first.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[key], tensor), key


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    torch.save(small_network().state_dict(), tmp_path / "small.pt")
    with pytest.raises(
        RefusedError, match=r"small\.pt is not a checkpoint of passt: \d+ tensors are missing"
    ):
        Passt.load(Weights("file", tmp_path / "small.pt", ""), CPU)
