"""The training loop: what reaches the optimizers, and in which order it steps, saves, validates and stops."""

import os
import signal

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from small_trainer import Stream, metrics, saved, trainer

from arcface_gluon.errors import UserError
from arcface_gluon.files import read_json
from arcface_gluon.training.interrupt import Interrupted


def test_multipliers_of_the_head_reach_its_centres(tmp_path):
    """One step from the same start: momentum is -lr (gradient + wd weight), for the head's own lr and wd."""
    starts, moved = [], {}
    for lr, wd in ((1.0, 1.0), (0.5, 1.0), (1.0, 3.0)):
        multipliers = [f"train.lr_multipliers={{'head': {lr}}}", f"train.wd_multipliers={{'head': {wd}}}"]
        run = trainer(tmp_path, "train.weight_decay=0.1", *multipliers, dropout=0.0)
        starts.append(run.head.centres().astype(np.float64))
        run._step(next(Stream().iterate(0)), 0.1)
        moved[lr, wd] = np.concatenate([a["momentum"].asnumpy() for _, _, a in run.head.shards()]).astype(np.float64)
    assert all((start == starts[0]).all() for start in starts)
    np.testing.assert_allclose(moved[0.5, 1.0], 0.5 * moved[1.0, 1.0], rtol=1e-4, atol=1e-8)
    decay = moved[1.0, 3.0] - moved[1.0, 1.0]
    np.testing.assert_allclose(decay, -0.1 * 2 * 0.1 * starts[0], rtol=1e-3, atol=1e-6)


def test_each_part_and_device_drops_other_units_and_the_same_ones_again(tmp_path):
    run = trainer(tmp_path)
    images = [mx.nd.full((6, 4, 4, 3), 200, context) for context in run.contexts]
    with autograd.train_mode():
        parts = [np.stack([y.asnumpy() for y in run.passes.embed(images, 0, part)]) for part in (0, 1, 0)]
    assert not np.array_equal(parts[0], parts[1])
    assert not np.array_equal(parts[0][0], parts[0][1])
    np.testing.assert_array_equal(parts[0], parts[2])
    with autograd.train_mode():
        later = np.stack([y.asnumpy() for y in run.passes.embed(images, 1)])
    assert not np.array_equal(parts[0], later)


@pytest.mark.parametrize(
    "losses, stops",
    [
        ([8.0] * 30 + [17.0] * 200, True),  # twice what it began with
        ([8.0] * 30 + [15.0] * 200, False),
        # A loss that began near 0 (few identities) may double without harm: it must pass 2, not twice itself.
        ([0.1] * 30 + [1.9] * 200, False),
        ([0.1] * 30 + [2.1] * 200, True),
        ([8.0] * 3 + [float("nan")], True),
    ],
)
def test_a_loss_that_will_not_come_back_stops_the_run(tmp_path, monkeypatch, losses, stops):
    run = trainer(tmp_path, f"train.iterations={len(losses)}")
    given = iter(losses)
    monkeypatch.setattr(run, "_step", lambda batch, lr: (next(given), 0.5))
    monkeypatch.setattr(run.angles, "add", lambda iteration, angles: [])
    if stops:
        with pytest.raises(UserError, match="the loss .* there is no checkpoint yet; try a smaller train.lr"):
            run.train()
    else:
        run.train()
        assert run.iteration == len(losses)


