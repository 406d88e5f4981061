"""What a loss makes of the own class of each sample: what the sharded head asks of its margin and its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from .interfaces import SMALLEST_SINE

if TYPE_CHECKING:
    from .interfaces import LengthMargin, Margin
    from .regularisers import Intra


class Target(NamedTuple):
    """All (B,) float64, or a scalar where it is the same for all samples.

    Attributes:
        logit: target logit of the softmax, margin included.
        bare: the same without the margin, for the accuracy.
        cosine, slope: dlogit/dx = -slope (w - cosine x) and dlogit/dw = -slope (x - cosine w), x and w being what the
            shards call the sample's feature and centre. For unit vectors at the angle theta that is cosine =
            cos(theta), slope = dlogit/dtheta / sin(theta).
        term, term_slope: what each sample adds to the loss beside the softmax, and its slope in the same sense.
        by_length, term_by_length: derivatives of logit and term by the embedding's length; None: they have none.
    """

    logit: np.ndarray
    bare: np.ndarray
    cosine: np.ndarray
    slope: np.ndarray
    term: np.ndarray | float = 0.0
    term_slope: np.ndarray | float = 0.0
    by_length: np.ndarray | None = None
    term_by_length: np.ndarray | float = 0.0


def angular_target(
    theta: np.ndarray,
    scale: float,
    margin: Margin | LengthMargin,
    intra: Intra | None = None,
    lengths: np.ndarray | None = None,
) -> Target:
    """Target logit s psi(theta) (Eq. 4).

    Args:
        theta: (B,) angles to the own centres, radians.
        scale: s.
        margin: psi; `Margin`, or one that depends on the lengths (losses/adaptive.py).
        intra: `Intra`, or None.
        lengths: (B,) lengths of the embeddings, for margins that depend on them.
    """
    sine, cosine = np.maximum(np.sin(theta), SMALLEST_SINE), np.cos(theta)
    by_length: np.ndarray | None = None
    term: np.ndarray | float = 0.0
    term_by_length: np.ndarray | float = 0.0
    term_slope: np.ndarray | float = 0.0
    if lengths is None:
        value, slope = cast("Margin", margin)(theta)
    else:
        value, slope, by_length, term, term_by_length = cast("LengthMargin", margin)(theta, lengths)
        by_length = None if by_length is None else scale * by_length
    if intra is not None:
        intra_term, intra_slope = intra(theta)
        term, term_slope = term + intra_term, intra_slope / sine
    slope = scale * slope / sine
    return Target(scale * value, scale * cosine, cosine, slope, term, term_slope, by_length, term_by_length)
