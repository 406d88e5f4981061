"""Figures 8 and 9 show the results they are given."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.protocols.megaface import identify
from arcface_gluon.report.figures.benchmarks import megaface_curves, template_curves


@pytest.fixture(scope="module")
def results():
    """Three lists of two sizes, in two protocols."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 5)
    probes = random.normal(size=(4, 6))[labels] + random.normal(size=(20, 6))
    found = {}
    for protocol, noise in (("original", 0.0), ("refined (R)", 1.0)):
        better = probes + noise * np.repeat(probes.reshape(4, 5, 6).mean(axis=1), 5, axis=0)
        galleries = {(10, 1): 10, (10, 2): 11, (300, 2): 300}
        found[protocol] = {
            key: identify(better, labels, random.normal(size=(size, 6)), "cpu(0)") for key, size in galleries.items()
        }
    return found


def lines(axis):
    return {line.get_label(): line.get_xydata() for line in axis.get_lines()}


def test_figure_8(results):
    sizes, ranks, roc = megaface_curves(results).axes
    for protocol, measured in results.items():
        mean = (measured[10, 1].rank1 + measured[10, 2].rank1) / 2
        np.testing.assert_allclose(lines(sizes)[protocol], [[10, mean], [300, measured[300, 2].rank1]])
        largest = measured[300, 2]
        for rank, rate in lines(ranks)[protocol]:
            assert rate == pytest.approx(largest.cmc(rank))
        assert lines(ranks)[protocol][0][0] == 1 and lines(ranks)[protocol][-1].tolist() == [301, 1]
        for far, tar in lines(roc)[protocol][1:]:
            assert tar == pytest.approx(largest.curve.at(f"{far + 1e-9:.9f}")[1])
    assert [axis.get_xscale() for axis in (sizes, ranks, roc)] == ["log"] * 3
    assert ranks.get_xlabel() == "rank among 300 distractors"
    lowest = min(one.rank1 for measured in results.values() for one in measured.values())
    assert sizes.get_ylim() == ranks.get_ylim() and sizes.get_ylim()[0] < lowest


def test_figure_8_begins_where_the_papers_axis_does(results):
    result = results["original"][300, 2]
    result.curve.total = 10**9  # as of a million distractors: FARs below 1e-6 are known
    try:
        *_, roc = megaface_curves({"original": {(300, 2): result}}).axes
    finally:
        result.curve.total = 20 * 300
    assert roc.get_xlim()[0] == lines(roc)["original"][0][0] == 1e-6


def test_figure_9_has_a_panel_for_each_benchmark(results):
    curve = results["original"][10, 1].curve
    axes = template_curves({"IJB-B": curve, "IJB-C": curve}).axes
    assert [axis.get_title() for axis in axes] == ["IJB-B", "IJB-C"]
    np.testing.assert_array_equal(lines(axes[0])["IJB-B"], lines(axes[1])["IJB-C"])
    assert len(template_curves({"IJB-C": curve}).axes) == 1
