"""Makes the small stand-in for the published network, as a frozen TensorFlow graph and as its ONNX twin.

    pip install tensorflow-cpu==2.21.0 onnx==1.23.2     (in an environment of their own: we need neither)
    python tests/extract/discogs_files/make.py

Both files have what the published ones have: the nodes' names, one call of a function with two outputs
(a projection and the embedding), and a batch of 64 that is fixed inside. Both hold the same seeded constants.
They lie beside the teachers, which use them for random weights; another model's files lie here.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
TEACHERS = HERE.parents[2] / "extract" / "teachers"
BATCH, FRAMES, BANDS = 64, 128, 96
CHANNELS = (1, 8, 16, 16)
PROJECTION, FEATURE = 512, 1280

Array = npt.NDArray[np.float32]


def constants() -> dict[str, Array]:
    """Three strided convolutions, (height, width, in, out), and two dense layers."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> Array:
        fan_in = int(np.prod(shape[:-1]))
        return random.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)

    kernels = {f"kernel{i}": draw(3, 3, CHANNELS[i], CHANNELS[i + 1]) for i in range(len(CHANNELS) - 1)}
    return {
        **kernels,
        "projection": draw(CHANNELS[-1], PROJECTION),
        "embedding": draw(CHANNELS[-1], FEATURE),
    }


def frozen_graph(values: dict[str, Array]) -> bytes:
    """The network as a GraphDef: a placeholder, and a call of a function that holds everything."""
    patches = tf.TensorSpec((BATCH, FRAMES, BANDS), tf.float32)

    def network(mel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.reshape(mel, (BATCH, FRAMES, BANDS, 1))
        for i in range(len(CHANNELS) - 1):
            x = tf.nn.relu(tf.nn.conv2d(x, values[f"kernel{i}"], strides=2, padding="VALID"))
        x = tf.reduce_mean(x, axis=(1, 2))
        return tf.matmul(x, values["projection"]), tf.tanh(tf.matmul(x, values["embedding"]))

    function = tf.function(network, input_signature=[patches], autograph=False).get_concrete_function()
    with tf.Graph().as_default() as graph:
        mel = tf.compat.v1.placeholder(patches.dtype, patches.shape, "serving_default_melspectrogram")
        function.add_to_graph(graph)
        tf.raw_ops.PartitionedCall(
            args=[mel], Tout=[tf.float32, tf.float32], f=function, name="PartitionedCall"
        )
        definition = graph.as_graph_def()
    return bytes(definition.SerializeToString(deterministic=True))


def onnx_model(values: dict[str, Array]) -> bytes:
    """The same network with ONNX's order of dimensions."""
    shape = np.array([BATCH, 1, FRAMES, BANDS], dtype=np.int64)
    tensors = {"shape": shape, "projection": values["projection"], "embedding": values["embedding"]}
    nodes = [helper.make_node("Reshape", ["melspectrogram", "shape"], ["x0"])]
    for i in range(len(CHANNELS) - 1):
        tensors[f"kernel{i}"] = np.ascontiguousarray(values[f"kernel{i}"].transpose(3, 2, 0, 1))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"kernel{i}"], [f"c{i}"], strides=[2, 2]))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"]))
    nodes += [
        helper.make_node("ReduceMean", [f"x{len(CHANNELS) - 1}"], ["pooled"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["pooled", "projection"], ["activations"]),
        helper.make_node("MatMul", ["pooled", "embedding"], ["before"]),
        helper.make_node("Tanh", ["before"], ["embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "discogs",
        [helper.make_tensor_value_info("melspectrogram", TensorProto.FLOAT, [BATCH, FRAMES, BANDS])],
        [
            helper.make_tensor_value_info("activations", TensorProto.FLOAT, [BATCH, PROJECTION]),
            helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [BATCH, FEATURE]),
        ],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def other_graph() -> bytes:
    """Another model: a mean over time, under names of its own."""
    with tf.Graph().as_default() as graph:
        mel = tf.compat.v1.placeholder(tf.float32, (BATCH, FRAMES, BANDS), "model/Placeholder")
        tf.reduce_mean(mel, axis=1, name="model/Mean")
        definition = graph.as_graph_def()
    return bytes(definition.SerializeToString(deterministic=True))


def other_onnx() -> bytes:
    """The same in ONNX."""
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["melspectrogram"], ["mean"], axes=[1], keepdims=0)],
        "other",
        [helper.make_tensor_value_info("melspectrogram", TensorProto.FLOAT, [BATCH, FRAMES, BANDS])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [BATCH, BANDS])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    drawn = constants()
    (TEACHERS / "discogs_random.pb").write_bytes(frozen_graph(drawn))
    (TEACHERS / "discogs_random.onnx").write_bytes(onnx_model(drawn))
    (HERE / "other.pb").write_bytes(other_graph())
    (HERE / "other.onnx").write_bytes(other_onnx())
