"""Alignment by five points: the similarity (rotation, one scale, shift) that brings a face to fixed places."""

from __future__ import annotations

import cv2
import numpy as np

# (x, y) of left eye, right eye, nose tip, left and right mouth corner in the 112x112 crop; left as the viewer sees it.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def template(size: int | tuple[int, int] = 112) -> np.ndarray:
    """Places of the five points in a crop, (5, 2).

    Args:
        size: side of a square crop, a multiple of 56 (half of the usual 112), or of 128: the latter has the same face
            with 8 pixels (at 128) more on either side. Or (height, width): also multiples of 56x48, which have 8 pixels
            (at 112) less.

    Raises:
        ValueError: another size.
    """
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    if height > 0 and height % 56 == 0 and width in (height, height // 56 * 48):
        return TEMPLATE * (height / 112) - [(height - width) / 2, 0.0]
    if height > 0 and height % 128 == 0 and width == height:
        return (TEMPLATE + [8.0, 0.0]) * (height / 128)
    raise ValueError(f"size must be a multiple of 56, of 128 or of 56x48, not {size}")


def estimate_similarity(points: np.ndarray, target: np.ndarray | None = None) -> np.ndarray:
    """Least-squares similarity from `points` to `target` (Umeyama, IEEE PAMI 13(4), 1991), never a reflection.

    Args:
        points: (n, 2), x and y.
        target: (n, 2); the 112x112 template by default.

    Returns:
        (2, 3) float64 matrix M: a point p goes to M[:, :2] @ p + M[:, 2].

    Raises:
        ValueError: the shapes differ, a number is not finite, or all points are one.
    """
    points = np.asarray(points, np.float64)
    target = TEMPLATE if target is None else np.asarray(target, np.float64)
    if points.shape != target.shape or points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points of shape {points.shape} do not match the target's {target.shape}")
    source_centre, target_centre = points.mean(axis=0), target.mean(axis=0)
    source, centred = points - source_centre, target - target_centre
    variance = (source**2).sum()
    # Coordinates carry their rounding error: below that, equal points are told as equal.
    if not np.isfinite(variance) or variance <= 1e-12 * max(1.0, (points**2).sum()):
        raise ValueError("the points are not finite, or all at one place")
    # Rotation by the singular vectors of the covariance; the smaller direction is turned if they would mirror.
    u, singular, v = np.linalg.svd(centred.T @ source)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    scale = (singular * signs).sum() / variance
    linear = scale * (u * signs) @ v
    return np.column_stack([linear, target_centre - linear @ source_centre])


def align(image: np.ndarray, points: np.ndarray, size: int | tuple[int, int] = 112) -> np.ndarray:
    """Crop a face.

    Args:
        image: (height, width, channels) uint8.
        points: (5, 2), x and y of left eye, right eye, nose tip, left and right mouth corner, left as one sees it.
        size: side of the crop, or its (height, width), as in `template`.

    Returns:
        (height, width, channels) uint8, interpolated bilinearly, black where the image ends.

    Raises:
        ValueError: as `template` and `estimate_similarity`.
    """
    matrix = estimate_similarity(points, template(size))
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
