"""Seeds of independent random streams, one for each combination of a seed with numbers."""

from __future__ import annotations

import numpy as np


def mix(seed: int, *numbers: int) -> int:
    """A seed of 63 bits for each combination of a seed with numbers, all at least 0."""
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1, np.uint64)[0] >> np.uint64(1))
