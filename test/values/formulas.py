"""Pieces of the formulas, in f64. `keep` is a mask: True where a point stays in the domain."""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def exp_shifted(s, axis, keep=True):
    """exp(s - max) at the points kept, 0 elsewhere; and the maximum, 0 for a row without a finite one."""
    s = np.where(np.broadcast_to(keep, s.shape), s, -np.inf)
    top = np.max(s, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    return np.exp(s - top), top


def softmax(s, axis=-1, keep=True):
    """0 for a row that is empty or all -inf (rule M4)."""
    z, _ = exp_shifted(s, axis, keep)
    total = z.sum(axis=axis, keepdims=True)
    return np.where(total > 0, z / np.where(total > 0, total, 1), 0.0)


def logsumexp(s, axis=-1, keep=True):
    z, top = exp_shifted(s, axis, keep)
    with np.errstate(divide="ignore"):
        return np.squeeze(np.log(z.sum(axis=axis, keepdims=True)) + top, axis=axis)


def attention(s, v, keep=True):
    """s [..., queries, keys], v [..., keys, e]"""
    return softmax(s, -1, keep) @ v


def dot(q, k):
    """Scaled dot product: q [..., i, d], k [..., j, d] -> [..., i, j]"""
    return q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])


def grid(*extents):
    return np.ogrid[tuple(slice(n) for n in extents)]


def project_to_simplex(s, axis=-1):
    """sparsemax: the Euclidean projection onto the probability simplex, by sorting."""
    s = np.moveaxis(s, axis, -1)
    ordered = -np.sort(-s, axis=-1)
    total = np.cumsum(ordered, axis=-1) - 1
    rank = np.arange(1, s.shape[-1] + 1)
    size = (ordered - total / rank > 0).sum(axis=-1, keepdims=True)
    threshold = np.take_along_axis(total, size - 1, axis=-1) / size
    return np.moveaxis(np.maximum(s - threshold, 0), -1, axis)


def entmax(s, alpha, axis=-1):
    """alpha-entmax by bisection in f64."""
    x = (alpha - 1) * np.moveaxis(s, axis, -1)
    high = x.max(axis=-1, keepdims=True)
    low = high - 1
    for _ in range(200):
        middle = (low + high) / 2
        enough = (np.maximum(x - middle, 0) ** (1 / (alpha - 1))).sum(axis=-1, keepdims=True) >= 1
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    z = np.maximum(x - low, 0) ** (1 / (alpha - 1))
    return np.moveaxis(z / z.sum(axis=-1, keepdims=True), -1, axis)


def t5_bucket(distance, bidirectional, buckets, longest):
    """As T5's code: `distance` is the key's position less the query's."""
    base = np.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        base = np.where(distance > 0, buckets, 0)
        distance = np.abs(distance)
    else:
        distance = -np.minimum(distance, 0)
    exact = buckets // 2
    far = exact + (np.log(np.maximum(distance, 1) / exact) / np.log(longest / exact) * (buckets - exact)).astype(np.int64)
    return base + np.where(distance < exact, distance, np.minimum(far, buckets - 1))


def floor_divide(a, b):
    """Rule E3 on integers: floor division, 0 where b is 0."""
    return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b)))


def floor_remainder(a, b):
    return np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b)))


def read(x, *places):
    """x at integer places, one array an axis; 0 outside (rule E6)."""
    places = np.broadcast_arrays(*places)
    inside = np.ones(places[0].shape, bool)
    for place, extent in zip(places, x.shape):
        inside &= (place >= 0) & (place < extent)
    if x.size == 0:
        return np.zeros(places[0].shape + x.shape[len(places):])
    clipped = tuple(np.clip(place, 0, extent - 1) for place, extent in zip(places, x.shape))
    taken = x[clipped]
    return np.where(inside.reshape(inside.shape + (1,) * (taken.ndim - inside.ndim)), taken, 0)
