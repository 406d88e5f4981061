"""Model files of other tools: what each is, and what to do with it."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UserError

_ELSE = "train here, or take the MXNet files of the same model, model-symbol.json and model-0000.params"
# Ending -> what such a file is, and what to do.
_KINDS = {
    ".pth.tar": f"a training checkpoint of PyTorch; save its network's state_dict as .pth, or {_ELSE}",
    ".ckpt": f"a checkpoint of PyTorch or TensorFlow; {_ELSE}",
    ".safetensors": f"a file of safetensors; {_ELSE}",
    ".onnx": "an ONNX network, which is written here and not read; give the run or the model it was made of",
    ".h5": f"a Keras model; {_ELSE}",
    ".hdf5": f"a Keras model; {_ELSE}",
    ".keras": f"a Keras model; {_ELSE}",
    ".pb": f"a TensorFlow graph; {_ELSE}",
    ".mlmodel": "a Core ML network; take the model that it was made of",
    ".trt": "a TensorRT engine, made for one GPU; take the model that it was made of",
    ".engine": "a TensorRT engine, made for one GPU; take the model that it was made of",
    ".caffemodel": f"a Caffe network; {_ELSE}",
    ".bin": "a verification set, or weights of another tool; sets are given with --bin",
    ".rec": "a file of training records; images are given without --model",
    ".npy": "an array of features; evaluations take it with --features",
    ".zip": "an archive; unpack it and give the folder",
    ".tar": "an archive; unpack it and give the folder",
    ".gz": "an archive; unpack it and give the folder",
}


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Say what a file is that no model is read from; nothing where its name is that of a model, or there is no file.

    Raises:
        UserError: the file is of another tool.
    """
    path = Path(path)
    name = path.name.lower()
    kind = next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), None)
    if path.is_dir() and (path / "saved_model.pb").is_file():
        kind = f"a TensorFlow SavedModel; {_ELSE}"
    elif not path.is_file():
        return
    if kind:
        raise UserError(f"{path} is {kind}")
