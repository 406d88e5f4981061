"""MTCNN: three networks, each on what the one before let through (Zhang et al., 2016)."""

from __future__ import annotations

import os
from typing import Sequence

import mxnet as mx
import numpy as np

from ..models.formats.mtcnn_weights import read_mtcnn
from .area import AreaPyramid
from .boxes import correct, inside, square, suppress
from .faces import Face

THRESHOLDS = (0.6, 0.7, 0.7)  # probabilities that the three networks let through
FACTOR = 0.709  # from one scale to the next
_CELL, _STRIDE = 12, 2  # of the first network: what it looks at, and the step between two looks
_BATCH = 512  # crops a step


class MTCNN:
    """Finds faces and their five points.

    The steps, thresholds and roundings are those of the authors' code in its PyTorch translation (facenet_pytorch),
    which the tests compare with: boxes count pixels from 1, landmarks from 0.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str],
        min_face: int = 20,
        context: mx.Context | None = None,
        thresholds: Sequence[float] = THRESHOLDS,
    ):
        """Args:
            weights: folder of pnet.lz4, rnet.lz4 and onet.lz4.
            min_face: side of the smallest face that is looked for, in pixels.
            context: the device; the CPU by default.
            thresholds: probabilities above which a box passes each network.

        Raises:
            UserError: the weights are missing or damaged.
        """
        self._context = context or mx.cpu()
        self._proposals, self._refinement, self._output = read_mtcnn(weights, self._context)
        self._min_face, self._thresholds = min_face, thresholds

    def detect(self, image: np.ndarray) -> list[Face]:
        """Faces of an RGB image (height, width, 3) uint8, the most probable first."""
        pyramid, sides = AreaPyramid(image), image.shape[:2]
        boxes = self._propose(pyramid, sides)
        boxes, (corrections, probabilities) = self._look(self._refinement, 24, pyramid, boxes, sides)
        passed = probabilities > self._thresholds[1]
        boxes, corrections, probabilities = boxes[passed], corrections[passed], probabilities[passed]
        kept = suppress(boxes, probabilities, 0.7)
        boxes = square(correct(boxes[kept], corrections[kept], 1))
        boxes, (corrections, points, probabilities) = self._look(self._output, 48, pyramid, boxes, sides)
        passed = probabilities > self._thresholds[2]
        boxes, corrections, probabilities = boxes[passed], corrections[passed], probabilities[passed]
        size = boxes[:, 2:] - boxes[:, :2] + 1
        landmarks = points[passed].reshape(-1, 2, 5).transpose(0, 2, 1) * size[:, None] + boxes[:, None, :2] - 1
        boxes = correct(boxes, corrections, 1)
        kept = suppress(boxes, probabilities, 0.7, smaller=True)
        return [Face(boxes[i], float(probabilities[i]), landmarks[i]) for i in kept]

    def _propose(self, pyramid, sides):
        """Squares (n, 4) of the first network at all scales."""
        height, width = sides
        whole, found = np.array([[0, 0, width, height]]), [np.zeros((0, 9), np.float32)]
        scale = _CELL / self._min_face
        smallest = min(sides) * scale
        while smallest >= _CELL:
            image = pyramid.crop(whole, int(height * scale + 1), int(width * scale + 1))
            corrections, probabilities = self._run(self._proposals, image)
            y, x = np.nonzero(probabilities[0, 1] >= self._thresholds[0])
            corner = _STRIDE * np.stack([x, y], axis=1).astype(np.float32)
            place = np.float32(scale)
            boxes = np.hstack([np.floor((corner + 1) / place), np.floor((corner + _CELL) / place)])
            cells = np.hstack([boxes, probabilities[0, 1, y, x, None], corrections[0, :, y, x]])
            found.append(cells[suppress(boxes, cells[:, 4], 0.5)])
            scale, smallest = scale * FACTOR, smallest * FACTOR
        cells = np.concatenate(found)
        cells = cells[suppress(cells[:, :4], cells[:, 4], 0.7)]
        return square(correct(cells[:, :4], cells[:, 5:], 0))

    def _look(self, network, size, pyramid, boxes, sides):
        """(boxes that have a pixel in the image, outputs of a network for each, of which the last: the face's)."""
        places = inside(boxes, *sides)
        seen = (places[:, :2] < places[:, 2:]).all(axis=1)
        boxes, places = boxes[seen], places[seen]
        starts = range(0, max(len(boxes), 1), _BATCH)
        # One empty crop, where there is none, gives the outputs' shapes.
        batches = [pyramid.crop(places[i : i + _BATCH], size, size) for i in starts]
        parts = [self._run(network, batch if len(batch) else np.zeros((1, 3, size, size))) for batch in batches]
        outputs = [np.concatenate(values)[: len(boxes)] for values in zip(*parts)]
        return boxes, (*outputs[:-1], outputs[-1][:, 1])

    def _run(self, network, images):
        inputs = mx.nd.array((images - 127.5) * 0.0078125, ctx=self._context, dtype="float32")
        return [output.asnumpy() for output in network(inputs)]
