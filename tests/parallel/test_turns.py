"""Work on several CPU contexts is done before the next begins; on others it is only issued."""

from __future__ import annotations

from types import SimpleNamespace

import mxnet as mx
import pytest

from arcface_gluon.parallel import turns


@pytest.mark.parametrize(
    ("contexts", "waits"), [([mx.cpu(0)], 0), ([mx.cpu(0), mx.cpu(1)], 2), ([mx.gpu(0), mx.gpu(1)], 0)]
)
def test_waits_after_each_cpu_context_only(monkeypatch, contexts, waits):
    seen = []
    fake = SimpleNamespace(nd=SimpleNamespace(waitall=lambda: seen.append("wait")))
    monkeypatch.setattr(turns, "mx", fake)
    for context in turns.in_turn(contexts, contexts):
        seen.append(context)
    assert seen.count("wait") == waits and [item for item in seen if item != "wait"] == contexts
    assert not waits or seen[1::2] == ["wait", "wait"]
