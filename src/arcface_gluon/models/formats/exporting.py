"""The way out: a network into a file of another tool, which is read again and compared before it is believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import autograd

from ...errors import UserError
from ...files import atomic_write
from ...runtime import import_optional
from ..backbone import Backbone, input_size
from ..exported import SymbolNetwork
from ..load import export_model, load_model
from .metadata import metadata_of
from .npz_file import write_npz
from .onnx_file import onnx_model, run_onnx
from .torch_file import write_torch

# name → how its files end: prefix-symbol.json and prefix-0000.params for mxnet.
FORMATS = {"onnx": ".onnx", "mxnet": "", "torch": ".pth", "npz": ".npz"}
# Other endings that people know these formats by.
_ALSO = {".pt": "torch", "-symbol.json": "mxnet", ".params": "mxnet"}
# Below this cosine between an image's embeddings before and after, a file is refused.
_LEAST_COSINE = 0.999


@dataclass(frozen=True)
class Exported:
    """What `export` wrote.

    Attributes:
        path: the file, or the prefix of the two files of mxnet.
        size: bytes of all its files.
        difference: largest difference of an embedding's value, relative to the largest value; None: not compared.
        cosine: least cosine between the embeddings of an image before and after; None: not compared.
        by: what computed the embeddings after, such as "ONNX Runtime 1.20".
    """

    path: Path
    size: int
    difference: float | None
    cosine: float | None
    by: str


def export(
    model: Backbone | SymbolNetwork | str | Path,
    path: str | Path,
    to: str | None = None,
    *,
    images: np.ndarray | None = None,
    raw: bool = False,
    normalise: bool = False,
    float16: bool = False,
    opset: int = 13,
    metadata: dict[str, str] | None = None,
) -> Exported:
    """Write a network for ONNX Runtime, OpenCV and insightface (onnx), MXNet's Module (mxnet), arcface_torch or NumPy.

    Args:
        model: a network of `get_model` or `load_model`, or the path of one, which then also describes it in the file.
        path: the file, or for mxnet the prefix of prefix-symbol.json and prefix-0000.params.
        to: a key of `FORMATS`; None: what the path ends in, onnx where it has no ending.
        images: RGB (B, 3, H, W), 0..255: the written file is run on them and compared; None: it is not.
        raw, normalise, float16, opset: of ONNX alone, see `onnx_model`.
        metadata: {name: text} to put into the file instead of what `metadata_of` finds.

    Raises:
        UserError: unknown format, a package is missing, options of another format, the network cannot be exported, the
            file cannot be written, or gives other embeddings (an ONNX file is then not written).
    """
    to = format_of(path, to)
    if to != "onnx" and (raw or normalise or float16 or opset != 13):
        raise UserError(f"--raw, --normalise, --float16 and --opset are for --to onnx, not {to}")
    if isinstance(model, (str, Path)):
        metadata = metadata_of(model) if metadata is None else metadata
        model = load_model(model, [mx.cpu()])
    path = Path(path)
    if to in ("torch", "npz") and not isinstance(model, Backbone):
        raise UserError(
            f"--to {to}: the model is a symbol of none of this project's networks; export it to onnx or mxnet"
        )
    if to == "onnx":
        content = onnx_model(
            model, input_size(model), raw=raw, normalise=normalise, float16=float16, opset=opset, metadata=metadata
        ).SerializeToString()
        after, by = _by_onnx(content, images, raw)
        agreement = _agreement(model, images, after, path, normalise)
        with atomic_write(path) as file:
            file.write(content)
        return Exported(path, len(content), *agreement, by)
    if to == "mxnet":
        export_model(model, path)
        files = [Path(f"{path}-symbol.json"), Path(f"{path}-0000.params")]
    else:
        write_torch(model, path) if to == "torch" else write_npz(model, path, metadata)
        files = [path]
    after = None if images is None else _embeddings(load_model(files[0], [mx.cpu()]), images)
    size = sum(file.stat().st_size for file in files)
    return Exported(path, size, *_agreement(model, images, after, path), "reading it again")


def format_of(path: str | Path | None, to: str | None = None) -> str:
    """The format to write: `to`, or what `path` ends in; onnx where nothing says another.

    Raises:
        UserError: `to` is no key of `FORMATS`, the path is named as another format would be, it ends in what is none
            without `to`, or it is one of mxnet's two files in place of their prefix.
    """
    if to is not None and to not in FORMATS:
        raise UserError(f"--to {to}: choose one of {', '.join(FORMATS)}")
    name = Path(path or "").name
    endings = {**{ending: known for known, ending in FORMATS.items() if ending}, **_ALSO}
    found = next((known for ending, known in endings.items() if name.endswith(ending)), None)
    if to and found and to != found:
        raise UserError(f"--out {path} is named as --to {found} would be, not {to}; name it otherwise")
    if found == "mxnet":
        raise UserError(f"--out {path}: mxnet has two files; give what stands before -symbol.json, and --to mxnet")
    if not (to or found) and Path(name).suffix:
        raise UserError(
            f"--out {path} ends in no format's ending; say with --to what it is to be: {', '.join(FORMATS)}"
        )
    return to or found or "onnx"


def _by_onnx(content, images, raw):
    if images is None:
        return None, ""
    return run_onnx(content, images, raw), f"ONNX Runtime {import_optional('onnxruntime').__version__}"


def _embeddings(net, images):
    context = next(iter(net.collect_params().values())).list_ctx()[0]
    with autograd.predict_mode():
        return net(mx.nd.array(images, ctx=context, dtype="float32")).asnumpy()


def _agreement(net, images, after, path, normalise=False) -> tuple[float | None, float | None]:
    """(difference, cosine) of the embeddings before and after.

    Raises:
        UserError: they are not the same.
    """
    if after is None:
        return None, None
    before, after = _embeddings(net, images).astype(np.float64), after.astype(np.float64)
    if not np.isfinite(before).all():
        raise UserError("the network gives NaN or infinite values; its parameters are damaged, or overflow")
    lengths = np.linalg.norm(before, axis=1)
    cosines = np.sum(before * after, axis=1) / (lengths * np.linalg.norm(after, axis=1))
    before = before / lengths[:, None] if normalise else before
    difference, cosine = float(np.abs(before - after).max() / np.abs(before).max()), float(cosines.min())
    if not cosine >= _LEAST_COSINE:
        raise UserError(f"{path} gives other embeddings than the network (cosine {cosine:.4f}); do not use it")
    return difference, cosine
