"""Bootstrap replicates of clips, beside which metrics on replicates and standard errors are checked."""

import numpy as np


def drawn(groups, replicates, seed):
    """How often each replicate holds each clip [clips, replicates]; clips of one group are drawn together."""
    names, group = np.unique(groups, return_inverse=True)
    counts = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    return counts.T[group].astype(np.float32)
