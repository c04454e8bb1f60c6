import librosa
import pytest
import torch
from torch import Tensor

from east.train.students.harmonic_cnn import HarmonicCNN, HarmonicFilters


def test_size_is_the_papers() -> None:
    student = HarmonicCNN(n_classes=50, channels=128)
    assert sum(p.numel() for p in student.parameters()) == 3_631_551  # 3.63 M
    assert student.feature == 256


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_shapes(channels: int) -> None:
    student = HarmonicCNN(n_classes=7, channels=channels)
    feature, logits = student(torch.randn(2, 80_000))
    assert feature.shape == (2, 2 * channels)
    assert logits.shape == (2, 7)


def plain_filter_bank(q: float) -> list[list[list[float]]]:
    """The paper's formulas, one number at a time; f_c are 128 half semitones from C1 to below E6.

    [1 - 2 |f - n f_c| / BW]+ with BW = (alpha n f_c + beta) / Q
    """
    bank = []
    for n in range(1, 7):
        filters = []
        for level in range(128):
            centre = n * float(librosa.midi_to_hz(librosa.note_to_midi("C1") + level / 2))
            bandwidth = (0.1079 * centre + 24.7) / q
            filters.append([max(0.0, 1 - 2 * abs(8000 * b / 256 - centre) / bandwidth) for b in range(257)])
        bank.append(filters)
    return bank


@pytest.mark.parametrize("q", [1.0, 0.6])
def test_filter_bank_is_the_papers(q: float) -> None:
    filters = HarmonicFilters()
    with torch.no_grad():
        filters.q.fill_(q)
    torch.testing.assert_close(filters.bank(), torch.tensor(plain_filter_bank(q)), atol=1e-5, rtol=0)


def test_no_harmonic_is_above_half_the_rate() -> None:
    centres = HarmonicFilters().centres
    assert centres.shape == (6, 128)
    assert centres.max() < 8000
    assert centres[0, 0].item() == pytest.approx(32.7032, abs=1e-4)  # C1


def test_a_tone_answers_at_its_level_in_every_harmonic() -> None:
    time = torch.arange(80_000) / 16_000
    power = HarmonicFilters()(torch.sin(2 * torch.pi * 1046.5 * time)[None])  # C6
    assert power.shape == (1, 6, 128, 313)
    # C6 is the fundamental of level 120, the second harmonic of C5, the third of F4, the fourth of C4.
    loudest = power[0, :, :, 150].argmax(dim=1)
    assert (loudest[:4] - torch.tensor([120, 96, 82, 72])).abs().max() <= 1


def test_gradients_reach_q_and_only_q_of_the_filters() -> None:
    student = HarmonicCNN(7, 4)
    assert [name for name, _ in student.filters.named_parameters()] == ["q"]
    assert not any(buffer.requires_grad for buffer in student.filters.buffers())
    student(torch.randn(2, 80_000))[1].square().sum().backward()
    assert student.filters.q.grad is not None
    assert student.filters.q.grad.item() != 0


def test_q_is_kept_with_the_weights_and_what_is_derived_is_not() -> None:
    keys = HarmonicCNN(7, 4).state_dict().keys()
    assert [key for key in keys if key.startswith("filters.")] == ["filters.q"]


def test_feature_is_after_the_last_activation_and_before_the_first_dense_layer() -> None:
    student = HarmonicCNN(7, 4).eval()
    seen: dict[str, Tensor] = {}
    student.blocks.register_forward_hook(lambda m, i, o: seen.update(blocks=o))
    student.dense1.register_forward_hook(lambda m, i, o: seen.update(dense_in=i[0]))
    feature, _ = student(torch.randn(2, 80_000))
    assert seen["blocks"].shape == (2, 8, 1, 1)
    assert torch.equal(feature, seen["blocks"].amax(dim=(2, 3)))
    assert torch.equal(feature, seen["dense_in"])
    assert (feature >= 0).all()


def test_silence_is_finite_and_a_clip_does_not_depend_on_its_batch() -> None:
    student = HarmonicCNN(7, 4).eval()
    audio = torch.stack([torch.zeros(80_000), torch.randn(80_000)])
    together, alone = student(audio)[1], student(audio[:1])[1]
    assert together.isfinite().all()
    assert torch.allclose(together[:1], alone, atol=1e-5)


def test_front_end_is_float32_under_autocast() -> None:
    student = HarmonicCNN(7, 4)
    seen: list[torch.dtype] = []
    student.filters.register_forward_hook(lambda m, i, o: seen.append(o.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        student(torch.randn(2, 80_000))
    assert seen == [torch.float32]
