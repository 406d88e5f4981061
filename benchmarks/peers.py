"""The same work by the libraries that people use for it, as their own documentation has it: `make bench PEERS=1`."""

from __future__ import annotations

import os
import random
import warnings
from typing import Callable, Iterator

import cv2
import numpy as np

from arcface_gluon.data import FaceRecords
from arcface_gluon.parallel.threads import thread_count

from .floors import Work, has
from .kernels import suited


def heads(x: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> dict[str, Work]:
    """Loss and all gradients of an ArcFace head (s 64, m 0.5) by PyTorch's autograd, by each way there is."""
    if not has("torch"):
        return {}
    import torch

    from .torch_networks import ArcFace

    head, features, targets = ArcFace(0), torch.tensor(x, requires_grad=True), torch.from_numpy(labels)
    head.centres = torch.nn.Parameter(torch.tensor(weight))

    def plain():
        features.grad = head.centres.grad = None
        head(features, targets).backward()

    works = {"PyTorch autograd": plain}
    if has("pytorch_metric_learning"):
        from pytorch_metric_learning.losses import ArcFaceLoss

        loss = ArcFaceLoss(len(weight), weight.shape[1], margin=28.6, scale=64)
        loss.W = torch.nn.Parameter(torch.tensor(weight).T)

        def metric_learning():
            loss.W.grad = features.grad = None
            loss(features, targets).backward()

        works["pytorch-metric-learning"] = metric_learning
    return works


def training_steps(name: str, batch: int, identities: int, low: bool) -> dict[str, Work]:
    """A whole training step of the same network in PyTorch, channels last; `low`: with autocast to bfloat16 too."""
    if not has("torch"):
        return {}
    import torch

    from .torch_networks import ArcFace, IResNet

    torch.set_num_threads(thread_count())
    images, labels = torch.randint(0, 256, (batch, 3, 112, 112)), torch.randint(0, identities, (batch,))
    images = ((images - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)

    def stepper(dtype):
        net, head = IResNet(int(name[1:])).to(memory_format=torch.channels_last), ArcFace(identities)
        sgd = torch.optim.SGD([*net.parameters(), *head.parameters()], lr=0.01, momentum=0.9, weight_decay=5e-4)

        def step():
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
                embeddings = net(images)
            head(embeddings, labels).backward()
            sgd.step()
            sgd.zero_grad()

        return step

    return {f"PyTorch, {dtype}": stepper(dtype) for dtype in ["float32"] + ["bfloat16"] * low}


def forwards(name: str, pixels: np.ndarray, low: bool) -> dict[str, Work]:
    """A forward pass of the same network at inference in PyTorch, channels last, BatchNorms fused into convolutions."""
    if not has("torch"):
        return {}
    import torch
    from torch.fx.experimental.optimization import fuse

    from .torch_networks import IResNet, MobileFaceNet

    torch.set_num_threads(thread_count())
    net = (MobileFaceNet() if name == "mobilefacenet" else IResNet(int(name[1:]))).eval()
    images = ((torch.from_numpy(pixels) - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)
    net = net.to(memory_format=torch.channels_last)
    # Of the ways that PyTorch has, the faster one for each precision.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is no longer developed
        script = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, images)))
    fused = fuse(net).to(memory_format=torch.channels_last)

    def high():
        with torch.inference_mode():
            return script(images)

    def autocast():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return fused(images)

    return {"PyTorch, float32": high, **({"PyTorch, bfloat16": autocast} if low else {})}


def searches(probes: np.ndarray, gallery: np.ndarray) -> dict[str, Work]:
    """The best of the gallery for each probe, exactly."""
    if not has("faiss"):
        return {}
    from arcface_gluon.runtime import physical_cores

    faiss = _faiss()

    faiss.omp_set_num_threads(physical_cores())
    index = faiss.IndexFlatIP(gallery.shape[1])
    index.add(gallery)
    return {"faiss IndexFlatIP": lambda: index.search(probes, 1)}


def _faiss():
    """faiss with kernels that suit the processor: its OpenBLAS, too, may be older and take those of 2004."""
    kernels = suited()
    os.environ.update(kernels)
    try:
        import faiss
    finally:
        for name in kernels:
            del os.environ[name]
    return faiss


def loaders(records: FaceRecords, batch: int, workers: int) -> dict[str, Callable[[], Iterator]]:
    """PyTorch's DataLoader over the same records, with what arcface_torch does to an image, in processes; endless."""
    if not has("torch"):
        return {}
    import torch

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(records)

        def __getitem__(self, index):
            data, label = records.read(index)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            if random.random() < 0.5:
                image = image[:, ::-1]
            tensor = torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous().float().div(255)  # ToTensor
            return tensor.sub_(0.5).div_(0.5), label  # Normalize

    def batches():
        sampler = torch.utils.data.RandomSampler(range(len(records)), replacement=True, num_samples=1 << 30)
        yield from torch.utils.data.DataLoader(Images(), batch, sampler=sampler, num_workers=workers)

    return {f"PyTorch DataLoader (mirror, float32), {workers} processes": batches}


def verifications(embeddings: np.ndarray, issame: np.ndarray) -> dict[str, Work]:
    """Accuracy of the 10-fold protocol on pairs (2n, d), by other ways to it; each work returns it."""
    from sklearn.metrics import roc_curve
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import normalize

    def distances():
        unit = normalize(embeddings)
        return np.sum(np.square(unit[0::2] - unit[1::2]), axis=1)

    folds = list(KFold(10).split(issame))

    def by_curve():
        values, right = distances(), []
        for train, test in folds:
            false, true, thresholds = roc_curve(issame[train], -values[train], drop_intermediate=False)
            same = issame[train].mean()
            best = thresholds[np.argmax(true * same + (1 - false) * (1 - same))]
            right.append(np.mean((-values[test] >= best) == issame[test]))
        return np.mean(right)

    def by_grid():
        values, right, thresholds = distances(), [], np.arange(0, 4, 0.01)
        for train, test in folds:
            accuracies = [np.mean((values[train] < threshold) == issame[train]) for threshold in thresholds]
            right.append(np.mean((values[test] < thresholds[np.argmax(accuracies)]) == issame[test]))
        return np.mean(right)

    return {"scikit-learn": by_curve, "400 thresholds": by_grid}
