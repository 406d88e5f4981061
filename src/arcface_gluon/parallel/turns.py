"""CPU contexts one after the other: they share the same cores, and training all at once takes nearly twice as long."""

from __future__ import annotations

from typing import Iterable, Iterator

import mxnet as mx


def in_turn(items: Iterable, contexts: list[mx.Context]) -> Iterator:
    """Iterate over `items`, one a context: their work is issued, and on several CPU contexts done before the next.

    GPUs work at the same time: for them nothing waits.
    """
    wait = sum(context.device_type == "cpu" for context in contexts) > 1
    for item in items:
        yield item
        if wait:
            mx.nd.waitall()
