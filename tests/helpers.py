"""What several test files use; on the import path through pyproject.toml."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# A network and schedule small enough for a test, through the same options that users have.
TINY = [
    "network.name=r18",
    "network.options={'width': 0.125, 'units': [1, 1, 1, 1]}",
    "network.embedding_size=32",
    "train.batch_size=16",
    "train.lr=0.05",
    "train.lr_steps=[]",
    "train.log_every=1",
]


def start(arguments, folder, **options):
    """The command line as a process of its own, to be signalled or limited."""
    return subprocess.Popen([sys.executable, "-m", "arcface_gluon", *map(str, arguments)], cwd=folder, **options)


def tiny_jpeg(*values, size=(8, 8)):
    """A JPEG of (height, width); other whole numbers give other bytes."""
    pixels = np.random.default_rng(values).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return cv2.imencode(".jpg", cv2.resize(pixels, size[::-1]))[1].tobytes()


def people(count=16, each=9):
    """(picture, person) that pixels tell apart: a smooth pattern a person, with some noise."""
    random = np.random.default_rng(0)
    for person in range(count):
        pattern = cv2.resize(random.integers(40, 216, (6, 6, 3)).astype(np.float32), (112, 112))
        for _ in range(each):
            noisy = pattern + cv2.resize(random.normal(0, 25, (14, 14, 3)), (112, 112))
            yield np.clip(noisy, 0, 255).astype(np.uint8), person


def save_features(path, rows, names):
    """Features as float32 .npy with the index of names that `arcface-gluon embed` writes beside it."""
    np.save(path, np.array(rows, np.float32))
    write_lines(Path(path).with_suffix(".txt"), names)


def write_lines(path, lines):
    Path(path).write_text("".join(f"{line}\n" for line in lines))


def load_script(path):
    """A module of a top-level folder, by its path below the repository, such as eval/ytf.py."""
    return importlib.import_module("arcface_gluon." + path[: -len(".py")].replace("/", "."))


def optional(name):
    """A package of the extra `interop`; without it the test is skipped, unless REQUIRE_INTEROP is set, as in CI."""
    if os.environ.get("REQUIRE_INTEROP"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"needs {name}: make setup INTEROP=1")
