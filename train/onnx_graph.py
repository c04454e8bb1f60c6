"""A trained student as an ONNX graph: audio in, probabilities out, the mel front end inside."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import torch

from east.common.audio import Samples
from east.common.errors import EastError
from east.common.onnx_runtime import import_onnxruntime
from east.train.metrics import Probabilities
from east.train.scoring import Answer

INPUT, OUTPUT = "audio", "probabilities"
TOLERANCE = 1e-4
"""Largest difference between the probabilities of the graph and of PyTorch."""

_OPSET = 18  # the exporter's own; it has STFT (from 17 on), which torch.stft becomes
_BATCHES = (1, 5)


def build_graph(answer: Answer, window: int) -> onnx.ModelProto:
    """The graph: `audio` (n, window) float32 -> `probabilities` (n, class) float32, n dynamic.

    Args:
        answer: On the CPU.
        window: Samples that the student hears.

    Raises:
        EastError: PyTorch cannot express the student as ONNX.
    """
    example = (torch.zeros(2, window),)
    shapes = {INPUT: {0: torch.export.Dim("n")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about its own pytrees, which nobody here can mend
        try:
            program = torch.onnx.export(
                answer,
                example,
                dynamo=True,
                opset_version=_OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).splitlines()[0]
            raise EastError(f"PyTorch cannot express this student as ONNX: {reason}") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _forget_source(model.graph)
    return model


def _forget_source(graph: onnx.GraphProto) -> None:
    """Drop what the exporter notes of every node: stack traces with the paths of this machine."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def check_parity(model: onnx.ModelProto, answer: Answer, window: int) -> float:
    """Compare the graph with PyTorch on noise of several levels, in batches of one and of five.

    Returns:
        The largest difference between two probabilities.

    Raises:
        EastError: It is above `TOLERANCE`, or the graph does not take every batch size.
    """
    runner, random = Runner(model), np.random.default_rng(0)
    worst = 0.0
    for n in _BATCHES:
        levels = np.logspace(-4, -0.5, n)[:, None]
        audio = (levels * random.normal(size=(n, window))).astype(np.float32)
        with torch.inference_mode():
            expected = answer(torch.from_numpy(audio)).numpy()
        try:
            found = runner(audio)
        except Exception as error:  # onnxruntime raises its own classes for every kind of failure
            reason = str(error).splitlines()[0]
            raise EastError(f"the graph does not run on {n} windows ({reason}): not written") from error
        worst = max(worst, float(np.abs(found - expected).max()))
    if not worst <= TOLERANCE:
        raise EastError(
            f"the graph differs from PyTorch by {worst:.1e}, more than {TOLERANCE:g}: not written"
        )
    return worst


class Runner:
    """Runs a graph on the CPU through onnxruntime."""

    def __init__(self, model: onnx.ModelProto) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, audio: Samples) -> Probabilities:
        """(n, window) float32 -> (n, class) float32."""
        answer: Probabilities = self.session.run([OUTPUT], {INPUT: audio})[0]
        return answer