@pytest.mark.parametrize("part", range(4))
def test_a_signal_between_two_parts_of_a_batch_leaves_the_iteration_out(tmp_path, monkeypatch, part):
    """Before the head has seen the batch (parts 0, 1 forward) or after (parts 0, 1 again): nothing has happened."""
    options = ["train.iterations=4", "train.accumulate=2"]
    whole = trainer(tmp_path / "whole", *options)
    whole.train()
    run, calls = trainer(tmp_path / "cut", *options), []
    embed = run.passes.embed

    def interrupted(images, iteration, number):
        calls.append(iteration)
        if calls.count(2) == part + 1 and iteration == 2:
            os.kill(os.getpid(), signal.SIGUSR1)
        return embed(images, iteration, number)

    monkeypatch.setattr(run.passes, "embed", interrupted)
    within = "after iteration 3" if part == 3 else "within iteration 3, which is done again"
    with pytest.raises(
        Interrupted, match=f"SIGUSR1: stopped {within}; resume from .*0000000{3 if part == 3 else 2}"
    ) as stop:
        run.train()
    assert stop.value.status == 75  # the scheduler's time is up: go on later
    monkeypatch.undo()
    again = trainer(tmp_path / "cut", *options)
    again.resume()
    again.train()
    folders = [run / "checkpoints" / "00000004" for run in (tmp_path / "whole", tmp_path / "cut")]
    for name in ("backbone.params", "devices-00.params", "head-00000000.params", "momentum.params"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def test_a_signal_in_the_first_iteration_has_nothing_to_save(tmp_path, monkeypatch):
    run = trainer(tmp_path, "train.accumulate=2")
    monkeypatch.setattr(run.head, "forward_backward", lambda *_: os.kill(os.getpid(), signal.SIGINT) or (0.0, []))
    with pytest.raises(Interrupted, match="stopped within iteration 1, .*; nothing was done before it"):
        run.train()
    assert saved(tmp_path) == []


def test_a_checkpoint_comes_before_each_validation_and_its_result_after(tmp_path):
    seen = []

    def validate():
        seen.append((run.iteration, saved(tmp_path)))
        return {"set": {"accuracy": {2: 0.5, 4: 0.9, 6: 0.7}[run.iteration], "std": 0.0}}

    run = trainer(tmp_path, "train.validate_every=2", "train.checkpoint_every=3", validate=validate)
    run.train()
    assert seen == [(2, [2]), (4, [2, 3, 4]), (6, [2, 3, 4, 6])]
    last = read_json(tmp_path / "checkpoints" / "00000006" / "state.json")
    assert last["best"] == {"iteration": 4, "accuracy": 0.9} and last["verification"]["set"]["accuracy"] == 0.7
    assert read_json(tmp_path / "checkpoints" / "best.json") == {"iteration": 4}
    assert metrics(tmp_path, "verification") == [2, 4, 6]


def test_a_validation_that_fails_costs_no_iteration_and_is_done_on_resuming(tmp_path):
    def fails():
        raise UserError("no such image")

    with pytest.raises(UserError, match="no such image"):
        trainer(tmp_path, "train.validate_every=4", validate=fails).train()
    assert saved(tmp_path) == [4]
    seen = []

    def validate():
        seen.append(again.iteration)
        return {}

    again = trainer(tmp_path, "train.validate_every=4", validate=validate)
    assert again.resume() == [] and again.iteration == 4
    again.train()
    assert seen == [4, 6] and metrics(tmp_path, "verification") == [4, 6]
    # Once it is done, it is not done again.
    third = trainer(tmp_path, "train.validate_every=4", "train.iterations=7", validate=lambda: seen.append(7) or {})
    third.resume()
    third.train()
    assert seen == [4, 6, 7]


def test_a_signal_in_a_validation_stops_it_at_once_and_changes_nothing_of_the_run(tmp_path, capfd):
    def digest(folder):
        return {n: h for n, h in read_json(folder / "state.json")["sha256"].items() if n.endswith(".params")}

    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    trainer(straight, "train.validate_every=3", validate=dict).train()

    def interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(100_000):
            pass
        raise AssertionError("the validation went on")

    with pytest.raises(Interrupted, match="in the validation after iteration 3; resume from .*00000003") as stop:
        trainer(stopped, "train.validate_every=3", validate=interrupted).train()
    assert stop.value.status == 143
    assert "SIGTERM: stopping the validation; again to stop at once\n" in capfd.readouterr().err
    again = trainer(stopped, "train.validate_every=3", validate=dict)
    again.resume()
    again.train()
    assert metrics(stopped, "verification") == [3, 6]
    assert digest(stopped / "checkpoints" / "00000006") == digest(straight / "checkpoints" / "00000006")


def test_a_signal_lets_the_iteration_end_and_writes_a_checkpoint(tmp_path, capfd, monkeypatch):
    run = trainer(tmp_path, "train.iterations=50")
    step = run._step

    def interrupted(batch, lr):
        if run.iteration == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(batch, lr)

    monkeypatch.setattr(run, "_step", interrupted)
    with pytest.raises(Interrupted, match="SIGINT: stopped after iteration 3; resume from .*00000003") as stop:
        run.train()
    assert stop.value.status == 130 and saved(tmp_path) == [3]
    assert "SIGINT: stopping after this iteration; again to stop at once\n" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_statistics_differ_by_device_and_their_average_is_the_model(tmp_path):
    run = trainer(tmp_path)
    run._step(next(Stream().iterate(0)), 0.1)
    own = [array.asnumpy() for array in run.net.norm.running_mean.list_data()]
    assert not np.array_equal(*own)
    with run.statistics.averaged():
        for array in run.net.norm.running_mean.list_data():
            np.testing.assert_allclose(array.asnumpy(), (own[0] + own[1]) / 2, rtol=1e-6)
    for array, before in zip(run.net.norm.running_mean.list_data(), own):
        np.testing.assert_array_equal(array.asnumpy(), before)
