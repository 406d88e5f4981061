"""The moving average of the weights, and the end of a training whose validations bring nothing."""

import mxnet as mx
import numpy as np
import pytest
from small_trainer import Stream, metrics, trainer

from arcface_gluon.errors import UserError
from arcface_gluon.training.checkpoint import load_checkpoint


def weights(run):
    """What is averaged: weights, and the running statistics' mean over the devices."""
    mx.nd.waitall()
    return {
        name: np.mean([value.asnumpy().astype(np.float64) for value in p.list_data()], axis=0)
        for name, p in run.net._collect_params_with_prefix().items()
    }


def test_the_average_is_the_one_of_numpy_and_is_what_is_validated_and_saved(tmp_path):
    seen = []
    run = trainer(tmp_path, "train.ema=0.7", validate=lambda: seen.append(weights(run)) or {})
    expected = None
    for batch in Stream().iterate(0):
        if run.iteration == 5:
            break
        run._step(batch, 0.1)
        run.iteration += 1
        now = weights(run)
        expected = expected and {name: 0.7 * value + 0.3 * now[name] for name, value in expected.items()} or now
    own = [p.data(c).asnumpy() for p in run.net._collect_params_with_prefix().values() for c in run.contexts]
    folder = run.save()
    with run.evaluated():
        run.validate()
    arrays, _ = load_checkpoint(folder)
    assert set(expected) == set(arrays["backbone.params"]) == set(arrays["trained.params"])
    for name, value in expected.items():
        np.testing.assert_allclose(arrays["backbone.params"][name].asnumpy(), value, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(arrays["trained.params"][name].asnumpy(), now[name].astype(np.float32))
        np.testing.assert_allclose(seen[0][name], value, rtol=1e-4, atol=1e-6)
    after = [p.data(c).asnumpy() for p in run.net._collect_params_with_prefix().values() for c in run.contexts]
    assert all((a == b).all() for a, b in zip(own, after))


def test_a_run_goes_on_with_or_without_an_average(tmp_path):
    trainer(tmp_path, "train.ema=0.9", "train.iterations=3").train()
    without = trainer(tmp_path)
    without.resume()
    trained = load_checkpoint(without.checkpoint)[0]["trained.params"]
    assert (weights(without)["first.weight"] == trained["first.weight"].asnumpy()).all()
    without.train()
    later = trainer(tmp_path, "train.ema=0.9", "train.iterations=7")
    later.resume()
    assert not later.average.values  # begins with the next iteration
    later.train()


def results(*accuracies):
    given = iter(accuracies)
    return lambda: {"set": {"accuracy": next(given), "std": 0.0}}


def test_training_ends_when_as_many_validations_as_patience_says_brought_nothing(tmp_path, capfd):
    settings = ["train.validate_every=1", "train.patience=2", "train.iterations=9"]
    run = trainer(tmp_path, *settings, validate=results(0.5, 0.8, 0.8, 0.9, 0.7, 0.9))
    run.train()
    assert run.iteration == 6 and metrics(tmp_path, "verification") == [1, 2, 3, 4, 5, 6]
    ended = "stopped early, no better validation in 2; the best, 90.00%, is checkpoint 00000004"
    assert ended in "".join(capfd.readouterr())
    again = trainer(tmp_path, *settings, validate=results())
    again.resume()
    again.train()
    assert again.iteration == 6 and ended in "".join(capfd.readouterr())
    patient = trainer(tmp_path, *settings[:1], "train.patience=3", "train.iterations=9", validate=results(0.1))
    patient.resume()
    patient.train()
    assert patient.iteration == 7


def test_sets_of_one_kind_of_pair_are_kept_out_of_the_best(tmp_path, capfd):
    """Of genuine pairs alone, the best threshold accepts all: 100 % whatever the network."""
    given = iter([0.7, 0.8, 0.6])
    genuine = {"accuracy": 1.0, "std": 0.0, "pairs": 10, "genuine": 10}

    def validate():
        return {"genuine": genuine, "both": {"accuracy": next(given), "std": 0.0, "pairs": 10, "genuine": 5}}

    run = trainer(tmp_path / "a", "train.validate_every=1", "train.iterations=3", validate=validate)
    run.train()
    assert run.best == {"iteration": 2, "accuracy": 0.8} and run.without_gain == 1
    assert "genuine all pairs are genuine, so that no accuracy is defined" in "".join(capfd.readouterr())
    alone = trainer(tmp_path / "b", "train.validate_every=1", "train.iterations=3", validate=lambda: {"set": genuine})
    alone.train()
    assert alone.best is None and alone.without_gain == 0


def test_patience_without_validation_is_refused(tmp_path):
    with pytest.raises(UserError, match="train.patience=2 needs validations"):
        trainer(tmp_path, "train.patience=2")
