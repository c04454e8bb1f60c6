"""Smaller ONNX files: weights in half precision, or convolutions in 8 bits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from east.common.audio import Samples
from east.common.onnx_runtime import import_onnxruntime
from east.train.onnx_graph import INPUT


def halve_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Keep the weights of convolutions and dense layers in float16; everything is computed in float32.

    Computing in float16, too, gains nothing on a CPU. onnxruntime's own converter does that, and passes every
    tensor through float16, also those of the front end: the floor under its logarithm becomes zero, the
    answers NaN.
    """
    small = onnx.ModelProto()
    small.CopyFrom(model)
    graph = small.graph
    used = {name for node in graph.node if node.op_type in ("Conv", "Gemm") for name in node.input}
    casts = []
    for weights in graph.initializer:
        if weights.name in used and weights.data_type == onnx.TensorProto.FLOAT:
            name, half = weights.name, f"{weights.name}.half"
            values = onnx.numpy_helper.to_array(weights).astype(np.float16)
            weights.CopyFrom(onnx.numpy_helper.from_array(values, half))
            # onnxruntime folds a cast of a constant when it loads the file.
            casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return small


def quantise(model: onnx.ModelProto, audio: Samples) -> onnx.ModelProto:
    """Compute the convolutions in 8 bits: weights int8 per channel, activations uint8.

    Front end and dense layers stay in float32: the first needs the range, and the others hold few weights.
    Ranges of activations are fixed here. Measuring them in every call instead (dynamic quantisation) needs no
    clips but is slower than float32 for the short-chunk CNN.

    Args:
        model: In float32.
        audio: Training windows to find the range of every activation with, (n, window) float32.
    """
    import_onnxruntime()
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    with TemporaryDirectory() as folder, _no_advice():
        # By way of a file: given the model itself, quantize_static moves its weights out of it.
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)
        quantize_static(
            source,
            target,
            _Windows(audio),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(target)


class _Windows:
    """What onnxruntime calls a calibration data reader."""

    def __init__(self, audio: Samples) -> None:
        self.left = iter(audio)

    def get_next(self) -> dict[str, Samples] | None:
        window = next(self.left, None)
        return None if window is None else {INPUT: window[None]}


@contextmanager
def _no_advice() -> Iterator[None]:
    """Silence the advice to preprocess the model, which the exporter has done."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(disabled)
