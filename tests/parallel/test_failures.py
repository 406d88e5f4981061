"""What MXNet says of a transfer that failed is told from its other errors."""

from __future__ import annotations

import mxnet as mx
import pytest

from arcface_gluon.parallel.failures import transfer_failed


@pytest.mark.parametrize(
    "text",
    [
        "Horovod has been shut down. This was caused by an exception on one of the ranks",
        "[enforce fail at gloo/transport/tcp/pair.cc:589] Read error",
        "Gloo connectFullMesh failed",
        "Read error [127.0.0.1]:4711: Connection reset by peer",
        "Connection closed by peer",
        "NCCL error 2: unhandled system error",
    ],
)
def test_a_failed_transfer_is_known_by_its_words(text):
    assert transfer_failed(mx.MXNetError(text))
    assert not transfer_failed(ValueError(text))


def test_other_failures_of_mxnet_are_not_taken_for_one():
    assert not transfer_failed(mx.MXNetError("Shape inconsistent, Provided = [2,3], inferred shape=[2,4]"))
