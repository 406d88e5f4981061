"""Blocks of the score matrix on several devices, and what unit() refuses."""

from __future__ import annotations

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.scores.blocks import UnitBlocks, as_unit, block_edges, score_blocks, unit
from arcface_gluon.runtime import contexts


@pytest.mark.parametrize("devices", ["cpu(0)", "cpu(0),cpu(1),cpu(2)"])
def test_blocks_make_up_the_product_on_any_devices(devices):
    random = np.random.default_rng(0)
    rows, columns = unit(random.normal(size=(37, 8))), unit(random.normal(size=(101, 8)))
    columns.flags.writeable = False  # as a read-only memory map
    result = np.full((37, 101), np.nan)
    order = []
    for i, j, scores in score_blocks(rows, lambda a, b: columns[a:b], block_edges(101, 30, [7]), contexts(devices), 16):
        result[i : i + len(scores), j : j + scores.shape[1]] = scores
        order.append((j, i))
    np.testing.assert_allclose(result, rows.astype(float) @ columns.T.astype(float), atol=1e-6)
    assert order == sorted(order)


def test_a_block_without_columns_is_passed_over():
    rows = unit(np.eye(3))
    blocks = score_blocks(rows, lambda a, b: rows[a:b][:a], [0, 1, 2, 3], contexts("cpu"))
    assert [j for _, j, _ in blocks] == [1, 2]


def test_no_rows_or_no_columns_give_no_blocks():
    none = np.empty((0, 4), np.float32)
    assert list(score_blocks(none, lambda a, b: none, [0, 5], contexts("cpu"))) == []
    assert list(score_blocks(unit(np.ones((2, 4))), lambda a, b: none, block_edges(0), contexts("cpu"))) == []


def test_edges():
    assert block_edges(0) == [0]
    assert block_edges(5, 10) == [0, 5]
    assert block_edges(20, 10) == [0, 10, 20]
    assert block_edges(25, 10, [4]) == [0, 4, 14, 24, 25]
    assert block_edges(6, 10, [2, 3]) == [0, 2, 5, 6]
    assert block_edges(5, 10, [2, 3]) == [0, 2, 5]


def test_unit_rows_also_of_extreme_sizes():
    features = np.array([[3, 4], [3e30, 4e30], [3e-30, 4e-30], [-3e-7, 4e-7], [3e200, 4e200]])
    np.testing.assert_allclose(np.abs(unit(features)), [[0.6, 0.8]] * 5, rtol=1e-6)
    memory = np.zeros((9, 2), np.float32)
    assert np.shares_memory(unit(features, out=memory), memory) and memory[5:].sum() == 0


def test_what_is_unit_is_not_scaled_again():
    features = np.random.default_rng(3).normal(size=(20, 64))
    ready = as_unit(features)
    assert np.array_equal(ready, unit(features)) and as_unit(ready) is ready
    with pytest.raises(UserError, match="probe 1 is a zero vector"):
        as_unit(np.diag([1.0, 0, 1]), range(3), "probe")


def test_unit_blocks_hand_on_what_is_unit():
    features = unit(np.random.default_rng(2).normal(size=(1500, 64)))
    load = UnitBlocks(features, contexts("cpu"))
    assert np.shares_memory(load(100, 1200), features)
    features[1100] *= 1.001
    scaled = load(100, 1200)
    assert not np.shares_memory(scaled, features)
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), 1, atol=1e-6)
    features[1100, 3] = np.nan
    with pytest.raises(UserError, match="embedding 1100 has NaN"):
        load(100, 1200)


@pytest.mark.parametrize("devices", ["cpu(0)", "cpu(0),cpu(1)"])
@pytest.mark.parametrize("rows", [3, 40])
def test_memory_of_unit_blocks_is_not_used_again_too_early(devices, rows):
    random = np.random.default_rng(1)
    rows, columns, keep = unit(random.normal(size=(rows, 8))), random.normal(size=(200, 8)), random.random(200) < 0.8
    devices = contexts(devices)
    result = np.full((len(rows), 200), np.nan)
    for i, j, scores in score_blocks(rows, UnitBlocks(columns, devices, keep=keep), block_edges(200, 9), devices, 16):
        kept = np.flatnonzero(keep[j : j + 9]) + j
        result[i : i + len(scores), kept] = scores
    expected = np.where(keep, rows @ unit(columns).T, np.nan)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("value, words", [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (0, "zero vector")])
def test_bad_rows_are_refused_by_name(value, words):
    features = np.ones((3, 4))
    features[1] = value
    with pytest.raises(UserError, match=f"probe b .*{words}"):
        unit(features, names="abc", what="probe")
    with pytest.raises(UserError, match=f"embedding number 1 .*{words}"):
        unit(features)
