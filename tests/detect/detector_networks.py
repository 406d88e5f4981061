"""Small networks as .onnx with the inputs and outputs of YuNet and of insightface's detectors."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class _Graph:
    def __init__(self):
        self.nodes, self.constants, self.outputs = [], [], []

    def add(self, kind, inputs, name, **options):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **options))
        return name

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def means(self, side):
        """Means of the cells of so many pixels, (1, 3, rows, columns)."""
        return self.add("AveragePool", ["pixels"], f"mean_{side}", kernel_shape=[side] * 2, strides=[side] * 2)

    def rows(self, cells, name, weight, bias, sigmoid=False, shape=(-1,)):
        """A 1x1 convolution of cells, as one row a cell and box."""
        weights = self.constant(f"{name}_w", weight.astype(np.float32)[..., None, None])
        biases = self.constant(f"{name}_b", bias.astype(np.float32))
        out = self.add("Conv", [cells, weights, biases], f"{name}_conv", kernel_shape=[1, 1])
        out = self.add("Sigmoid", [out], f"{name}_sigmoid") if sigmoid else out
        out = self.add("Transpose", [out], f"{name}_last", perm=[0, 2, 3, 1])
        self.add("Reshape", [out, self.constant(f"{name}_shape", np.array(shape, np.int64))], name)
        shape = [size if size > 0 else f"{name}_cells" for size in shape]
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def save(self, path, sides=("height", "width")):
        taken = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, *sides])
        graph = helper.make_graph(self.nodes, "detector", [taken], self.outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
        onnx.save(model, str(path))
        return path


def scrfd(path, strides=(8, 16, 32), each=2, widths=(1, 4, 10), batched=False, sides=("height", "width"), seed=0):
    """A random network whose scores, boxes and landmarks at each stride follow the means of its cells."""
    graph, random = _Graph(), np.random.default_rng(seed)
    means = {stride: graph.means(stride) for stride in strides}
    for kind, width in enumerate(widths):
        for stride in strides:
            # Distances of a box's sides are above 0.
            spread, middle = ((2, -2), (0.3, 2.5), (1, 1))[kind]
            weight, bias = random.normal(0, spread, (each * width, 3)), random.normal(middle, 0.3, each * width)
            shape = (1, -1, width) if batched else (-1, width)
            graph.rows(means[stride], f"{'sbk'[kind]}_{stride}", weight, bias, kind == 0, shape)
    return graph.save(path, sides)


def yunet(path):
    """A network that takes cells of 8 pixels that are bright for faces of 24 pixels around them."""
    graph = _Graph()
    means = {stride: graph.means(stride) for stride in (8, 16, 32)}
    points = np.array([-1, -1, 1, -1, 0, 0, -1, 1, 1, 1])  # in units of a cell
    boxes = np.array([0.5, 0.5, np.log(3), np.log(3)])
    bright = np.array([-90])
    heads = {"cls": (bright, 0.5), "obj": (bright, 0.5), "bbox": (boxes, 0), "kps": (points + 0.5, 0)}
    for name, (bias, weight) in heads.items():
        for stride in (8, 16, 32):
            scale = weight if stride == 8 else 0
            weights = np.full((len(bias), 3), scale / 3)
            graph.rows(means[stride], f"{name}_{stride}", weights, bias, weight > 0, (1, -1, len(bias)))
    return graph.save(path, (64, 96))
