"""MULE's network in NumPy and float64, written from its description and not from the module under test: sums over the
taps of every kernel, one group after another."""

from __future__ import annotations

import zlib

import numpy as np
from scipy.special import erf, expit


def formula(name, shape, seed=0):
    """Weights and inputs of the golden networks."""
    r = np.random.RandomState(zlib.crc32(f"{seed}:{name}".encode())).standard_normal(shape)
    kind = name.rsplit(".", 1)[-1]
    if kind == "weight":
        r = r / np.sqrt(shape[1]) if ".se." in name else 0.5 * r + 0.1
    elif kind in ("gain", "bias", "skip_gain"):
        r = {"gain": 1 + 0.1 * r, "bias": 0.1 * r, "skip_gain": 0.5 + 0.25 * r}[kind]
    return np.asarray(r).astype(np.float32)


def gelu(x):
    return 1.7015043497085571 * x * 0.5 * (1 + erf(x / np.sqrt(2)))


def convolve(x, weights, name, stride=(1, 1), groups=1):
    """Standardised weights; as many zeros around as give ceil(size / stride) outputs."""
    w = weights[f"{name}.weight"].astype(np.float64)
    n = w[0].size
    centred = w - w.mean(axis=(1, 2, 3), keepdims=True)
    spread = np.sqrt(np.maximum(n * w.var(axis=(1, 2, 3), keepdims=True), 1e-4))
    w = centred / spread * weights[f"{name}.gain"].astype(np.float64)[:, None, None, None]
    sizes = [-(-size // step) for size, step in zip(x.shape[2:], stride, strict=True)]
    pads = []
    for size, out, kernel, step in zip(x.shape[2:], sizes, w.shape[2:], stride, strict=True):
        total = max((out - 1) * step + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [(0, 0), (0, 0), *pads])
    y = np.zeros((len(x), len(w), *sizes))
    per_in, per_out = w.shape[1], len(w) // groups
    for group in range(groups):
        ins, outs = slice(group * per_in, (group + 1) * per_in), slice(group * per_out, (group + 1) * per_out)
        for f in range(w.shape[2]):
            for t in range(w.shape[3]):
                taken = x[:, ins, f : f + stride[0] * sizes[0] : stride[0], t : t + stride[1] * sizes[1] : stride[1]]
                y[:, outs] += np.einsum("oi,bift->boft", w[outs, :, f, t], taken[:, :, : sizes[0], : sizes[1]])
    return y + weights[f"{name}.bias"].astype(np.float64)[:, None, None]


def block(x, weights, name, stage, index, groups):
    halve = 2 if stage > 0 and index == 0 else 1
    activated = gelu(x) / np.sqrt((1.04 if stage else 1.0) + 0.04 * index)
    shortcut = x
    if index == 0:
        pooled = activated
        if halve == 2:
            pooled = (activated[:, :, 0::2] + activated[:, :, 1::2]) / 2
        shortcut = convolve(pooled, weights, f"{name}.shortcut")
    y = gelu(convolve(activated, weights, f"{name}.conv0"))
    y = gelu(convolve(y, weights, f"{name}.conv1", (halve, 1), groups))
    y = gelu(convolve(y, weights, f"{name}.conv2", (1, 1), groups))
    y = convolve(y, weights, f"{name}.conv3")
    se = [weights[f"{name}.se.{n}.{part}"].astype(np.float64) for n in (0, 1) for part in ("weight", "bias")]
    squeezed = np.maximum(y.mean(axis=(2, 3)) @ se[0].T + se[1], 0)
    excited = 2 * expit(squeezed @ se[2].T + se[3])
    return shortcut + 0.2 * float(weights[f"{name}.skip_gain"]) * excited[:, :, None, None] * y


def network(x, weights, depths):
    """Outputs of all layers by name, and ``representation`` [B, dim], for spectrograms [B, 1, 96, T]."""
    x = x.astype(np.float64)
    out = {}
    for path, strides in (("slow", [(2, 8), (1, 1), (1, 1), (2, 2)]), ("fast", [(2, 2), (1, 1), (1, 1), (2, 2)])):
        y = x
        for number, stride in enumerate(strides):
            y = convolve(gelu(y) if number else y, weights, f"{path}.stem.{number}", stride)
        out[f"{path}_stem"] = y
    slow, fast = out["slow_stem"], out["fast_stem"]
    for stage, groups in enumerate((1, 2, 6, 6)):
        fused = convolve(fast, weights, f"fusion.{stage}.time", (1, 4))
        fused = convolve(fused, weights, f"fusion.{stage}.point")
        out[f"fusion_{stage + 1}"] = fused
        slow = np.concatenate([slow, fused], axis=1)
        for index in range(depths[stage]):
            slow = block(slow, weights, f"slow.stages.{stage}.{index}", stage, index, groups)
            fast = block(fast, weights, f"fast.stages.{stage}.{index}", stage, index, groups)
        out[f"slow_stage_{stage + 1}"], out[f"fast_stage_{stage + 1}"] = slow, fast
    out["representation"] = gelu(np.concatenate([slow.mean(axis=(2, 3)), fast.mean(axis=(2, 3))], axis=1))
    return out
