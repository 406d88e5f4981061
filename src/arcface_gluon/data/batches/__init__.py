"""Batches of a training set: order, threads, augmentation."""

__all__ = ["augment", "identity_order", "stream"]
