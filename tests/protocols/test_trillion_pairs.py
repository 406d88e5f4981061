"""Trillion-Pairs against a naive float64 implementation; going on after an interrupt."""

from __future__ import annotations

import json

import numpy as np
import pytest

from arcface_gluon.errors import UserError
from arcface_gluon.protocols import trillion_pairs as tp


def naive(probes, identities, distractors, fprs, identification_fprs):
    impostor = np.array([[np.dot(p, d) for d in distractors] for p in probes])
    same = np.array([[a == b for b in identities] for a in identities])
    scores = np.array([[np.dot(p, q) for q in probes] for p in probes])
    genuine = np.array([scores[i, j] for i in range(len(probes)) for j in range(i) if same[i, j]])

    def rate(hits, false, fpr, candidates):
        best = 0.0
        for t in candidates:
            if (false >= t).sum() <= fpr * len(false) + 1e-9:
                best = max(best, np.mean([hit >= t for hit in hits]))
        return best

    verification = {f: rate(genuine, impostor.ravel(), f, np.unique(genuine)) for f in fprs}
    tops, hits = impostor.max(axis=0), []
    for i in range(len(probes)):
        mates = [scores[i, j] for j in range(len(probes)) if same[i, j] and j != i]
        others = [scores[i, j] for j in range(len(probes)) if not same[i, j]]
        if mates:
            hits.append(max(mates) if max(mates) >= max(others) else -np.inf)
    candidates = np.unique([h for h in hits if h > -np.inf])
    return verification, {f: rate(hits, tops, f, candidates) for f in identification_fprs}, len(genuine)


def case(seed, exact):
    """Persons 0 to 8, of whom one has a single probe; with `exact`, values that float32 holds exactly, so many ties."""
    random = np.random.default_rng(seed)
    identities = random.permutation(np.r_[np.repeat(np.arange(8), 7), 8])
    features = np.zeros((257, 12))
    for row in features:
        row[random.choice(12, 4, replace=False)] = random.choice([-0.5, 0.5], 4)
    if not exact:
        features = random.normal(size=(257, 12))
        features[:57] += 2 * random.normal(size=(9, 12))[identities]
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features[:57], identities, features[57:]


@pytest.fixture
def small_blocks(monkeypatch):
    for name, value in {"ROW_BLOCK": 8, "COLUMN_BLOCK": 13, "_CHUNK": 20, "_MIN_KEPT": 100, "_SAVE_EVERY": -1}.items():
        monkeypatch.setattr(tp, name, value)
    monkeypatch.setattr(tp, "VERIFICATION_FPRS", (1e-9, 1e-4, 1e-3, 5e-3))
    monkeypatch.setattr(tp, "IDENTIFICATION_FPRS", (1e-3, 0.05, 0.3))


@pytest.mark.parametrize("contexts", [None, "cpu(0),cpu(1)"])
@pytest.mark.parametrize("seed, exact", [(0, False), (1, False), (2, True), (3, True)])
def test_rates_agree_with_the_naive_ones(small_blocks, seed, exact, contexts):
    probes, identities, distractors = case(seed, exact)
    result = tp.evaluate(probes * 3, identities, distractors * 0.2, contexts)
    verification, identification, pairs = naive(
        probes, identities, distractors, tp.VERIFICATION_FPRS, tp.IDENTIFICATION_FPRS
    )
    assert result.verification == pytest.approx(verification, abs=1e-12)
    assert result.identification == pytest.approx(identification, abs=1e-12)
    assert result.genuine_pairs == pairs == 8 * 21
    assert (result.impostor_pairs, result.persons) == (57 * 200, 9)
    value = json.loads(json.dumps(result.to_json()))
    assert value["verification_tpr_at_fpr"]["5e-03"] == result.verification[5e-3]
    fpr, tpr = value["roc"]
    assert fpr == sorted(fpr) and tpr == sorted(tpr) and len(fpr) >= 3


def test_a_tie_with_another_person_counts_as_found():
    probes = np.array([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]])
    result = tp.evaluate(probes, [0, 0, 1], np.array([[0, 0, -1.0, 0]]))
    assert result.identification == {1e-3: 1, 1e-2: 1}
    assert result.verification[1e-9] == 1


class Interrupted:
    """Distractors whose memory gives out, once, when a chunk at `at` is asked for."""

    def __init__(self, array, at):
        self.array, self.at, self.shape, self.asked = array, at, array.shape, []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        if key.step is None:
            self.asked.append(key.start)
            if key.start == self.at:
                self.at = None
                raise KeyboardInterrupt
        return self.array[key]


def test_a_run_goes_on_where_it_was_interrupted(small_blocks, tmp_path):
    probes, identities, distractors = case(5, False)
    state = tmp_path / "state.npz"
    source = Interrupted(distractors, 80)
    with pytest.raises(KeyboardInterrupt):
        tp.evaluate(probes, identities, source, state=state)
    assert state.exists()
    result = tp.evaluate(probes, identities, source, state=state)
    assert source.asked == [0, 20, 40, 60, 80, 80, 100, 120, 140, 160, 180]
    assert result == tp.evaluate(probes, identities, distractors)
    assert not state.exists()


def test_it_stops_on_request_and_goes_on_to_the_same_digits(small_blocks, tmp_path, monkeypatch):
    monkeypatch.setattr(tp, "_SAVE_EVERY", 1e9)  # only the request saves
    probes, identities, distractors = case(7, False)
    state, told = tmp_path / "state.npz", []

    def stop(done):
        told.append(done)
        if done in ("40 of 200 distractors", "20 of 57 probes"):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tp.evaluate(probes, identities, distractors, state=state, stop=stop)
    result = tp.evaluate(probes, identities, distractors, state=state, stop=stop)
    assert told[1:4] == ["40 of 200 distractors", "60 of 200 distractors", "80 of 200 distractors"]
    assert told[-3:] == ["20 of 57 probes", "40 of 57 probes", "57 of 57 probes"]
    assert result == tp.evaluate(probes, identities, distractors)
    assert result.full_seconds == pytest.approx(274_000 * 1_854_000 / result.scores_per_second)


def test_a_state_of_other_features_or_damaged_is_refused(small_blocks, tmp_path):
    probes, identities, distractors = case(5, False)
    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        tp.evaluate(probes, identities, Interrupted(distractors, 40), state=state)
    with pytest.raises(UserError, match="state.npz is the state of a run over other features"):
        tp.evaluate(probes, identities[::-1], distractors, state=state)
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(UserError, match="state.npz is not a state that was saved whole"):
        tp.evaluate(probes, identities, distractors, state=state)
    state.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="state.npz is not a state that was saved whole"):
        tp.evaluate(probes, identities, distractors, state=state)


def test_bad_input_is_told_in_one_line():
    probes, distractors = np.eye(4), np.ones((5, 4))
    broken = distractors.copy()
    broken[2, 1] = np.inf
    for call, words in [
        (lambda: tp.evaluate(probes, [0, 0, 1], distractors), "4 probe features, but 3 identities"),
        (lambda: tp.evaluate(probes, [0, 0, 1, 1], distractors[:, :3]), "use one model for both"),
        (lambda: tp.evaluate(probes, [0, 0, 1, 1], distractors[:0]), "use one model for both"),
        (lambda: tp.evaluate(probes, range(4), distractors), "no person has two"),
        (lambda: tp.evaluate(probes, [0, 0, 1, 1], broken, distractor_names=list("abcde")), "distractor c has NaN"),
        (lambda: tp.evaluate(probes * 0, [0, 0, 1, 1], distractors), "probe number 0 is a zero"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            call()
        assert "\n" not in str(error.value)
