"""Every named loss, built from its recipe, against its formula written out by hand."""

from __future__ import annotations

import mxnet as mx
import numpy as np
import pytest

from arcface_gluon import recipe
from arcface_gluon.errors import UserError
from arcface_gluon.losses import CurricularHead, SoftmaxHead, SubCentreHead, TripletHead, build_head

CLASSES, SIZE, BATCH = 7, 8, 12
S = 64


def problem():
    random = np.random.default_rng(0)
    x = random.normal(size=(BATCH, SIZE)) * random.uniform(12, 40, (BATCH, 1)) / np.sqrt(SIZE)
    return x, random.normal(size=(CLASSES, SIZE)), np.repeat(np.arange(4), 3)


def unit(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def cross_entropy(logits, labels):
    top = logits.max(axis=1)
    return float(np.mean(np.log(np.exp(logits - top[:, None]).sum(1)) + top - logits[np.arange(len(labels)), labels]))


def softmax_of(target, scale=S):
    """Loss with the given target logit, of theta."""

    def loss(x, w, labels):
        cosines, rows = unit(x) @ unit(w).T, np.arange(len(x))
        logits = scale * cosines
        logits[rows, labels] = target(np.arccos(cosines[rows, labels]))
        return cross_entropy(logits, labels)

    return loss


def intra(x, w, labels):
    return np.mean(np.arccos(np.sum(unit(x) * unit(w)[labels], axis=1))) / np.pi


def inter(x, w, labels):
    angles = np.arccos(np.clip(unit(w) @ unit(w).T, -1, 1))
    return -np.mean([np.mean([angles[y, j] for j in range(len(w)) if j != y]) for y in labels]) / np.pi


def triplet(x, w, labels):
    theta, hinges = np.arccos(np.clip(unit(x) @ unit(x).T, -1, 1)), []
    for a in range(len(x)):
        for p in range(len(x)):
            near = [theta[a, n] for n in range(len(x)) if labels[n] != labels[a]]
            near = [t for t in near if theta[a, p] < t < theta[a, p] + 0.35]
            if a != p and labels[a] == labels[p] and near:
                hinges.append(theta[a, p] + 0.35 - min(near))
    return np.mean(hinges)


def add(*terms):
    return lambda *problem: sum(term(*problem) for term in terms)


NS = softmax_of(lambda t: S * np.cos(t))
ARCFACE = softmax_of(lambda t: S * np.cos(t + 0.5))
FORMULAS = {
    "arcface-0.4": softmax_of(lambda t: S * np.cos(t + 0.4)),
    "arcface-0.45": softmax_of(lambda t: S * np.cos(t + 0.45)),
    "arcface": ARCFACE,
    "arcface-0.55": softmax_of(lambda t: S * np.cos(t + 0.55)),
    "sphereface": softmax_of(lambda t: S * np.cos(1.35 * t)),
    "cosface": softmax_of(lambda t: S * (np.cos(t) - 0.35)),
    "cm1": softmax_of(lambda t: S * (np.cos(t + 0.3) - 0.2)),
    "cm2": softmax_of(lambda t: S * (np.cos(0.9 * t + 0.4) - 0.15)),
    "softmax": lambda x, w, labels: cross_entropy(x @ w.T, labels),
    "norm-softmax": NS,
    "ns-intra": add(NS, intra),
    "ns-inter": add(NS, inter),
    "ns-intra-inter": add(NS, intra, inter),
    "triplet": triplet,
    "arcface-intra": add(ARCFACE, intra),
    "arcface-inter": add(ARCFACE, inter),
    "arcface-intra-inter": add(ARCFACE, intra, inter),
    "arcface-triplet": add(ARCFACE, triplet),
    "norm-softmax-s20": softmax_of(lambda t: 20 * np.cos(t), 20),
}
LATER = {"sub-centre": SubCentreHead, "curricularface": CurricularHead, "magface": None, "adaface": None}


def build(*overrides):
    values = recipe.resolve("casia_r50", overrides)
    return build_head(values.head, CLASSES, SIZE, [mx.cpu(0), mx.cpu(1)], values.seed)


def set_centres(head, w):
    inner = head.head if isinstance(head, TripletHead) else head
    if inner is not None:
        inner.load_rows(0, {"weight": w.astype(np.float32)})


def loss_of(head, x, labels):
    xs = [mx.nd.array(part, c) for part, c in zip(np.array_split(x.astype(np.float32), 2), head.contexts)]
    return head.forward_backward(xs, np.array_split(labels, 2))[0]


def test_every_loss_has_a_test():
    assert set(FORMULAS) | set(LATER) == set(recipe.losses())


@pytest.mark.parametrize("name", FORMULAS)
def test_a_named_loss_is_its_formula(name):
    x, w, labels = problem()
    head = build(f"loss={name}")
    set_centres(head, w)
    assert loss_of(head, x, labels) == pytest.approx(FORMULAS[name](x, w, labels), rel=1e-5)
    head.update(0.1)


@pytest.mark.parametrize(
    "margin, name",
    [("1,0,0", "norm-softmax"), ("1,0.5,0", "arcface"), ("1,0,0.35", "cosface"), ("1.35,0,0", "sphereface")],
)
def test_a_margin_by_numbers_is_the_named_loss(margin, name):
    x, w, labels = problem()
    heads = [build("loss=cm1", f"head.margin={margin}"), build(f"loss={name}")]
    for head in heads:
        set_centres(head, w)
    assert loss_of(heads[0], x, labels) == loss_of(heads[1], x, labels)


@pytest.mark.parametrize("name", LATER)
def test_later_losses_build_train_and_go_on_from_their_state(name):
    x, _, labels = problem()
    head, again = build(f"loss={name}"), build(f"loss={name}")
    assert LATER[name] is None or type(head) is LATER[name]
    first = loss_of(head, x, labels)
    head.update(0.1)
    assert loss_of(head, x, labels) < first
    again.load_state(head.state())
    assert again.state() == head.state()


def test_types():
    assert type(build("loss=softmax")) is SoftmaxHead
    alone = build("loss=triplet")
    assert type(alone) is TripletHead and alone.head is None and alone.num_classes == CLASSES


def test_a_loss_leaves_nothing_of_another():
    values = recipe.inherit("casia_r50", "arcface-triplet")
    recipe.set_loss(values, "softmax")
    recipe.set_loss(values, "arcface")
    assert values == recipe.inherit("casia_r50", "arcface")


@pytest.mark.parametrize(
    "overrides, words",
    [
        (("loss=softmax", "head.intra=1"), "head.kind=softmax has none"),
        (("loss=sub-centre", "head.inter=1"), "head.kind=margin alone"),
        (("loss=magface", "head.options.speed=3"), "unexpected keyword argument 'speed'"),
        (("head.triplet=1",), "images_per_identity of 2 or more"),
        (("head.kind=triplet",), "leaves no loss"),
        (("head.intra=-1",), "must not be negative"),
        (("data.images_per_identity=3",), "must divide train.batch_size"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides, words):
    with pytest.raises(UserError, match=words):
        build(*overrides)
