import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from east.common.audio import decode, resample
from east.common.errors import RefusedError
from east.extract.teacher import Weights
from east.extract.teachers.musicnn import HOP, Musicnn
from east.extract.teachers.musicnn_network import (
    MusicnnNetwork,
    checkpoint_shapes,
    read_checkpoint,
    read_tensors,
)
from east.extract.weights import resolve_weights

HERE = Path(__file__).parent
GOLDEN = HERE.parents[1].parent / "shared" / "musicnn" / "golden.npz"
CPU = torch.device("cpu")
OUTPUTS = ("max_pool", "mean_pool", "penultimate", "logits")


@pytest.fixture(scope="module")
def published() -> Musicnn:
    try:
        return Musicnn.load(resolve_weights(Musicnn.info, None), CPU)
    except RefusedError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def untrained() -> Musicnn:
    return Musicnn.load(Weights("random", None, "random-seed-0"), CPU)


def assert_equals_original(
    network: MusicnnNetwork, patches: np.ndarray, golden: dict[str, np.ndarray]
) -> None:
    with torch.inference_mode():
        ours = network(torch.from_numpy(patches))._asdict()
    for name in OUTPUTS:
        assert np.abs(ours[name].numpy() - golden[name]).max() <= 1e-4 * np.abs(golden[name]).max(), name


def test_equals_the_original_on_synthetic_patches(published: Musicnn) -> None:
    patches = np.random.RandomState(0).rand(3, 187, 96) * 3
    golden = dict(np.load(HERE / "musicnn_golden.npz"))
    assert_equals_original(published.network, patches.astype(np.float32), golden)


def test_equals_the_original_on_recordings(published: Musicnn) -> None:
    if not GOLDEN.is_file():
        pytest.skip(f"golden outputs are not at {GOLDEN}")
    golden = dict(np.load(GOLDEN))
    assert_equals_original(published.network, golden["x"], golden)


def test_front_end_equals_the_original_on_a_recording(published: Musicnn, esc10: Path) -> None:
    if not GOLDEN.is_file():
        pytest.skip(f"golden outputs are not at {GOLDEN}")
    audio = decode(esc10 / "audio" / "1-100032-A-0.ogg", 5)
    windows = published.windows(torch.from_numpy(resample(audio.samples, audio.rate, 16_000)))
    golden = np.load(GOLDEN)["x"][3]
    assert np.abs(windows[0].numpy() - golden).max() <= 1e-4 * np.abs(golden).max()


def test_parameters(untrained: Musicnn) -> None:
    assert sum(p.numel() for p in untrained.network.parameters()) == 787_159


@pytest.mark.parametrize(("samples", "frames"), [(186 * HOP, 1), (80_000, 3), (464_000, 27), (248 * HOP, 2)])
def test_windows(untrained: Musicnn, samples: int, frames: int) -> None:
    windows = untrained.windows(torch.zeros(samples))
    assert windows.shape == (frames, 187, 96)
    assert untrained.embed(windows[:1]).shape == (1, 1506)


def test_shortest_clip_is_what_min_samples_says(untrained: Musicnn) -> None:
    assert len(untrained.windows(torch.zeros(Musicnn.info.min_samples))) == 1
    with pytest.raises(RuntimeError):
        untrained.windows(torch.zeros(Musicnn.info.min_samples - 1))


def test_loud_audio_stays_finite(untrained: Musicnn) -> None:
    square = torch.sign(torch.sin(torch.arange(80_000) * 0.05))
    assert untrained.windows(square).isfinite().all()


def test_embedding_is_max_then_mean(untrained: Musicnn) -> None:
    patches = torch.rand(2, 187, 96)
    outputs = untrained.network(patches)
    assert torch.equal(untrained.embed(patches), torch.cat([outputs.max_pool, outputs.mean_pool], dim=1))


def test_random_weights_are_the_same_every_time_and_leave_the_random_state_alone(untrained: Musicnn) -> None:
    torch.manual_seed(5)
    again = Musicnn.load(Weights("random", None, "random-seed-0"), CPU)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    for a, b in zip(untrained.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_tensors_are_read_in_sorted_name_order() -> None:
    shapes = {"b/kernel": (2, 2), "a": (3,), "a/Adam": (3,), "a_1": (1,), "b/beta1_power": ()}
    data = np.arange(12, dtype="<f4").tobytes()
    tensors = read_tensors(data, shapes)
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "a": [0, 1, 2],
        "a/Adam": [3, 4, 5],
        "a_1": [6],
        "b/beta1_power": 7,
        "b/kernel": [[8, 9], [10, 11]],
    }
    with pytest.raises(RefusedError, match="44 bytes instead of 48"):
        read_tensors(data[:-4], shapes)


def made_checkpoint(seed: int) -> bytes:
    """Every tensor of the published layout, with values that tell where each one went."""
    random = np.random.RandomState(seed)
    shapes = checkpoint_shapes()
    return b"".join(
        random.rand(*shapes[name]).astype("<f4").tobytes() if shapes[name] else b"\0\0\0\0"
        for name in sorted(shapes)
    )


def test_checkpoint_layout_is_as_published() -> None:
    data = made_checkpoint(0)
    assert len(data) == 9_465_596
    tensors = read_checkpoint(data)
    offsets = {
        "batch_normalization/beta": 0,
        "batch_normalization/gamma": 12,
        "batch_normalization/moving_mean": 24,
    }
    offsets |= {"batch_normalization/moving_variance": 28, "batch_normalization_1/beta": 32}
    offsets |= {"batch_normalization_1/gamma": 2480}
    for name, offset in offsets.items():
        assert tensors[name][0] == np.frombuffer(data, "<f4", 1, offset)[0], name


def test_kernels_are_turned_into_place() -> None:
    network, tensors = MusicnnNetwork(), read_checkpoint(made_checkpoint(1))
    network.load_checkpoint(tensors)
    front, mid = network.front[1].conv.weight, network.mid[0].conv.weight  # type: ignore[union-attr]
    assert front[5, 0, 2, 60] == tensors["conv2d_1/kernel"][2, 60, 0, 5]  # type: ignore[index]
    assert mid[9, 0, 6, 500] == tensors["conv2d_5/kernel"][6, 500, 0, 9]  # type: ignore[index]
    assert network.logits.weight[3, 100] == tensors["dense_1/kernel"][100, 3]
    assert network.norm_pool.running_var is not None
    assert network.norm_pool.running_var[7] == tensors["batch_normalization_9/moving_variance"][7]


def test_wheel_and_bare_checkpoint_are_the_same(tmp_path: Path) -> None:
    data = made_checkpoint(2)
    (tmp_path / "bare").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "musicnn.whl", "w") as wheel:
        wheel.writestr("musicnn/MSD_musicnn/.data-00000-of-00001", data)
    networks = [
        Musicnn.load(Weights("file", tmp_path / name, ""), CPU).network for name in ("bare", "musicnn.whl")
    ]
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>not found</html>")
    with pytest.raises(RefusedError, match="not the checkpoint of MSD_musicnn: 22 bytes"):
        Musicnn.load(Weights("file", tmp_path / "page.html", ""), CPU)
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("other/data", b"")
    with pytest.raises(RefusedError, match="give musicnn's wheel"):
        Musicnn.load(Weights("file", tmp_path / "other.whl", ""), CPU)
