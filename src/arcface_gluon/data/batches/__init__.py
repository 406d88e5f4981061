"""Batches of a training set: order, threads, augmentation."""
