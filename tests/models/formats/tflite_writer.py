"""MobileFaceNet as TensorFlow's converter leaves it, with random weights, written with TFLite's schema."""

import flatbuffers
import numpy as np
import tflite

KINDS = tflite.BuiltinOperator
BATCH = 2


class Writer:
    """Collects tensors, buffers and operators; `content` is the file."""

    def __init__(self, seed=0):
        self.builder = flatbuffers.Builder(1 << 20)
        self.random = np.random.default_rng(seed)
        self.buffers, self.tensors, self.operators, self.codes = [self._buffer()], [], [], []
        self.input = self.tensor((BATCH, 112, 112, 3))

    def _buffer(self, value=None):
        data = None if value is None else self.builder.CreateNumpyVector(np.frombuffer(value.tobytes(), np.uint8))
        tflite.BufferStart(self.builder)
        if data is not None:
            tflite.BufferAddData(self.builder, data)
        return tflite.BufferEnd(self.builder)

    def tensor(self, shape, value=None, kind=tflite.TensorType.FLOAT32):
        """A tensor, stored where it has a value; gives its number."""
        buffer = 0
        if value is not None:
            self.buffers.append(self._buffer(value))
            buffer = len(self.buffers) - 1
        sides = self.builder.CreateNumpyVector(np.array(shape, np.int32))
        tflite.TensorStart(self.builder)
        tflite.TensorAddShape(self.builder, sides)
        tflite.TensorAddType(self.builder, kind)
        tflite.TensorAddBuffer(self.builder, buffer)
        self.tensors.append(tflite.TensorEnd(self.builder))
        return len(self.tensors) - 1

    def weights(self, *shape, low=None):
        scale = np.sqrt(1.5 / (np.prod(shape) / max(shape[0], shape[-1] if shape[0] == 1 else 1)))
        value = self.random.normal(0, scale, shape) if low is None else self.random.uniform(low, -low, shape)
        return self.tensor(shape, value.astype(np.float32))

    def operator(self, kind, inputs, shape, options=None, options_kind=0):
        """An operator; gives the number of the tensor it computes."""
        if kind not in self.codes:
            self.codes.append(kind)
        target = self.tensor(shape)
        sources = self.builder.CreateNumpyVector(np.array(inputs, np.int32))
        targets = self.builder.CreateNumpyVector(np.array([target], np.int32))
        tflite.OperatorStart(self.builder)
        tflite.OperatorAddOpcodeIndex(self.builder, self.codes.index(kind))
        tflite.OperatorAddInputs(self.builder, sources)
        tflite.OperatorAddOutputs(self.builder, targets)
        if options is not None:
            tflite.OperatorAddBuiltinOptionsType(self.builder, options_kind)
            tflite.OperatorAddBuiltinOptions(self.builder, options)
        self.operators.append(tflite.OperatorEnd(self.builder))
        return target

    def convolution(self, x, inputs, outputs, side, kernel=1, stride=1, depthwise=False, valid=False):
        """(tensor, side of its map); a depthwise one has as many outputs as inputs."""
        kind = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        getattr(tflite, f"{kind}Start")(self.builder)
        getattr(tflite, f"{kind}AddPadding")(self.builder, int(valid))
        getattr(tflite, f"{kind}AddStrideW")(self.builder, stride)
        getattr(tflite, f"{kind}AddStrideH")(self.builder, stride)
        if depthwise:
            tflite.DepthwiseConv2DOptionsAddDepthMultiplier(self.builder, 1)
        options = getattr(tflite, f"{kind}End")(self.builder)
        shape = (1, kernel, kernel, outputs) if depthwise else (outputs, kernel, kernel, inputs)
        sources = [x, self.weights(*shape), self.weights(outputs, low=-0.2)]
        side = 1 if valid else side // stride
        code = KINDS.DEPTHWISE_CONV_2D if depthwise else KINDS.CONV_2D
        option_kind = getattr(tflite.BuiltinOptions, kind)
        return self.operator(code, sources, (BATCH, side, side, outputs), options, option_kind), side

    def prelu(self, x, channels, side):
        """relu(x) + c (x - |x|)."""
        shape = (BATCH, side, side, channels)
        positive = self.operator(KINDS.RELU, [x], shape)
        absolute = self.operator(KINDS.ABS, [x], shape)
        negative = self.operator(KINDS.SUB, [x, absolute], shape)
        scaled = self.operator(KINDS.MUL, [self.weights(channels, low=-0.2), negative], shape)
        return self.operator(KINDS.ADD, [positive, scaled], shape)

    def unit(self, x, inputs, inner, outputs, side, stride=1):
        y, _ = self.convolution(x, inputs, inner, side)
        y, side = self.convolution(self.prelu(y, inner, side), inner, inner, side, 3, stride, depthwise=True)
        y, _ = self.convolution(self.prelu(y, inner, side), inner, outputs, side)
        return (self.operator(KINDS.ADD, [y, x], (BATCH, side, side, outputs)) if stride == 1 else y), side

    def content(self, output, identifier=b"TFL3"):
        builder = self.builder

        def vector(offsets):
            builder.StartVector(4, len(offsets), 4)
            for offset in reversed(offsets):
                builder.PrependUOffsetTRelative(offset)
            return builder.EndVector()

        codes = []
        for kind in self.codes:
            tflite.OperatorCodeStart(builder)
            tflite.OperatorCodeAddBuiltinCode(builder, kind)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(kind, 127))
            tflite.OperatorCodeAddVersion(builder, 1)
            codes.append(tflite.OperatorCodeEnd(builder))
        parts = [vector(self.tensors), vector(self.operators)]
        ends = [builder.CreateNumpyVector(np.array([number], np.int32)) for number in (self.input, output)]
        tflite.SubGraphStart(builder)
        tflite.SubGraphAddTensors(builder, parts[0])
        tflite.SubGraphAddOperators(builder, parts[1])
        tflite.SubGraphAddInputs(builder, ends[0])
        tflite.SubGraphAddOutputs(builder, ends[1])
        graphs, codes, buffers = vector([tflite.SubGraphEnd(builder)]), vector(codes), vector(self.buffers)
        tflite.ModelStart(builder)
        tflite.ModelAddVersion(builder, 3)
        tflite.ModelAddOperatorCodes(builder, codes)
        tflite.ModelAddSubgraphs(builder, graphs)
        tflite.ModelAddBuffers(builder, buffers)
        builder.Finish(tflite.ModelEnd(builder), identifier)
        return bytes(builder.Output())


