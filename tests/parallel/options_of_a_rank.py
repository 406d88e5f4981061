"""Run in test_options.py, by horovodrun and alone: cases on this rank's images, to <folder>/<case> <rank>.npz."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from helpers import TINY

from arcface_gluon import recipe

# Small rates: runs that differ in a last bit part within a few iterations at the usual ones.
SMALL = [*TINY, "train.lr=2e-6", "head.scale=16", "train.iterations=3", "train.validate_every=99", "train.keep=1"]
CASES = {
    "plain": ["data.on_error=stop", "train.log_every=2", "train.checkpoint_every=1"],
    "softmax": ["loss=norm-softmax", "head.label_smoothing=0.1", "head.block_rows=7"],
    "sub-centres": ["head.sub_centres=3", "head.boundary=monotone", "head.margin=[1,0.3,0.1]"],
    "sampled": ["head.sample_rate=0.5", "train.weight_decay=0.1", "seed=3"],
    "half head": ["head.dtype=float16"],
    "terms": ["head.intra=0.1", "head.inter=0.1"],
    "triplets": ["head.triplet=1", "head.triplet_margin=0.2", "data.images_per_identity=4"],
    "curricular": ["head.kind=curricularface", "head.options={}", "network.dropout=0.2"],
    "parts": ["train.accumulate=2"],
    "frozen": ["train.freeze=stage1:2", "train.lr_multipliers={'head': 0.5}", "train.wd_multipliers={'beta': 0}"],
    "averaged": ["train.ema=0.5", "train.nesterov=True", "train.momentum=0.5"],
    "clipped": ["train.clip_norm=0.1"],
    "float16 on the way": ["train.compression=float16"],
    "bfloat16 on the way": ["train.compression=bfloat16"],
    "cosine": ["train.schedule=cosine", "train.warm_up=2"],
    "polynomial": ["train.schedule=polynomial", "train.power=3"],
    "steps": ["train.lr_steps=[1,2]", "train.lr_factor=0.5"],
    "begun": ["train.init={plain}", "train.init_centres=mean"],
    "augmented": [
        *(f"data.augment.{name}=0.5" for name in ("flip", "light", "erase", "colour", "jpeg", "scale")),
        *("data.augment.shift=3", "data.augment.rotate=9", "data.augment.cutout=20"),
        *("data.min_images=2", "data.threads=1", "network.embedding_size=16"),
    ],
    "reduced": ["data.reduce=2", "network.options.input_size=56"],
    "stopped early": ["train.patience=1", "train.validate_every=1"],
    "resumed": ["head.sample_rate=0.5", "train.ema=0.5", "train.nesterov=True", "train.patience=9"],
}
# In a process of its own, which may use AMX from its first product on.
LOW = "bfloat16"
CASES_WITH_AMX = {LOW: ["train.dtype=bfloat16"]}
# What training does not depend on the number of processes for, is in every case, or has a test of its own.
ELSEWHERE = {
    *("loss", "head.kind", "head.options"),  # test_horovod.py: every loss
    *("run.name", "run.folder", "network.name", "network.options", "data.path", "data.validation", "paper"),
    *("train.batch_size", "train.lr", "train.iterations", "train.contexts", "train.loggers", "data.first_label"),
    *("train.loss_scale", "train.loss_scale_growth"),  # of GPUs
}


def trained(case, orl, folder, contexts, processes=None):
    """{name: array} of a run by one or more processes: losses, weights, class centres, iterations, the best."""
    from arcface_gluon.training.build import build_trainer
    from arcface_gluon.training.initial import begin
    from arcface_gluon.training.log import read_metrics

    plain = folder.parent / "plain"
    settings = [setting.replace("{plain}", str(plain)) for setting in {**CASES, **CASES_WITH_AMX}[case]]
    values = recipe.resolve("orl", [*SMALL, f"train.contexts={contexts}", *settings])
    pairs = SimpleNamespace(issame=[True, False], check=lambda size: [])
    folder.mkdir(parents=True, exist_ok=True)

    def build(iterations):
        values.train.iterations = iterations
        sets = {"set": pairs} if values.train.patience else {}
        return build_trainer(values, orl, folder, sets, lambda *_: {"accuracy": 0.5, "std": 0.1}, True, processes)

    run = build(2 if case == "resumed" else 3)
    begin(run, values.train)
    run.train()
    if case == "resumed":
        run = build(3)
        run.resume()
        run.train()
    arrays = {name: p.data(run.contexts[0]).asnumpy() for name, p in run.net._collect_params_with_prefix().items()
              if p.grad_req != "null"}  # fmt: skip
    for start, _, centres in run.head.shards():
        arrays.update({f"{name} {start}": value.asnumpy() for name, value in centres.items()})
    arrays["momenta"] = np.concatenate([value.asnumpy().ravel() for _, value in sorted(run.optimizer.state().items())])
    losses = [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]
    return {"losses": np.array(losses), "iteration": np.array(run.iteration), **arrays}


if __name__ == "__main__":
    from arcface_gluon.parallel.processes import join
    from arcface_gluon.runtime import import_mxnet

    import_mxnet()
    processes = join()
    orl, folder = map(Path, sys.argv[1:3])
    for case in sys.argv[3:]:
        found = trained(case, orl, folder / "runs" / case, 2 // processes.size, processes)
        np.savez(folder / f"{case} {processes.rank}.npz", **found)
