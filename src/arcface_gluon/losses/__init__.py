"""Losses of the paper, and later ones that share its head: margins, and the softmax over sharded identities."""

from __future__ import annotations

from .adaptive import AdaFace, MagFace
from .build import build_head
from .curricular import CurricularHead
from .margins import Margin
from .regularisers import Inter, Intra
from .sharded_head import ShardedMarginHead
from .softmax_head import SoftmaxHead
from .sub_centre import SubCentreHead
from .triplet import TripletHead

__all__ = [
    "AdaFace",
    "CurricularHead",
    "Inter",
    "Intra",
    "MagFace",
    "Margin",
    "ShardedMarginHead",
    "SoftmaxHead",
    "SubCentreHead",
    "TripletHead",
    "build_head",
]
