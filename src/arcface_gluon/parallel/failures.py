"""Transfers between processes that failed, because one of them has ended or no longer answers."""

from __future__ import annotations

import re
from contextlib import suppress

_TRANSFER = re.compile("Horovod|[Gg]loo|NCCL|by peer")


def transfer_failed(error: BaseException) -> bool:
    """Whether an exception of MXNet's says that a transfer between processes failed."""
    # By name: MXNet may not be imported.
    return type(error).__name__ == "MXNetError" and _TRANSFER.search(str(error)) is not None


def drain_failures() -> None:
    """Wait for what else fails for the same reason: MXNet would raise it at exit, as a traceback after our line."""
    import mxnet as mx

    with suppress(mx.MXNetError):
        mx.nd.waitall()