def mobilefacenet(counts=(1, 1, 2, 1), size=24):
    """The content of a file; a linear 1x1 convolution follows the first depthwise one, another the last."""
    writer = Writer()
    x, side = writer.convolution(writer.input, 3, 64, 112, 3, 2)
    x, _ = writer.convolution(writer.prelu(x, 64, side), 64, 64, side, 3, depthwise=True)
    x, _ = writer.convolution(writer.prelu(x, 64, side), 64, 64, side)
    inputs = 64
    for count, (outputs, strided, following) in zip(counts[1:], ((64, 128, 128), (128, 256, 256), (128, 512, 256))):
        x, side = writer.unit(x, inputs, strided, outputs, side, 2)
        for _ in range(count):
            x, _ = writer.unit(x, outputs, following, outputs, side)
        inputs = outputs
    x, _ = writer.convolution(x, inputs, 512, side)
    x, _ = writer.convolution(writer.prelu(x, 512, side), 512, 512, side, 7, depthwise=True, valid=True)
    x, _ = writer.convolution(x, 512, 512, 1)
    x, _ = writer.convolution(x, 512, size, 1)
    shape = writer.tensor((2,), np.array([BATCH, size], np.int32), tflite.TensorType.INT32)
    return writer.content(writer.operator(KINDS.RESHAPE, [x, shape], (BATCH, size)))
