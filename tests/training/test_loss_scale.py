"""The loss scale of float16 training: how it moves, and that it changes nothing else."""

import numpy as np
import pytest
from small_trainer import metrics, trainer

from arcface_gluon.errors import UserError
from arcface_gluon.training.log import read_metrics
from arcface_gluon.training.loss_scale import LossScale


def test_it_doubles_after_iterations_without_an_overflow_and_halves_at_one():
    scale, values = LossScale(8.0, growth=3), []
    for finite in (True, True, True, True, True, False, True, True, False, True):
        told = scale.count(finite)
        assert (told is None) == finite
        values.append(scale.value)
    assert values == [8, 8, 16, 16, 16, 8, 8, 8, 4, 4] and scale.left_out == 2
    again = LossScale(1.0, growth=3)
    again.load_state(scale.state())
    assert [again.count(True) or again.value for _ in range(2)] == [4, 8] and again.left_out == 2


def test_without_growth_it_stays_and_below_one_training_ends():
    scale = LossScale(2.0, growth=0)
    assert [scale.count(finite) is None for finite in (False, True, False)] == [False, True, False]
    assert scale.value == 2.0 and scale.left_out == 2
    scale = LossScale(2.0, growth=1)
    scale.count(False)
    with pytest.raises(UserError, match="even at a loss scale of 1; try a smaller train.lr"):
        scale.count(False)


HALF = ("train.dtype=float16", "train.loss_scale=1024", "train.loss_scale_growth=2")


@pytest.fixture
def on_cpus(monkeypatch):
    """What float16 does besides its products, which are none of a CPU's: a float32 network in its place."""
    monkeypatch.setattr("arcface_gluon.training.trainer.training_network", lambda net, dtype, contexts: net)


def weights(run):
    return {name: p.data(run.contexts[0]).asnumpy() for name, p in run.net._collect_params_with_prefix().items()}


def test_powers_of_two_change_no_bit_and_a_step_that_overflows_is_left_out(tmp_path, on_cpus, monkeypatch, capsys):
    plain = trainer(tmp_path / "plain", "train.iterations=3")
    plain.train()
    run = trainer(tmp_path / "half", *HALF, "train.iterations=3")
    run.train()
    assert run.loss_scale.value == 2048
    for name, value in weights(plain).items():
        np.testing.assert_array_equal(weights(run)[name], value, err_msg=name)
    before = weights(run)
    centres = next(iter(run.head.shards()))[2]["weight"].asnumpy()
    again = trainer(tmp_path / "half", *HALF, "train.iterations=4")
    again.resume()
    assert again.loss_scale.state() == {"value": 2048.0, "without": 1, "left_out": 0}
    monkeypatch.setattr(type(again.optimizer), "finite", lambda self: False)
    again.train()
    for name in ("first.weight", "last.bias"):
        np.testing.assert_array_equal(weights(again)[name], before[name])
    np.testing.assert_array_equal(next(iter(again.head.shards()))[2]["weight"].asnumpy(), centres)
    last = [line for line in read_metrics(tmp_path / "half" / "metrics.jsonl") if "loss" in line][-1]
    assert (last["loss_scale"], last["left_out"]) == (1024.0, 1)
    assert "iteration 4: gradients overflowed in float16: the step is left out, the loss scale is 1024" in (
        capsys.readouterr().err
    )


def test_other_precisions_say_nothing_of_it(tmp_path):
    trainer(tmp_path, "train.iterations=1").train()
    assert metrics(tmp_path, "loss") == [1] and metrics(tmp_path, "loss_scale") == []
