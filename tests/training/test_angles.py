"""Which iterations each histogram holds, and how angles fall into it."""

import numpy as np
import pytest

from arcface_gluon.training.angles import PHASES, AngleHistograms


@pytest.mark.parametrize("iterations", [1, 2, 3, 49, 50, 200, 32_000])
def test_every_phase_is_written_once_and_the_windows_lie_in_order(iterations):
    histograms = AngleHistograms(iterations)
    records = [r for i in range(1, iterations + 1) for r in histograms.add(i, np.array([1.0]))]
    assert [record["phase"] for record in records] == list(PHASES)
    windows = list(histograms.windows.values())
    assert windows[0][0] == 1 and windows[2][1] == iterations
    assert windows == sorted(windows)
    for record, (first, last) in zip(records, windows):
        assert record["first"] == first and sum(record["counts"]) == last - first + 1


def test_the_middle_is_in_the_middle():
    (_, _), (first, last), (_, _) = AngleHistograms(1000).windows.values()
    assert (first + last) / 2 == pytest.approx(500.5, abs=1)


def test_angles_fall_into_their_degree():
    (record,) = AngleHistograms(100).add(2, np.radians([0, 0.5, 29.99, 30.01, 179.5, 180]))
    counts = np.array(record["counts"])
    assert counts.sum() == 6 and counts[[0, 29, 30, 179]].tolist() == [2, 1, 1, 2]


def test_a_loss_without_centres_has_no_angles():
    assert AngleHistograms(1).add(1, np.zeros(0)) == []
