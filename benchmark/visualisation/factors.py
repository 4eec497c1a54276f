"""Factor analysis of a representation: which features go together, and whether they only follow the level.

Source: Spijkervet, "Contrastive learning of musical representations" (thesis, 2021), section 7.4 and Figure 7.6, which
takes three factors of the clips' means by maximum likelihood and turns them by varimax. There features are not
standardised and chosen by their signed loading; all three factors turned out to be loudness. So features are
standardised here and chosen by the size of their loading, and every factor is held against the level of the clips.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import UserError

#: From this correlation with the clips' level on a factor is said to be loudness.
LOUDNESS = 0.7
#: Features that vary less than this share of their size do so by rounding alone.
_CONSTANT = 1e-6


@dataclass(frozen=True)
class Factors:
    """Factors of standardised features, that with the largest share of variance first.

    Attributes
    ----------
    features : ndarray of int64, shape [kept]
        Features that are not constant.
    loadings : ndarray of float64, shape [factors, kept]
        Correlations of features with factors, about; of each factor the largest is positive.
    share : ndarray of float64, shape [factors]
        Sum of squared loadings over the number of features: of the variance that a factor explains.
    scores : ndarray of float64, shape [clips, factors]
        Of the clips, in standard units, about.
    level_correlation : ndarray of float64, shape [factors]
        Of the scores with the clips' level; NaN where that is not known or does not vary.
    converged : bool
        Whether the fit came to an end.
    """

    features: NDArray[np.int64]
    loadings: NDArray[np.float64]
    share: NDArray[np.float64]
    scores: NDArray[np.float64]
    level_correlation: NDArray[np.float64]
    converged: bool

    @property
    def loud(self) -> NDArray[np.bool_]:
        """Which factors are loudness."""
        return np.asarray(np.nan_to_num(np.abs(self.level_correlation)) > LOUDNESS)


def factors_of(means: NDArray[np.float64], count: int, levels: NDArray[np.float64] | None = None) -> Factors:
    """Maximum-likelihood factors of clips' means, turned by varimax.

    Parameters
    ----------
    means : ndarray, shape [clips, dim]
        Of each clip, over its windows.
    count
        Number of factors.
    levels : ndarray, shape [clips], optional
        Of the clips' audio [dB]; NaN where a clip is silent.

    Raises
    ------
    UserError
        If there are not as many factors in so many clips and features.
    """
    from sklearn.decomposition import FactorAnalysis
    from sklearn.exceptions import ConvergenceWarning

    spread = means.std(axis=0)
    features = np.flatnonzero(spread > _CONSTANT * np.abs(means).max(axis=0, initial=0.0))
    most = min(len(features), len(means) - 1)
    if not 1 <= count <= most:
        raise UserError(
            f"--factors {count}: {len(means):,} clips with {len(features):,} features that vary have 1 to "
            f"{max(most, 0):,} factors"
        )
    standard = (means[:, features] - means[:, features].mean(axis=0)) / spread[features]
    # One solver, whose result does not depend on a random start.
    model = FactorAnalysis(n_components=count, rotation="varimax", svd_method="lapack")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(standard)
    loadings, scores = model.components_, model.transform(standard)
    share = (loadings**2).sum(axis=1) / len(features)
    order = np.argsort(-share, kind="stable")
    loadings, scores = loadings[order], scores[:, order]
    # Which way a factor points is arbitrary.
    sign = np.sign(loadings[np.arange(count), np.abs(loadings).argmax(axis=1)])
    sign[sign == 0] = 1.0
    return Factors(
        features=features,
        loadings=loadings * sign[:, None],
        share=share[order],
        scores=scores * sign,
        level_correlation=_correlations(scores * sign, levels),
        converged=not any(issubclass(one.category, ConvergenceWarning) for one in said),
    )


def _correlations(scores: NDArray[np.float64], levels: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Of each column with the levels that are known."""
    nothing = np.full(scores.shape[1], np.nan)
    if levels is None:
        return nothing
    known = np.isfinite(levels)
    if known.sum() < 3 or levels[known].std() == 0:
        return nothing
    level = (levels[known] - levels[known].mean()) / levels[known].std()
    own = scores[known] - scores[known].mean(axis=0)
    spread = own.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(spread > 0, (own * level[:, None]).mean(axis=0) / spread, np.nan))


def level_db(waveform: NDArray[np.int16]) -> float:
    """Root mean square of a clip, relative to full scale [dB]; NaN for silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    return 10.0 * float(np.log10(power / 2.0**30)) if power > 0 else float("nan")
