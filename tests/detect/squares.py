"""Photographs with green squares for faces, and a detector of those."""

import cv2
import numpy as np
from PIL import Image

from arcface_gluon.data.images.align import template
from arcface_gluon.detect.faces import Face


class Squares:
    """A detector of pure green squares, which are aligned as if they were crops of the template."""

    looked_at = 0

    def detect(self, image):
        Squares.looked_at += 1
        mask = ((image[..., 1] > 200) & (image[..., 0] < 60)).astype(np.uint8)
        count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        boxes = [stats[i, :4] for i in range(1, count) if stats[i, 4] > 50]
        return [
            Face(np.array([x, y, x + w, y + h], np.float32), 0.9, (template() * w / 112 + [x, y]).astype(np.float32))
            for x, y, w, h in boxes
        ]


def photograph(path, *squares, sides=(90, 160), **options):
    """A grey picture with green squares of (left, top, side)."""
    image = np.full((*sides, 3), 128, np.uint8)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (0, 255, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
