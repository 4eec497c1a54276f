"""Golden values of the multi-source study's networks, and the weights that they are for, drawn instead of stored."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch

from encoders.multisource import MultiSource

GOLDEN = Path(__file__).parent / "golden" / "multisource_net"
#: Strategy -> where its sources part.
STRATEGIES = {"SS-R": "input", "MSS-CR": "input", "MS-CR@2": 2, "MS-CR@4": 4, "MS-CR@6": 6, "MS-SR@FC": "fc"}


@cache
def read(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def weights(strategy, seed, channels=2):
    """Tensors by their published names, heads included."""
    rng = np.random.RandomState(seed)
    found = {}
    for key, shape in read("keys")[strategy]:
        if key.endswith("num_batches_tracked"):
            found[key] = torch.tensor(0)
            continue
        if channels == 1 and shape[1:] == [2, 5, 5]:
            shape = [shape[0], 1, 5, 5]
        z = rng.standard_normal(shape)
        if key.endswith("running_var"):
            z = np.exp(0.3 * z)
        elif key.endswith("running_mean"):
            z = 0.2 * z
        elif key.endswith("bias"):
            z = 0.1 * z
        else:
            z = 1 + 0.2 * z if len(shape) == 1 else z * np.sqrt(2 / np.prod(shape[1:]))
        found[key] = torch.from_numpy(np.asarray(z, dtype=np.float32))
    return found


def network(strategy, seed, channels=2, **args):
    """The encoder of a strategy with drawn weights, and the weights of its heads."""
    sources = ["tag"] if strategy == "SS-R" else ["self", "bpm", "tag"]
    model = MultiSource(sources=sources, branch=STRATEGIES[strategy], channels=channels, **args)
    drawn = weights(strategy, seed, channels)
    heads = {key.removeprefix("branches_infer."): drawn.pop(key) for key in list(drawn) if "infer" in key}
    kept = {key: value for key, value in model.state_dict().items() if key.startswith("front_end.")}
    model.load_state_dict(kept | drawn)
    return model.eval(), heads


def inputs(seed, count, dtype=torch.float32):
    """Standardised log-mel spectrograms [2, 2, 216, 128], one batch after another."""
    rng = np.random.RandomState(seed)
    return [torch.from_numpy(rng.standard_normal((2, 2, 216, 128)).astype(np.float32)).to(dtype) for _ in range(count)]
