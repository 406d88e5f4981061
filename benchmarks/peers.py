"""The same work by the libraries that people use for it, as their own documentation has it: `make bench PEERS=1`."""

from __future__ import annotations

import numpy as np

from .floors import Work, has


def heads(x: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> dict[str, Work]:
    """Loss and all gradients of an ArcFace head (s 64, m 0.5) by PyTorch's autograd, by each way there is."""
    if not has("torch"):
        return {}
    import torch
    from torch.nn import functional

    features, centres = (torch.tensor(array, requires_grad=True) for array in (x, weight))
    targets = torch.from_numpy(labels)

    def backward(loss):
        features.grad = centres.grad = None
        loss.backward()

    def plain():
        cosines = functional.linear(functional.normalize(features), functional.normalize(centres))
        own = cosines.gather(1, targets[:, None])
        with_margin = torch.cos(torch.acos(own.clamp(-1 + 1e-6, 1 - 1e-6)) + 0.5)
        backward(functional.cross_entropy(64 * cosines.scatter(1, targets[:, None], with_margin), targets))

    works = {"PyTorch autograd": plain}
    if has("pytorch_metric_learning"):
        from pytorch_metric_learning.losses import ArcFaceLoss

        loss = ArcFaceLoss(len(weight), weight.shape[1], margin=28.6, scale=64)
        loss.W = torch.nn.Parameter(centres.detach().T)

        def metric_learning():
            loss.W.grad = features.grad = None
            loss(features, targets).backward()

        works["pytorch-metric-learning"] = metric_learning
    return works


def searches(probes: np.ndarray, gallery: np.ndarray) -> dict[str, Work]:
    """The best of the gallery for each probe, exactly."""
    if not has("faiss"):
        return {}
    import faiss

    from arcface_gluon.runtime import physical_cores

    faiss.omp_set_num_threads(physical_cores())
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    return {"faiss IndexFlatIP": lambda: index.search(probes, 1)}
