"""The same mixed model with weak priors: a Bayesian second opinion on what REML says.

**Priors.** Fixed effects have a flat one, as REML integrates them out (Harville 1974, Biometrika 61). The standard
deviation of every component, in the unit of scores, and of the residual has half of a Student t distribution with 3
degrees of freedom (Gelman 2006, Bayesian Analysis 1), whose scale is what least squares leave of the scores' spread.

**Sampling.** Given the standard deviations all effects are normal and integrated exactly; what is left of the
likelihood is the restricted likelihood itself. So only the standard deviations are sampled, by the No-U-Turn sampler
(Hoffman and Gelman 2014) of NumPyro, and the fixed effects are drawn from their normal distribution given each draw.
There is no funnel to get stuck in, and the time does not grow with the rows of the table.

**What differs from REML.** REML reports the likeliest standard deviations, zeros included, and lets a t distribution
allow for their error; here they are averaged over. Estimates of differences are weighted means over tasks and repeats
either way and hardly differ; with few tasks the intervals do, for the priors have their say.

Figures are only for chains that agree: every split R-hat at most 1.01 and every effective sample size at least 400
(Vehtari, Gelman, Simpson, Carpenter, Buerkner 2021, Bayesian Analysis 16), and no divergent transition in a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.documents.bayes import BayesianCheck, PosteriorPair, PosteriorSpread
from analysis.documents.estimates import Contrast
from analysis.errors import AnalysisError
from analysis.statistics.contrasts import compared_rows, covariate_value
from analysis.statistics.crossproducts import Floats, Problem, Responses, cross_responses
from analysis.statistics.models import FittedModel

CHAINS, WARMUP, DRAWS = 4, 500, 1000
"""Chains, and steps of each that adapt the sampler and that count."""
HIGHEST_R_HAT, FEWEST_EFFECTIVE, MOST_DIVERGENT = 1.01, 400.0, 0.01
"""What chains that agree have at most, at least, and as a share of their draws at most."""
LARGEST = 50_000
"""Most of the sum over blocks of the cube of their columns, which the time grows with: minutes on one core."""


@dataclass(frozen=True)
class Posterior:
    """Draws of all chains.

    Attributes
    ----------
    beta : ndarray, shape [chains, draws, fixed]
        Fixed effects of `Problem.X`.
    sd : ndarray, shape [chains, draws, components]
        Standard deviations of effects; of ``factor-single`` of levels' scores.
    residual_sd : ndarray, shape [chains, draws]
    divergent : int
        Draws whose trajectory left the path that it should have followed.
    """

    beta: Floats
    sd: Floats
    residual_sd: Floats
    divergent: int


def bayesian_check(
    model: FittedModel,
    contrasts: Sequence[Contrast],
    at: float | None = None,
    seed: int = 0,
    *,
    warmup: int = WARMUP,
    draws: int = DRAWS,
) -> BayesianCheck:
    """Fit a model again with weak priors, and say what that makes of the differences between its levels.

    Parameters
    ----------
    model : FittedModel
        As REML fitted it, whose estimates stand beside these.
    contrasts : sequence of Contrast
        What REML says of the differences, at the same value of the covariate and with margins.
    at : float, optional
        Value of the covariate at which levels are compared; see `analysis.statistics.contrasts.covariate_value`.
    seed : int
        Of the sampler; the same seed gives the same figures on the same machine.
    warmup, draws : int
        Steps of each chain before its draws count, in which the sampler adapts, and draws that count.

    Returns
    -------
    BayesianCheck
        Without ``pairs``, ``gap``, ``random`` and ``residual_sd`` where the chains do not agree.

    Raises
    ------
    AnalysisError
        If more random effects vary together than can be sampled in reasonable time.
    """
    posterior = sample_posterior(model, seed, warmup=warmup, draws=draws)
    names, rows = compared_rows(model, covariate_value(model, at))
    expected = {name: posterior.beta @ row for name, row in zip(names, rows, strict=True)}
    pairs = [(each, expected[each["a"]] - expected[each["b"]]) for each in contrasts if each["kind"] == "level"]
    sd = {name: posterior.sd[:, :, k] for k, name in enumerate(model.layout.random)}
    reported = [*(difference for _, difference in pairs), *sd.values(), posterior.residual_sd]
    r_hat, effective = _chains_agree(np.stack(reported, axis=2))
    few_diverged = posterior.divergent <= MOST_DIVERGENT * posterior.residual_sd.size
    settled = bool(r_hat <= HIGHEST_R_HAT and effective >= FEWEST_EFFECTIVE and few_diverged)
    gaps = [abs(float(difference.mean()) - each["estimate"]) / each["se"] for each, difference in pairs]
    return {
        "chains": CHAINS,
        "draws": draws,
        "seed": seed,
        "r_hat": r_hat if np.isfinite(r_hat) else None,
        "effective": effective if np.isfinite(effective) else None,
        "divergent": posterior.divergent,
        "converged": settled,
        "pairs": [_pair(each, difference) for each, difference in pairs] if settled else [],
        "gap": max(gaps) if settled else None,
        "random": {name: _spread(sd[name], float(model.sd[k])) for k, name in enumerate(sd)} if settled else {},
        "residual_sd": _spread(posterior.residual_sd, model.residual_sd) if settled else None,
    }


def _pair(contrast: Contrast, drawn: Floats) -> PosteriorPair:
    equivalence = contrast["equivalence"]
    assert equivalence is not None
    return {
        "a": contrast["a"],
        "b": contrast["b"],
        **_spread(drawn, contrast["estimate"]),
        "p_better": float((drawn > 0.0).mean()),
        "p_worse": float((drawn < 0.0).mean()),
        "p_within": float((np.abs(drawn) < equivalence["margin"]).mean()),
        "margin": equivalence["margin"],
        "covers_training": contrast["covers_training"],
    }


def _spread(drawn: Floats, reml: float) -> PosteriorSpread:
    lower, upper = np.quantile(drawn, [0.025, 0.975])
    return {
        "estimate": float(drawn.mean()),
        "se": float(drawn.std(ddof=1)),
        "lower": float(lower),
        "upper": float(upper),
        "reml": reml,
    }


def _chains_agree(drawn: Floats) -> tuple[float, float]:
    """Largest split R-hat and smallest effective sample size of quantities, shape [chains, draws, quantities]."""
    from numpyro.diagnostics import effective_sample_size, split_gelman_rubin

    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat, effective = np.asarray(split_gelman_rubin(drawn)), np.asarray(effective_sample_size(drawn))
    return float(np.max(r_hat)), float(np.min(effective))


def sample_posterior(model: FittedModel, seed: int = 0, *, warmup: int = WARMUP, draws: int = DRAWS) -> Posterior:
    """Sample the posterior distribution of a model's effects and standard deviations.

    Parameters
    ----------
    model : FittedModel
    seed : int
    warmup, draws : int
        As of `bayesian_check`.

    Raises
    ------
    AnalysisError
        If more random effects vary together than can be sampled in reasonable time.
    """
    problem = model.problem
    size = problem.groups * problem.Z.shape[1] ** 3
    if size > LARGEST:
        raise AnalysisError(
            f"--bayes: {problem.Z.shape[1]} random effects vary together in {problem.groups} groups here, too many to"
            " be sampled in reasonable time: leave --bayes out, or keep fewer rows with --where"
        )
    import jax

    # On the CPU even where there is a GPU: matrices this small gain nothing from one.
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        return _sample(problem, model.scores.y, seed, warmup, draws)


def _sample(problem: Problem, y: Floats, seed: int, warmup: int, draws: int) -> Posterior:
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions
    from numpyro.infer import MCMC, NUTS

    responses = cross_responses(problem, y[None])
    spread = float(np.sqrt(responses.yty[0] / (problem.rows - problem.fixed)))
    single = problem.lowest < 0.0
    scale = spread / np.where(single, 1.0, _sizes(problem))
    integrated = _integrated(problem, responses)

    def ratios(sd: Any, residual_sd: Any) -> Any:
        """Variance ratios; of levels that have a residual variance of their own, less 1."""
        return (sd / residual_sd) ** 2 - single

    def model() -> None:
        half_t = distributions.FoldedDistribution(distributions.StudentT(3.0))
        residual_sd = spread * numpyro.sample("residual_sd", half_t)
        sd = jnp.zeros(0)
        if problem.components:
            sd = scale * numpyro.sample("sd", half_t.expand([problem.components]).to_event(1))
        numpyro.factor("scores", integrated(ratios(sd, residual_sd), residual_sd)[0])

    def effects(drawn: Any) -> Any:
        sd, residual_sd, noise = drawn
        _, mean, root = integrated(ratios(sd, residual_sd), residual_sd)
        return mean + residual_sd * (root @ noise)

    chains = MCMC(
        NUTS(model),
        num_warmup=warmup,
        num_samples=draws,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    chains.run(jax.random.PRNGKey(seed), extra_fields=("diverging",))
    found = chains.get_samples(group_by_chain=True)
    residual_sd = spread * np.asarray(found["residual_sd"], dtype=np.float64)
    sd: Floats = np.zeros((CHAINS, draws, 0))
    if problem.components:
        sd = np.asarray(scale * np.asarray(found["sd"]), dtype=np.float64)
    noise = np.random.default_rng(seed).standard_normal((CHAINS * draws, problem.fixed))
    flat = (sd.reshape(CHAINS * draws, -1), residual_sd.reshape(-1), noise)
    rotated = np.asarray(jax.jit(lambda drawn: jax.lax.map(effects, drawn))(flat)) + responses.ols
    beta = np.asarray(np.linalg.solve(problem.r, rotated.T).T, dtype=np.float64).reshape(CHAINS, draws, problem.fixed)
    diverging = chains.get_extra_fields(group_by_chain=True)["diverging"]
    return Posterior(beta, sd, residual_sd, int(np.asarray(diverging).sum()))


def _sizes(problem: Problem) -> Floats:
    """Root mean square of what each component's effects are multiplied with, shape [components]."""
    component = problem.component[problem.group]
    return np.array(
        [np.sqrt(np.mean(problem.Z[(component == k) & (problem.Z != 0.0)] ** 2)) for k in range(problem.components)]
    )


