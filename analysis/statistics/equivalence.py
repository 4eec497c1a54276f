"""Whether a difference is too small to matter: two one-sided tests against a margin (TOST).

Two things are equivalent where a difference of the margin or more, in either direction, is as unlikely as a test asks
for (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15). That a difference was not found says no such
thing: with few scores none is. So there are three answers. Better and equivalent may both hold, of a difference that
is sure and small; the answer then is better, and the sentence says how little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.errors import AnalysisError

Answer = Literal["better", "equivalent", "cannot tell"]
STANDARD_MARGIN = 0.2
"""Margin in standard deviations of a task's scores, unless another is asked for: Cohen's (1988) small effect."""


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests.

    Attributes
    ----------
    margin
        Differences nearer to zero do not matter.
    lower, upper
        Interval of twice the error of one test: within the margins where the p value is below its error.
    p
        The larger of the two tests' p values.
    """

    margin: float
    lower: float
    upper: float
    p: float


def check_margin(margin: float) -> float:
    """Return the margin, or raise `AnalysisError` if it is no positive number."""
    if not (np.isfinite(margin) and margin > 0):
        raise AnalysisError(f"the margin of equivalence is {margin:g}; it has to be a number above 0")
    return margin


def equivalence(
    estimate: float, standard_error: float, freedom: float, margin: float, alpha: float = 0.05
) -> Equivalence:
    """Test a difference that is estimated with a t distribution.

    Parameters
    ----------
    estimate, standard_error, freedom
        Of the difference; `freedom` may be infinite. A standard error that is not known (NaN) shows nothing.
    margin
        In the unit of the estimate.
    alpha
        Error of each test.
    """
    check_margin(margin)
    if np.isnan(standard_error) or freedom <= 0:
        return Equivalence(margin, -np.inf, np.inf, 1.0)
    if standard_error == 0:
        raise ValueError("without a standard error, equivalence_of_alike tells how many units stand for it")
    law = stats.t(freedom) if np.isfinite(freedom) else stats.norm()
    half = float(law.ppf(1 - alpha)) * standard_error
    p = float(law.sf((margin - abs(estimate)) / standard_error))
    return Equivalence(margin, estimate - half, estimate + half, p)


def equivalence_of_alike(estimate: float, units: int, span: float, margin: float, alpha: float = 0.05) -> Equivalence:
    """Test a mean difference of units that all differ by the same.

    Were it beyond the margin, a share of at least ``(margin - |estimate|) / span`` of all units would differ from those
    seen, and as many as were seen would lack them with the probability that is the p value (Clopper and Pearson 1934).

    Parameters
    ----------
    units
        How many were seen.
    span
        The most that one unit can differ by.
    """
    check_margin(margin)
    half = span * (1 - alpha ** (1 / units))
    share = min(1.0, max(0.0, (margin - abs(estimate)) / span))
    return Equivalence(margin, estimate - half, estimate + half, (1 - share) ** units)


def equivalence_of_draws(draws: NDArray[np.float64], margin: float, alpha: float = 0.05) -> Equivalence:
    """Test a difference by bootstrap values of its estimate [replicates]."""
    check_margin(margin)
    beyond = max(int((draws <= -margin).sum()), int((draws >= margin).sum()))
    lower, upper = np.quantile(draws, [alpha, 1 - alpha])
    return Equivalence(margin, float(lower), float(upper), (beyond + 1) / (len(draws) + 1))


def answer(p_difference: float, p_equivalence: float, alpha: float = 0.05) -> Answer:
    """What two p values say, each adjusted for the comparisons that are made with it."""
    if p_difference < alpha:
        return "better"
    return "equivalent" if p_equivalence < alpha else "cannot tell"


def add_equivalence(
    contrasts: Sequence[dict[str, Any]], margin: float, draws: NDArray[np.float64] | None = None
) -> None:
    """Give each contrast of one kind its test against a margin, and its answer.

    Parameters
    ----------
    contrasts
        With ``estimate``, ``se``, ``df``, ``p_holm`` and ``covers_training``. Each gets ``equivalence`` with
        ``margin``, ``lower``, ``upper``, ``p``, ``p_holm`` (over these contrasts), ``bootstrap_p`` (of the bootstrap's
        draws, or null) and ``answer``: "cannot tell" where no table like this can tell of what was trained.
    margin
        In the contrasts' unit.
    draws : ndarray, shape [replicates, contrasts], optional
        Bootstrap values of the contrasts.
    """
    from analysis.statistics.inference import holm

    tests = [equivalence(entry["estimate"], entry["se"], entry["df"], margin) for entry in contrasts]
    for i, (contrast, test, p_holm) in enumerate(zip(contrasts, tests, holm([test.p for test in tests]), strict=True)):
        contrast["equivalence"] = {
            **vars(test),
            "p_holm": p_holm,
            "bootstrap_p": None if draws is None else equivalence_of_draws(draws[:, i], margin).p,
            "answer": answer(contrast["p_holm"], p_holm) if contrast["covers_training"] else "cannot tell",
        }
