"""Boxes (n, 4) of left, top, right, bottom: what MTCNN does with them between its networks."""

from __future__ import annotations

import numpy as np


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, smaller: bool = False) -> np.ndarray:
    """Greedy non-maximum suppression: the best stays, what overlaps it by more than `threshold` goes, and so on.

    Args:
        boxes: (n, 4).
        scores: (n,).
        threshold: of the intersection over the union.
        smaller: over the smaller of the two instead, with sides counted in whole pixels (right - left + 1).

    Returns:
        Indices of those that stay, the best first.
    """
    extra = np.float32(smaller)
    left, top, right, bottom = boxes.T
    areas = (right - left + extra) * (bottom - top + extra)
    waiting, kept = np.argsort(-scores, kind="stable"), []
    while waiting.size:
        best, rest = waiting[0], waiting[1:]
        kept.append(best)
        width = np.minimum(right[rest], right[best]) - np.maximum(left[rest], left[best]) + extra
        height = np.minimum(bottom[rest], bottom[best]) - np.maximum(top[rest], top[best]) + extra
        both = np.maximum(width, 0) * np.maximum(height, 0)
        whole = np.minimum(areas[rest], areas[best]) if smaller else areas[rest] + areas[best] - both
        waiting = rest[both <= threshold * whole]
    return np.array(kept, np.int64)


def correct(boxes: np.ndarray, corrections: np.ndarray, extra: int) -> np.ndarray:
    """Boxes moved by a network's corrections (n, 4), which are in units of their sides plus `extra` pixels."""
    sides = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)
    return boxes + corrections * np.tile(sides, 2)


def square(boxes: np.ndarray) -> np.ndarray:
    """The squares around the boxes' centres with their longer sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides / 2 - longest / 2
    return np.hstack([corner, corner + longest])


def inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes, which count pixels from 1, as whole pixels from 0 within the image, right and bottom exclusive."""
    whole = boxes.astype(np.int64)
    first = np.maximum(whole[:, :2], 1) - 1
    return np.hstack([first, np.minimum(whole[:, 2:], [width, height])])
