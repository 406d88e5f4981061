"""The update of backbone and centres together: clipping of their common norm, what is frozen, and resuming."""

import numpy as np
import pytest
from small_trainer import Stream, trainer

from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json
from arcface_gluon.parallel.processes import Processes
from arcface_gluon.training.freeze import Freeze
from arcface_gluon.training.update import Update


def first_momenta(folder, *settings):
    """Momenta after one step with rate 1: minus what was applied; {name: float64}, and the step's weights before."""
    run = trainer(folder, *settings, dropout=0.0)
    before = {name: p.data(run.contexts[0]).asnumpy() for name, p in run.net._collect_params_with_prefix().items()}
    before["centres"] = run.head.centres()
    run._step(next(Stream().iterate(0)), 1.0)
    momenta = {name: value.asnumpy().astype(np.float64) for name, value in run.optimizer.state().items()}
    momenta["centres"] = np.concatenate([a["momentum"].asnumpy() for _, _, a in run.head.shards()]).astype(np.float64)
    return momenta, before


@pytest.mark.parametrize("more", [[], ["train.accumulate=2"]])
def test_the_norm_of_all_gradients_together_is_clipped_and_the_decay_is_not(tmp_path, more):
    whole, _ = first_momenta(tmp_path, "train.weight_decay=0", *more)
    norm = np.sqrt(sum(np.square(value).sum() for value in whole.values()))
    limit = 0.3 * norm
    clipped, before = first_momenta(tmp_path, "train.weight_decay=0.1", f"train.clip_norm={limit}", *more)
    for name, value in clipped.items():
        np.testing.assert_allclose(value, 0.3 * whole[name] - 0.1 * before[name], rtol=1e-3, atol=1e-6)
    left, _ = first_momenta(tmp_path, "train.weight_decay=0", f"train.clip_norm={1.01 * norm}", *more)
    assert all((left[name] == value).all() for name, value in whole.items())


class _Other(Processes):
    """One of two processes; the squares of the other's centres are 7."""

    def allgather(self, array, name):
        return np.append(array, 7.0)


class _Recorder:
    names = ["a"]

    def gradient_square(self, frozen=()):
        return 5.0 if not frozen else 0.0

    def update(self, lr, *others, **more):
        self.lr, self.others = lr, others


@pytest.mark.parametrize("freeze, square", [(None, 16.0), ("a", 11.0)])
def test_centres_of_all_processes_count_and_the_backbone_once(freeze, square):
    class Head(_Recorder):
        def gradient_square(self):
            return 4.0

    settings = {"freeze": freeze, "clip_norm": 2.0, "momentum": 0.9, "nesterov": False, "weight_decay": 0.1}
    backbone, head = _Recorder(), Head()
    Update(backbone, head, {**settings, "lr_multipliers": {}, "wd_multipliers": {}}, _Other())(0, 1.0)
    factor = 2 / np.sqrt(square)
    assert backbone.others[0] == pytest.approx(factor)
    assert head.lr == pytest.approx(factor) and head.others == (0.9, pytest.approx(0.1 / factor))


def test_patterns_of_what_is_frozen_and_for_how_long():
    names = ["conv0.weight", "stage1.unit1.bn1.gamma", "fc1.beta"]
    assert Freeze(None, names).at(0) == frozenset()
    assert Freeze("backbone", names).at(10**6) == set(names)
    assert Freeze("^(conv0|stage1)", names).at(10**6) == set(names[:2])
    part = Freeze("fc1:3", names)
    assert part.at(2) == {"fc1.beta"} and part.at(3) == frozenset()
    assert Freeze("(?:fc1)", names).at(0) == {"fc1.beta"}
    with pytest.raises(UserError, match="train.freeze=fc7: no parameter .* they are conv0.weight"):
        Freeze("fc7", names)
    with pytest.raises(UserError, match=r"'\(' is no regular expression"):
        Freeze("(:5", names)


def test_frozen_parameters_stay_and_the_centres_move(tmp_path):
    run = trainer(tmp_path, "train.freeze=backbone:2", "train.weight_decay=0.1", "train.iterations=2")
    names = run.optimizer.names

    def weights():
        return [p.data(context).asnumpy() for p in run.optimizer.parameters for context in run.contexts]

    before, centres = weights(), run.head.centres()
    run.train()
    assert all((a == b).all() for a, b in zip(before, weights())) and not run.optimizer.state()
    assert (run.head.centres() != centres).any()
    run._step(next(Stream().iterate(2)), 0.1)
    assert all((a != b).any() for a, b in zip(before, weights())) and set(run.optimizer.state()) == set(names)


@pytest.mark.parametrize(
    "settings",
    [
        ["train.nesterov=True", "train.clip_norm=0.5"],
        ["train.ema=0.9"],
        ["train.freeze=first|norm:4"],
        ["train.freeze=backbone:2", "train.ema=0.5", "train.nesterov=True", "train.clip_norm=0.1", "train.patience=9"],
    ],
)
def test_resumed_is_the_run_that_never_stopped(tmp_path, settings):
    def checksums(folder):
        return read_json(folder / "checkpoints" / "00000006" / "state.json")["sha256"]

    def validate():
        return {"set": {"accuracy": 0.5, "std": 0.0}}

    trainer(tmp_path / "straight", *settings, validate=validate).train()
    trainer(tmp_path / "halves", *settings, "train.iterations=3", validate=validate).train()
    again = trainer(tmp_path / "halves", *settings, validate=validate)
    again.resume()
    again.train()
    straight = checksums(tmp_path / "straight")
    assert checksums(tmp_path / "halves") == straight
    assert ("trained.params" in straight) is any("ema" in setting for setting in settings)
