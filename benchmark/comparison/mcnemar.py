"""McNemar's exact test of two accuracies on the same clips.

Clips that both encoders get right, or both wrong, say nothing of which is better. Of the others, half would be the
first one's if neither were (McNemar 1947, Psychometrika 12): a binomial test, with no assumption but that clips are
independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


@dataclass(frozen=True)
class Discordance:
    """McNemar's exact test.

    Attributes
    ----------
    first_only, second_only
        Clips that one encoder alone gets right.
    p
        Two-sided, of this comparison alone.
    """

    first_only: int
    second_only: int
    p: float

    @property
    def text(self) -> str:
        """The counts and the test in words."""
        value = f"{self.p:.3f}" if self.p >= 0.001 else "below 0.001"
        return (
            f"McNemar's exact test: {self.first_only:,} clips that the first alone gets right, {self.second_only:,} "
            f"that the second alone does, p = {value} for this comparison alone."
        )


def exact_mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Discordance:
    """Test whether two encoders are right equally often, from whether each is on each clip [clips]."""
    only = int((first & ~second).sum()), int((~first & second).sum())
    return Discordance(*only, float(binomtest(only[0], sum(only), 0.5).pvalue) if sum(only) else 1.0)