def _integrated(problem: Problem, responses: Responses) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    """The likelihood of standard deviations with all effects integrated out, and what is then known of the fixed ones.

    Returns
    -------
    callable
        Of variance ratios [components] and the residual's standard deviation: the logarithm of the likelihood but for
        a constant; the mean of the fixed effects [fixed] in the basis `Problem.q`, less `Responses.ols`; and a root of
        their covariance in units of the residual variance [fixed, fixed].

    Notes
    -----
    With ``V = I + Z T Z'``, ``-2 log p = log|V| + log|X'V^-1 X| + (N - p) log s^2 + (y - X b)'V^-1 (y - X b) / s^2``
    (Harville 1974, equation 2).
    """
    import jax.numpy as jnp

    ztz, ztq, zty = (jnp.asarray(each) for each in (problem.ztz, problem.ztq, responses.zty[0]))
    one = jnp.eye(problem.Z.shape[1])
    degrees = problem.rows - problem.fixed

    def integrated(ratios: Any, residual_sd: Any) -> tuple[Any, Any, Any]:
        t = ratios[problem.component] if problem.components else jnp.zeros((problem.groups, 0))
        system = one + ztz * t[:, None, :]
        solved = jnp.linalg.solve(system, jnp.concatenate([ztq, zty[..., None]], axis=2))
        weighted = ztq * t[..., None]
        xvx = jnp.eye(problem.fixed) - jnp.einsum("dka,dkb->ab", weighted, solved[..., :-1])
        xvy = -jnp.einsum("dka,dk->a", weighted, solved[..., -1])
        yvy = responses.yty[0] - jnp.sum(zty * solved[..., -1] * t)
        lower = jnp.linalg.cholesky(0.5 * (xvx + xvx.T))
        root = jnp.linalg.inv(lower).T
        u = root.T @ xvy
        logdet = jnp.linalg.slogdet(system)[1].sum() + 2.0 * jnp.log(jnp.diag(lower)).sum()
        squares = (yvy - u @ u) / residual_sd**2
        return -0.5 * (logdet + 2.0 * degrees * jnp.log(residual_sd) + squares), root @ u, root

    return integrated
