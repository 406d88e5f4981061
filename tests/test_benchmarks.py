"""Benchmarks: floors are the products they stand for, rows are medians of rounds, and the page keeps other machines."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest
from arcface_gluon.benchmarks import docs, floors, peers, run

TABLE = "| what | ratio |\n| --- | ---: |\n| {} | 1 |"


def test_every_library_computes_the_three_products():
    random = np.random.default_rng(0)
    x, w = (random.normal(size=(n, 16)).astype(np.float32) for n in (6, 40))
    expected = (x @ w.T).T @ x
    for name, work in floors.head_products(x, weight := mx.nd.array(w), gradient := mx.nd.zeros((40, 16))).items():
        gradient[:] = 0
        mx.nd.waitall()
        work()
        if name == "oneDNN":  # its weighted features are x as well
            assert np.array_equal(weight.asnumpy(), w)
        np.testing.assert_allclose(gradient.asnumpy(), expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_row_is_the_median_of_the_rounds_ratios():
    row = floors.row("work", np.array([2.0, 9.0, 4.0]), np.array([1.0, 3.0, 4.0]), "NumPy", "ms")
    assert (row["value"], row["floor"], row["ratio"], row["spread"]) == (4000, 3000, 2, 0.5)
    assert floors.fastest({"slow": np.array([3.0, 3.0]), "fast": np.array([1.0, 2.0])})[0] == "fast"


def test_works_take_turns():
    order = []
    seconds = floors.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4 and {len(times) for times in seconds.values()} == {3}


def test_the_page_keeps_other_machines_and_other_parts(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Speed\n\nWords.\n\n<!-- machine: old -->\n\n## old\n\n### head\n\nkept\n\n{docs.END}\n")
    docs.write(page, "new", "Today.", {"head": TABLE.format("first"), "search": TABLE.format("second")})
    docs.write(page, "new", "Tomorrow.", {"head": TABLE.format("third")})
    text = page.read_text()
    assert [text.count(word) for word in ("kept", "first", "second", "third", "Today.", "## new")] == [1, 0, 1, 1, 1, 1]
    assert text.index("Words.") < text.index("## new") < text.index("## old")
    once = text
    docs.write(page, "new", "Tomorrow.", {"head": TABLE.format("third")})
    assert page.read_text() == once


def test_a_table_leaves_empty_columns_out():
    lines = run.table([{"what": "a", "value": 1.5, "unit": "s"}, {"what": "b", "value": 1234567.0}]).splitlines()
    assert lines[0] == "| what | value | unit |" and lines[3] == "| b | 1,234,567 |  |"


@pytest.mark.skipif(not floors.has("torch"), reason="PyTorch is not installed")
def test_the_peers_head_has_the_same_loss():
    import torch

    random = np.random.default_rng(0)
    x, w = (random.normal(size=(n, 16)).astype(np.float32) for n in (6, 40))
    labels, losses = random.integers(0, 40, 6), []
    cross_entropy = torch.nn.functional.cross_entropy

    def seen(*arguments):
        losses.append(cross_entropy(*arguments))
        return losses[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", seen)
        peers.heads(x, labels, w)["PyTorch autograd"]()
    from arcface_gluon import ShardedMarginHead

    head = ShardedMarginHead(40, 16, [mx.cpu()])
    head.set_centres(w)
    assert float(losses[0].detach()) == pytest.approx(head.forward_backward([mx.nd.array(x)], [labels])[0], rel=1e-4)
