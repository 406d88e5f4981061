"""Networks in the file formats of other tools, each read or written in a module of its own; `exporting` writes all."""

__all__ = [
    "exporting",
    "metadata",
    "mtcnn_weights",
    "npz_file",
    "onnx_file",
    "onnx_writer",
    "tflite_file",
    "torch_file",
]
