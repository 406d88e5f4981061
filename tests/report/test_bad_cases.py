"""Pairs that are judged wrongly, as files."""

import csv

import cv2
import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.verification import evaluate_pairs
from arcface_gluon.report.bad_cases import write_bad_cases


def vectors(angles):
    """Pairs of unit vectors at these angles, in degrees."""
    return np.array([v for a in np.radians(angles) for v in ((1, 0), (np.cos(a), np.sin(a)))])


def test_the_wrong_ones_and_no_others(tmp_path):
    angles = np.tile([20.0, 100.0], 10)
    issame = np.tile([True, False], 10)
    angles[[3, 6]] = 15, 130  # pair 3: impostors that look alike; pair 6: one person who does not
    result = evaluate_pairs(vectors(angles), issame)
    images = [cv2.imencode(".png", np.full((10 + i % 2, 20, 3), i, np.uint8))[1].tobytes() for i in range(40)]
    assert write_bad_cases(tmp_path / "bad", result, images) == 2
    with open(tmp_path / "bad" / "bad-cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = [(int(row["pair"]), row["same"], row["judged"], float(row["angle"])) for row in rows]
    assert sorted(found) == [(3, "False", "accepted", 15), (6, "True", "rejected", 130)]
    distances = [abs(float(row["angle"]) - float(row["threshold"])) for row in rows]
    assert distances == sorted(distances, reverse=True)
    picture = cv2.imread(str(tmp_path / "bad" / next(row["file"] for row in rows if row["pair"] == "3")))
    assert picture.shape == (11, 44, 3) and (picture[:10, :20] == 6).all() and (picture[:, 24:] == 7).all()
    with pytest.raises(UserError, match="is there already"):
        write_bad_cases(tmp_path / "bad", result, images)
