"""A small run folder as training and verification leave it."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.verification_store import save_verification

PAIRS = 200


@pytest.fixture
def result():
    """A verification with errors of both kinds."""
    rng = np.random.default_rng(1)
    issame = np.arange(PAIRS) % 2 == 0
    embeddings = rng.normal(size=(PAIRS, 2, 16)).astype(np.float32)
    embeddings[issame, 1] = embeddings[issame, 0] + 1.5 * rng.normal(size=(issame.sum(), 16))
    return evaluate_pairs(embeddings.reshape(-1, 16), issame)


@pytest.fixture
def images():
    """Its encoded images, all different."""
    grey = cv2.imencode(".jpg", np.full((112, 112, 3), 128, np.uint8))[1].tobytes()
    return [grey + bytes(divmod(index, 256)) for index in range(2 * PAIRS)]  # what follows a JPEG is not shown


@pytest.fixture
def run_dir(tmp_path, result, images):
    """runs/casia_r50 with every part of a run, verified on lfw and orl."""
    folder = tmp_path / "runs" / "casia_r50"
    folder.mkdir(parents=True)
    for name in ("lfw", "orl"):
        save_verification(folder, name, result, images)
    recipe = {
        "seed": 3,
        "loss": "arcface",
        "network": {"name": "r50"},
        "data": {"path": "datasets/casia"},
        "train": {"iterations": 400},
        "paper": {"table": "table2_losses", "row": "ArcFace (0.5)"},
    }
    summary = {
        "seed": 3,
        "iterations": 400,
        "images_per_second": 171.234,
        "peak_memory_mib": 1432.5,
        "verification": {"lfw": result.to_json(), "orl": result.to_json()},
        "data": {"path": "datasets/casia", "images": 490_623, "identities": 10_572},
        "environment": {"python": "3.11.7", "devices": ["cpu(0)", "cpu(1)"]},
    }
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "summary.json").write_text(json.dumps(summary))
    rows = []
    for iteration in range(20, 401, 20):
        lr = 0.1 if iteration < 300 else 0.01
        rows.append(
            {
                "iteration": iteration,
                "loss": 900 / iteration,
                "accuracy": iteration / 500,
                "lr": lr,
                "seconds": iteration,
            }
        )
        if iteration % 200 == 0:
            rows.append({"iteration": iteration, "verification": {"lfw": {"accuracy": 0.9, "std": 0.01}}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
