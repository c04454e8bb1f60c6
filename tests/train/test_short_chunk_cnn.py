import pytest
import torch
from torch import Tensor

from east.common.registry import Registry
from east.train.students import STUDENTS
from east.train.students.short_chunk_cnn import ShortChunkCNN


def test_size_is_the_papers() -> None:
    assert isinstance(STUDENTS, Registry)
    student = ShortChunkCNN(n_classes=50, channels=128)
    assert sum(p.numel() for p in student.parameters()) == 9_088_564  # 9.09 M
    assert student.feature == 512


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_shapes(channels: int) -> None:
    student = ShortChunkCNN(n_classes=7, channels=channels)
    feature, logits = student(torch.randn(2, 59_049))
    assert feature.shape == (2, 4 * channels)
    assert logits.shape == (2, 7)


def test_feature_is_after_the_last_activation_and_before_the_first_dense_layer() -> None:
    student = ShortChunkCNN(7, 4).eval()
    seen: dict[str, Tensor] = {}
    student.blocks.register_forward_hook(lambda m, i, o: seen.update(blocks=o))
    student.dense1.register_forward_hook(lambda m, i, o: seen.update(dense_in=i[0]))
    feature, _ = student(torch.randn(2, 59_049))
    assert torch.equal(feature, seen["blocks"].amax(dim=(2, 3)))
    assert torch.equal(feature, seen["dense_in"])
    assert (feature >= 0).all()


def test_silence_is_finite_and_a_clip_does_not_depend_on_its_batch() -> None:
    student = ShortChunkCNN(7, 4).eval()
    audio = torch.stack([torch.zeros(59_049), torch.randn(59_049)])
    together, alone = student(audio)[1], student(audio[:1])[1]
    assert together.isfinite().all()
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_front_end_is_float32_under_autocast() -> None:
    student = ShortChunkCNN(7, 4)
    seen: list[torch.dtype] = []
    student.mel.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        student(torch.randn(2, 59_049))
    assert seen == [torch.float32]
