"""Loggers get the numbers of metrics.jsonl; the real packages write them to files, without a network."""

import sys

import pytest
from helpers import ROOT

from arcface_gluon.errors import UserError
from arcface_gluon.recipe import resolve
from arcface_gluon.training.log import TrainingLog
from arcface_gluon.training.loggers import LOGGERS, make_loggers


class Own:
    """A logger as a user would write it."""

    calls: list = []

    def start(self, run, values, step):
        self.calls.append(("start", run.name, dict(values), step))

    def scalars(self, step, values):
        self.calls.append((step, values))

    def close(self):
        self.calls.append(("close",))


def needed(package):
    return pytest.importorskip(package, reason=f"{package} is not installed (extras tensorboard, wandb and mlflow)")


def log_some(folder, loggers, start=0):
    log = TrainingLog(folder, start, 9, quiet=True, loggers=loggers, values={"train.lr": 0.1})
    for iteration in range(start + 1, start + 3):
        log.write({"iteration": iteration, "loss": 1.0 / iteration, "lr": 0.1})
    log.write({"iteration": start + 2, "verification": {"orl": {"accuracy": 0.75}}})
    log.write({"iteration": start + 2, "target_angles": {"counts": [1, 2]}})
    log.close()


def test_a_class_of_ones_own_gets_every_number(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from helpers_of_this_test import Own\n")
    monkeypatch.setitem(sys.modules, "helpers_of_this_test", sys.modules[__name__])
    monkeypatch.chdir(tmp_path)
    Own.calls.clear()
    log_some(tmp_path, make_loggers(["mine:Own"]))
    assert Own.calls == [
        ("start", tmp_path.name, {"train.lr": 0.1}, 0),
        (1, {"loss": 1.0, "lr": 0.1}),
        (2, {"loss": 0.5, "lr": 0.1}),
        (2, {"verification/orl/accuracy": 0.75}),
        ("close",),
    ]


def test_tensorboard_does_not_bring_pytorch_along(tmp_path, monkeypatch):
    """Whose libraries crash beside Horovod's."""
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "tensorboardX.py").write_text(
        "try:\n    import torch\nexcept ImportError:\n    torch = None\nclass SummaryWriter:\n    beside = torch\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torch", "tensorboardX"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert LOGGERS["tensorboard"]()._writer.beside is None
    assert "torch" not in sys.modules
    sys.modules.pop("tensorboardX")


def test_what_cannot_be_is_told_before_the_run(monkeypatch):
    with pytest.raises(UserError, match="'tensorbord' is none of tensorboard, wandb, mlflow or module:Class"):
        make_loggers(["tensorbord"])
    with pytest.raises(UserError, match="pathlib:Path has no start, scalars and close"):
        make_loggers(["pathlib:Path"])
    for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow.tracking")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf"{name} needs a package .*pip install 'arcface-gluon\[{name}\]'"):
            make_loggers([name])


def test_recipes_of_runs_that_knew_tensorboard_alone_are_read(tmp_path):
    path = tmp_path / "recipe.json"
    for value, expected in (("true", ["tensorboard"]), ("false", [])):
        path.write_text(f'{{"train": {{"tensorboard": {value}}}, "run": {{"name": "x"}}}}')
        assert resolve(str(path)).train.loggers == expected
    assert resolve("orl", ["train.loggers=wandb,mlflow"]).train.loggers == ["wandb", "mlflow"]


def test_tensorboard(tmp_path):
    needed("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401 (the format read below)

    log_some(tmp_path, make_loggers(["tensorboard"]))
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, found = path.read_bytes(), []
    while data:  # TFRecord: length, its checksum, payload, its checksum
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found += [
            (event.step, v.tag, round(v.simple_value, 4)) for v in event.summary.value if v.HasField("simple_value")
        ]
        data = data[16 + size :]
    assert found == [
        (1, "loss", 1),
        (1, "lr", 0.1),
        (2, "loss", 0.5),
        (2, "lr", 0.1),
        (2, "verification/orl/accuracy", 0.75),
    ]


@pytest.mark.slow
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = needed("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = tmp_path / "runs" / "orl"
    run.mkdir(parents=True)
    log_some(run, make_loggers(["wandb"]))
    wandb.teardown()  # its own process writes the file
    (path,) = (run / "wandb").glob("offline-run-*/*.wandb")
    content = path.read_bytes()
    assert b"verification/orl/accuracy" in content and b"train.lr" in content and b"runs-orl" in content


def test_mlflow_in_files(tmp_path, monkeypatch):
    needed("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tmp_path / "runs" / "orl"
    run.mkdir(parents=True)
    log_some(run, make_loggers(["mlflow"]))
    log_some(run, make_loggers(["mlflow"]), start=2)  # goes on in the same run
    (folder,) = (tmp_path / "runs" / "mlruns").glob("*/" + (run / "mlflow.txt").read_text().strip())
    assert (folder / "params" / "train.lr").read_text() == "0.1"
    steps = [line.split()[1:] for line in (folder / "metrics" / "loss").read_text().splitlines()]
    assert steps == [["1.0", "1"], ["0.5", "2"], [str(1 / 3), "3"], ["0.25", "4"]]
    assert (folder / "metrics" / "verification" / "orl" / "accuracy").exists()


def test_every_logger_is_an_extra(monkeypatch):
    import setuptools

    found = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    monkeypatch.chdir(ROOT)
    exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), {"__name__": "setup"})
    assert set(LOGGERS) <= set(found["extras_require"])
