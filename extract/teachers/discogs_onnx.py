"""Discogs-EffNet through onnxruntime: the published ONNX file, on a GPU where onnxruntime can use it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from east.common.errors import RefusedError
from east.extract.teacher import PublishedFile, PublishedWeights, TeacherInfo, Weights
from east.extract.teachers.discogs import (
    ADDRESS,
    BANDS,
    FEATURE,
    FILENAME,
    FRAME,
    PATCH,
    RATE,
    STAND_IN,
    Discogs,
    file_of,
    framed,
    in_batches,
    patches,
    refusal,
)

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor


class DiscogsOnnx:
    """The same network and patches; the front end is ours, so that it runs where the network does.

    Its patches differ from essentia's by up to 1e-4 of their maximum, since essentia computes the corners of
    the mel bands in single precision.
    """

    info: ClassVar[TeacherInfo] = replace(
        Discogs.info,
        name="discogs-onnx",
        packages=("onnxruntime", "torch", "soxr", "soundfile"),
        licences={**Discogs.info.licences, "code": "MIT"},
        weights=PublishedWeights(
            (PublishedFile(f"{FILENAME}.onnx", f"{ADDRESS}/{FILENAME}.onnx", size=18_621_951),)
        ),
    )

    def __init__(self, session: Any, output: str, device: torch.device) -> None:
        import torch

        from east.common.mel import mel_filters

        self.session = session
        self.input = session.get_inputs()[0].name
        self.output = output
        on_gpu = "CUDAExecutionProvider" in session.get_providers()
        self.device = device if on_gpu else torch.device("cpu")
        # Essentia's windows are symmetric.
        self.window = torch.hann_window(FRAME, periodic=False, device=self.device)
        self.filters = torch.from_numpy(mel_filters(RATE, FRAME, BANDS, "slaney")).to(self.device)

    @classmethod
    def load(cls, weights: Weights, device: torch.device) -> DiscogsOnnx:
        """See `Teacher.load`; it is on the CPU where onnxruntime has no CUDA provider."""
        import torch

        path = file_of(weights, ".onnx")
        onnxruntime = _onnxruntime()
        try:
            session = _session(onnxruntime, path, device)
        except Exception as error:  # onnxruntime's errors have no class in common
            raise refusal(path, cls.info, _reason(error)) from error
        # The published file has a second output, 512 wide: the projection that the loss was computed on.
        outputs = [o.name for o in session.get_outputs() if o.shape[-1:] == [FEATURE]]
        if not outputs:
            raise refusal(path, cls.info, f"it has no output of {FEATURE} features")
        teacher = (cls if weights.path else _StandIn)(session, outputs[0], device)
        try:
            teacher.embed(torch.zeros(1, PATCH, BANDS))
        except Exception as error:
            raise refusal(path, cls.info, _reason(error)) from error
        return teacher

    def windows(self, audio: Tensor) -> Tensor:
        """(samples,) -> (frames, 128, 96) log-mel patches."""
        import torch

        spectrum = torch.fft.rfft(framed(audio) * self.window)  # (T, bins)
        mel = spectrum.abs().square() @ self.filters.T  # (T, 96)
        return patches((mel * 10_000 + 1).log10())

    def embed(self, windows: Tensor) -> Tensor:
        """(n, 128, 96) -> (n, 1280)."""
        return in_batches(self._run, windows)

    def _run(self, batch: Tensor) -> Tensor:
        import torch

        (rows,) = self.session.run([self.output], {self.input: batch.cpu().numpy()})
        return torch.from_numpy(rows).to(self.device)


class _StandIn(DiscogsOnnx):
    """The small random graph."""

    info: ClassVar[TeacherInfo] = replace(DiscogsOnnx.info, parameters=None, remark=STAND_IN)


def _session(onnxruntime: Any, path: Path, device: torch.device) -> Any:
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what matters is raised
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.type == "cuda" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # TF32 would cost three digits.
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": device.index or 0, "use_tf32": 0}))
    return onnxruntime.InferenceSession(path, options, providers)


def _reason(error: Exception) -> str:
    first_line = str(error).partition("\n")[0]
    return f"onnxruntime says {first_line!r}"


def _onnxruntime() -> Any:
    from east.common.onnx_runtime import import_onnxruntime

    try:
        return import_onnxruntime()
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"teacher 'discogs-onnx' needs the Python package {error.name!r}: "
            "pip install 'east-audio[discogs-onnx]'"
        ) from error
