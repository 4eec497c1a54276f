"""Shared by the tests of encoders: weights that no library's random generator decides, and signals to encode."""

import numpy as np
import torch


def seeded(encoder, seed):
    """Fill `encoder` from NumPy's generator, which does not change between versions as PyTorch's might."""
    rng = np.random.RandomState(seed)
    state = {}
    for key, tensor in encoder.state_dict().items():
        values = rng.standard_normal(tuple(tensor.shape))
        if key.endswith("num_batches_tracked"):
            values = np.array(1)
        elif key.endswith("running_var"):
            values = 1 + 0.5 * np.abs(values)
        elif "norm.weight" in key:
            values = 1 + 0.2 * values
        elif tensor.ndim > 1:
            values = values * np.sqrt(2 / np.prod(tensor.shape[1:]))
        else:
            values = 0.1 * values
        state[key] = torch.as_tensor(values).to(tensor.dtype)
    encoder.load_state_dict(state)
    return encoder.eval()


def behind_its_front_end(encoder, seed):
    """As `seeded`, but for the front end, which stays as it is."""
    kept = {key: value.clone() for key, value in encoder.front_end.state_dict().items()}
    seeded(encoder, seed).front_end.load_state_dict(kept)
    return encoder


def chirps(samples):
    """Two waveforms [2, 1, samples] at 22,050 Hz."""
    t = np.arange(samples) / 22_050
    low = 0.4 * np.sin(2 * np.pi * (110 * t + 60 * t**2))
    high = 0.2 * np.sin(2 * np.pi * (2_000 * t - 150 * t**2))
    return torch.from_numpy(np.stack([low + high, 0.5 * low - high])[:, None].astype(np.float32))


def published_prefixes(encoder):
    """Our prefix of each module -> that of the newest released code."""
    found = {}
    for theirs, ours in encoder.published_names().items():
        found.setdefault(ours, theirs)
    return found


def published_state(encoder):
    """State of `encoder` under the names of the released code."""
    prefixes = published_prefixes(encoder)
    state = {}
    for key, tensor in encoder.state_dict().items():
        stem, dot, leaf = key.rpartition(".")
        state[prefixes[stem + dot] + leaf] = tensor
    return state
