"""The order of images in which every batch holds P identities with K images each, as the Triplet-Loss needs it."""

from __future__ import annotations

import numpy as np

from ...errors import UserError


class IdentityOrder:
    """Rounds of a training set: in each, every identity comes once, with K of its images one after the other.

    The identities of a round are shuffled, and those that would not fill a last batch are left out of it (others each
    time), so that each batch of P K images has P different identities. An identity's images are drawn without
    replacement, and repeated where it has fewer than K. A round depends on (seed, its number) alone, so any batch can
    be made without those before it.

    Args:
        labels: (n,) identity of each image; negative ones (unreadable) are never drawn.
        batch_size: P K, images in a batch.
        images_per_identity: K.
        seed: not negative.

    Raises:
        UserError: K does not divide the batch, or there are fewer than P identities.
    """

    def __init__(self, labels: np.ndarray, batch_size: int, images_per_identity: int, seed: int = 0):
        if batch_size % images_per_identity:
            raise UserError(
                f"data.images_per_identity={images_per_identity} must divide train.batch_size={batch_size}: "
                "a batch holds whole identities"
            )
        self._seed, self._images = seed, images_per_identity
        labels = np.asarray(labels)
        grouped = np.argsort(labels, kind="stable")
        grouped = grouped[np.searchsorted(labels[grouped], 0) :].astype(np.uint32)
        _, self._starts, self._counts = np.unique(labels[grouped], return_index=True, return_counts=True)
        self._grouped = grouped
        identities = batch_size // images_per_identity
        if len(self._starts) < identities:
            raise UserError(
                f"a batch of {batch_size} with data.images_per_identity={images_per_identity} needs {identities} "
                f"identities, the set has {len(self._starts)}; raise images_per_identity or lower train.batch_size"
            )
        self._kept = len(self._starts) // identities * identities

    def __len__(self) -> int:
        """Images of a round, a multiple of the batch."""
        return self._kept * self._images

    def __call__(self, number: int) -> np.ndarray:
        """Indices of the images of round `number`, (len(self),) uint32."""
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self._seed, number])))
        group = np.repeat(np.arange(len(self._starts)), self._counts)
        shuffled = self._grouped[np.lexsort((random.random(len(group)), group))]
        chosen = random.permutation(len(self._starts))[: self._kept, None]
        places = self._starts[chosen] + np.arange(self._images) % self._counts[chosen]
        return shuffled[places].ravel()
