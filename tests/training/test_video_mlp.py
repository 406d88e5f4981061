"""The video classifier: it learns what cosines cannot tell, and its scores are inner products."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols.iqiyi import mean_average_precision
from arcface_gluon.training.video_mlp import train_video_mlp


def ambiguous_videos(random, count):
    """Each person has two looks, in opposite directions, so that a feature centre is useless and a classifier not."""
    looks = np.random.default_rng(1).normal(size=(6, 16))
    labels = np.arange(count) % 6
    features = looks[labels] * random.choice([-1, 1], (count, 1)) + 0.6 * random.normal(size=(count, 16))
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.fixture(scope="module")
def trained():
    features, labels = ambiguous_videos(np.random.default_rng(0), 600)
    return train_video_mlp(features, labels, hidden=32, dropout=0.1, epochs=12, batch_size=64)


def test_it_learns_and_beats_feature_centres(trained):
    network, losses = trained
    assert losses[-1] < 0.5 < losses[0]
    features, labels = ambiguous_videos(np.random.default_rng(2), 120)
    queries, videos = network.retrieval_parts(features)
    centres = np.array([features[labels == p].mean(axis=0) for p in range(6)])
    by_mlp = mean_average_precision(queries, np.arange(6), videos, labels).map
    by_centre = mean_average_precision(centres, np.arange(6), features, labels).map
    assert by_mlp > 0.9 > by_centre + 0.2


def test_retrieval_parts_are_the_log_probabilities(trained):
    network, _ = trained
    features, _ = ambiguous_videos(np.random.default_rng(3), 50)
    queries, videos = network.retrieval_parts(features, batch_size=16)
    logits = network(mx.nd.array(features)).asnumpy().astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(videos @ queries.T, expected, atol=1e-4)


def test_the_seed_decides_the_outcome():
    features, labels = ambiguous_videos(np.random.default_rng(4), 120)
    runs = [train_video_mlp(features, labels, hidden=8, epochs=2, batch_size=32, seed=s)[1] for s in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]


def test_several_devices_and_persons_without_video():
    features, labels = ambiguous_videos(np.random.default_rng(5), 90)
    network, losses = train_video_mlp(
        features, labels, persons=9, hidden=16, epochs=3, batch_size=30, contexts="cpu(0),cpu(1)"
    )
    assert losses[-1] < losses[0]
    assert network.retrieval_parts(features[:3])[0].shape == (9, 18)


def test_bad_input_is_told_in_one_line():
    features = np.ones((4, 3), np.float32)
    broken = features.copy()
    broken[2] = np.nan
    for call, words in [
        (lambda: train_video_mlp(features, [0, 1]), "4 video features and 2 labels"),
        (lambda: train_video_mlp(features, [0, 1, 2, -1]), "from -1 to 2"),
        (lambda: train_video_mlp(features, [0, 1, 2, 3], persons=3), "persons 0 to 2"),
        (lambda: train_video_mlp(broken, [0, 1, 2, 3]), "video 2 has NaN"),
    ]:
        with pytest.raises(UserError, match=words):
            call()


def test_the_rate_falls_on_a_cosine_step_by_step(monkeypatch):
    rates = []
    monkeypatch.setattr(mx.gluon.Trainer, "set_learning_rate", lambda trainer, rate: rates.append(rate))
    features, labels = ambiguous_videos(np.random.default_rng(6), 50)
    train_video_mlp(features, labels, hidden=4, epochs=3, batch_size=12, lr=0.2)
    steps = 3 * 4  # four whole batches an epoch
    np.testing.assert_allclose(rates, [0.1 * (1 + np.cos(np.pi * step / steps)) for step in range(steps)], rtol=1e-12)
