"""Seeds of independent random streams, one for each combination of a seed with numbers and names.

What is random in training depends on the run's seed and on the number of the step, never on what was drawn before, so
a training goes on anywhere. The streams of a training with seed `s`:

======================== ===================================================================
initial weights of heads ``mix(s, 0)``
step `n`                 ``mix(s, n)``
an augmentation          ``mix(mix(s, n), name, occurrence)``: that of step `n`, by its name
dropout                  ``mix(s, n, 1 + part, rank)``: of a part of the batch in a process
======================== ===================================================================
"""

from __future__ import annotations

import hashlib

import numpy as np


def mix(seed: int, *parts: int | str) -> int:
    """A seed of 63 bits for each combination of a seed with numbers and names.

    Parameters
    ----------
    seed
        At least 0.
    parts
        Numbers, at least 0, and names. A name stands for the first 128 bits of its SHA-256. Of numbers
        below 2**32, up to four with the seed, zeros at the end may be left out.

    Examples
    --------
    >>> mix(0, 5) == mix(0, 5)
    True
    >>> mix(0, 5, "noise") == mix(0, 5, "gain")
    False
    """
    entropy = [seed, *(_number(part) if isinstance(part, str) else part for part in parts)]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
