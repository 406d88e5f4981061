"""Losses of the paper: the margin on the target angle and the softmax over sharded identities."""

from __future__ import annotations

from .margins import Margin
from .sharded_head import ShardedMarginHead

__all__ = ["Margin", "ShardedMarginHead"]
