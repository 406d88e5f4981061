"""Table 3's rows against naive loops and closed values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import angles
from arcface_gluon.protocols.angles import angle_statistics, table3


def degrees(a, b):
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b)))


def naive(embeddings, labels, centres=None):
    directions = [x / np.linalg.norm(x) for x in embeddings.astype(np.float64)]
    means = {c: np.mean([x for x, y in zip(directions, labels) if y == c], axis=0) for c in sorted(set(labels))}

    def smallest(vectors):
        return np.mean([min(degrees(a, b) for j, b in enumerate(vectors) if j != i) for i, a in enumerate(vectors)])

    return {
        "intra": np.mean([degrees(x, means[y]) for x, y in zip(directions, labels)]),
        "inter": smallest(list(means.values())),
        "w_ec": np.mean([degrees(centres[c], m) for c, m in means.items()]) if centres is not None else None,
        "w_inter": smallest(list(centres)) if centres is not None else None,
    }


@pytest.mark.parametrize("contexts", [None, "cpu(0),cpu(1)"])
@pytest.mark.parametrize("shards", [False, True])
def test_statistics_agree_with_naive_loops(monkeypatch, contexts, shards):
    for name, value in (("_BLOCK", 7), ("COLUMN_BLOCK", 16), ("ROW_BLOCK", 8)):
        monkeypatch.setattr(angles, name, value)
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 8)) * random.uniform(0.1, 9, (40, 1))
    # Classes 30 … 39 have no image; class 0 has one.
    labels = np.r_[0, random.integers(1, 30, 150)]
    embeddings = (centres[labels] + random.normal(size=(151, 8)) * 2) * random.uniform(0.1, 20, (151, 1))
    given = [centres[:15], centres[15:]] if shards else centres
    result = angle_statistics(embeddings.astype(np.float32), labels, given, contexts)
    expected = naive(embeddings.astype(np.float32), labels.tolist(), centres)
    for name, value in expected.items():
        assert getattr(result, name) == pytest.approx(value, abs=2e-5), name
    assert (result.images, result.classes, result.single_images) == (151, len(set(labels)), 1)


def test_a_verification_set_fills_two_rows_and_labels_need_not_be_rows():
    random = np.random.default_rng(1)
    embeddings, labels = random.normal(size=(12, 5)), np.repeat([900, 5, 77], 4)
    result = angle_statistics(embeddings, labels)
    assert result.intra == pytest.approx(naive(embeddings, labels)["intra"], abs=2e-5)
    assert result.inter == pytest.approx(naive(embeddings, labels)["inter"], abs=2e-5)
    assert result.w_ec is None and result.w_inter is None
    rows = table3(result, angle_statistics(embeddings[:4], labels[:4]))
    assert list(rows) == ["W-EC", "W-Inter", "Intra1", "Inter1", "Intra2", "Inter2"]
    assert rows["Intra1"] == result.intra and rows["Inter2"] is None
    assert json.loads(json.dumps(result.to_json()))["classes"] == 3


def test_closed_values():
    embeddings = np.array([[2.0, 0, 0], [0, 3, 0], [0, 3, 3], [0, 3, -3]])
    result = angle_statistics(embeddings, [0, 1, 1, 1], np.array([[1.0, 1, 0], [0, 5, 0], [-1, 0, 0]]))
    assert result.intra == pytest.approx((0 + 0 + 45 + 45) / 4, abs=1e-5)
    assert result.inter == pytest.approx(90, abs=1e-5)
    assert result.w_ec == pytest.approx((45 + 0) / 2, abs=1e-5)
    assert result.w_inter == pytest.approx((45 + 45 + 90) / 3, abs=1e-5)


def test_bad_input_is_told_in_one_line():
    embeddings = np.eye(4)
    broken = embeddings.copy()
    broken[2, 0] = np.nan
    for call, words in [
        (lambda: angle_statistics(broken, [0, 0, 1, 1]), "embedding 2 has NaN"),
        (lambda: angle_statistics(embeddings, [0, 1]), "4 embeddings and 2 labels"),
        (lambda: angle_statistics(embeddings[:0], []), "0 embeddings"),
        (lambda: angle_statistics(embeddings, [0, 1, 2, 3], np.eye(4)[:3]), "from 0 to 3 .* 3 x 4"),
        (lambda: angle_statistics(embeddings, [0, 1, 2, -1], np.eye(4)), "from -1 to 2"),
        (lambda: angle_statistics(embeddings, [0, 1, 2, 3], np.eye(4) * [1, 1, 0, 1]), "class centre number 2 is a z"),
        (lambda: angle_statistics(np.array([[1.0, 0], [-1, 0]]), [6, 6]), "class 6 cancel out"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


def test_a_centre_is_that_of_the_label_also_where_the_first_classes_have_no_image():
    random = np.random.default_rng(2)
    centres, labels = random.normal(size=(6, 5)), np.repeat([1, 4], 3)
    embeddings = centres[labels] + random.normal(size=(6, 5)) / 10
    assert angle_statistics(embeddings, labels, centres).w_ec < 10
    assert naive(embeddings, labels, centres)["w_ec"] == pytest.approx(
        angle_statistics(embeddings, labels, centres).w_ec, abs=2e-5
    )
