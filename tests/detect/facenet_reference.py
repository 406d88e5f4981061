"""facenet_pytorch's MTCNN, without torchvision, of which it uses one function."""

import sys
from types import ModuleType

import numpy as np


def facenet_mtcnn():
    """Its class MTCNN."""
    import torch

    def batched_nms(boxes, scores, groups, threshold):
        """Suppression within each group as torchvision defines it, one box after the other."""
        left, top, right, bottom = boxes.numpy().astype("float64").T
        areas = (right - left) * (bottom - top)
        kept = []
        for i in torch.argsort(scores, descending=True, stable=True).tolist():
            width = np.minimum(right[kept], right[i]) - np.maximum(left[kept], left[i])
            height = np.minimum(bottom[kept], bottom[i]) - np.maximum(top[kept], top[i])
            both = np.maximum(width, 0) * np.maximum(height, 0)
            same = groups.numpy()[kept] == int(groups[i])
            if not (same & (both > threshold * (areas[kept] + areas[i] - both))).any():
                kept.append(i)
        return torch.tensor(kept, dtype=torch.int64)

    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms")
    stand_in = {name: ModuleType(name) for name in names}
    stand_in["torchvision.ops.boxes"].batched_nms = batched_nms
    stand_in["torchvision.transforms"].functional = None
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(stand_in)
    try:
        from facenet_pytorch import MTCNN
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return MTCNN
