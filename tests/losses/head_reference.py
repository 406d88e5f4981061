"""The head in plain float64 NumPy, unsharded, and what tests need to compare with it."""

from __future__ import annotations

import mxnet as mx
import numpy as np


def psi(margin, theta):
    """Target cosine with margin, and dpsi/dtheta, sample by sample from the formula."""
    values, slopes = [], []
    for angle in theta:
        phi, k = margin.m1 * angle + margin.m2, 0
        if margin.boundary == "monotone":
            while phi > (k + 1) * np.pi:
                k += 1
        values.append((-1) ** k * np.cos(phi) - 2 * k - margin.m3)
        slopes.append(-((-1) ** k) * margin.m1 * np.sin(phi))
    return np.array(values), np.array(slopes)


def head(x, w, labels, margin, scale, smoothing=0.0):
    """Loss, dloss/dx and dloss/dW by the chain rule over the full (B, N) matrix."""
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    batch = np.arange(len(x))
    x_norm, w_norm = (np.linalg.norm(a, axis=1, keepdims=True) for a in (x, w))
    unit_x, unit_w = x / x_norm, w / w_norm
    cosines = unit_x @ unit_w.T
    own = unit_w[labels]
    theta = 2 * np.arctan2(np.linalg.norm(unit_x - own, axis=1), np.linalg.norm(unit_x + own, axis=1))
    value, slope = psi(margin, theta)
    logits = scale * cosines
    logits[batch, labels] = scale * value
    shifted = logits - logits.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    spread = np.full(p.shape, smoothing / len(w))
    spread[batch, labels] += 1 - smoothing
    loss = -np.mean((spread * (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))).sum(axis=1))
    by_cosine = p - spread
    by_cosine[batch, labels] *= -slope / np.sin(theta)
    by_cosine *= scale / len(x)
    # Tangents: d cos / d x = (w - cos x) / |x|. Each pair on its own, so that nothing cancels near 0 and pi.
    tangent_x = by_cosine @ unit_w - (by_cosine * cosines).sum(1, keepdims=True) * unit_x
    tangent_w = by_cosine.T @ unit_x - (by_cosine * cosines).sum(0)[:, None] * unit_w
    return loss, tangent_x / x_norm, tangent_w / w_norm


def by_autograd(x, w, labels, margin, scale, smoothing=0.0):
    """The same from MXNet's autograd of the formula in float64; margin (m1, m2, m3)."""
    data, weight = mx.nd.array(x, dtype="float64"), mx.nd.array(w, dtype="float64")
    data.attach_grad()
    weight.attach_grad()
    with mx.autograd.record():
        cosine = mx.nd.dot(mx.nd.L2Normalization(data), mx.nd.L2Normalization(weight), transpose_b=True)
        hot = mx.nd.one_hot(mx.nd.array(labels), len(w), dtype="float64")
        target = mx.nd.cos(margin[0] * mx.nd.arccos(cosine) + margin[1]) - margin[2]
        entropies = -mx.nd.log_softmax(scale * (hot * target + (1 - hot) * cosine))
        own, mean = mx.nd.sum(hot * entropies, axis=1), mx.nd.mean(entropies, axis=1)
        loss = mx.nd.mean((1 - smoothing) * own + smoothing * mean)
    loss.backward()
    return loss.asscalar(), data.grad.asnumpy(), weight.grad.asnumpy()


def update(w, momenta, gradient, lr, momentum, wd, nesterov=False):
    """MXNet's SGD, or NAG, in float64."""
    step = -lr * (gradient + wd * w)
    momenta = momentum * momenta + step
    return w + (momentum * momenta + step if nesterov else momenta), momenta


def numeric_gradient(function, at, h=1e-6):
    """Gradient of a function of one array, by central differences."""
    gradient = np.zeros_like(at)
    for place in np.ndindex(*at.shape):
        up, down = at.copy(), at.copy()
        up[place] += h
        down[place] -= h
        gradient[place] = (function(up) - function(down)) / (2 * h)
    return gradient


def step(head, x, labels):
    """What a head under test says of a batch in near-equal parts: loss, dloss/dx and dloss/dW."""
    devices = len(head.contexts)
    xs = [mx.nd.array(part, c) for part, c in zip(np.array_split(x.astype(np.float32), devices), head.contexts)]
    loss, gradients = head.forward_backward(xs, np.array_split(labels, devices))
    return loss, np.concatenate([g.asnumpy() for g in gradients]), head.centre_gradients()
