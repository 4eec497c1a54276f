"""The REML solver against lme4's values, statsmodels, least squares, and a dense likelihood written here."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_tables import golden, grid, study, study_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import analysis
from analysis.statistics.crossproducts import cross_responses, make_problem
from analysis.statistics.reml import ZERO_RATIO, evaluate, fit_reml, identifiable, solve, warm_start

KINDS = [("factor", "model1"), ("ordinal", "model2")]


@pytest.mark.parametrize(("kind", "key"), KINDS)
def test_golden_study(kind, key):
    model, want = study_model(kind), golden()[key]
    fixed = list(want["fixed"].values())
    assert np.abs(model.beta - [f["estimate"] for f in fixed]).max() < 1e-6
    se = np.sqrt(np.diag(model.covariance))
    assert np.abs(se / [f["se"] for f in fixed] - 1).max() < 1e-4
    assert np.abs(model.covariance - np.array(want["fixed_vcov"])).max() < 1e-6
    sd = np.append(model.sd, model.residual_sd)
    assert np.abs(sd - [v["sd"] for v in want["variance_components"].values()]).max() < 1e-4
    assert -1e-5 < model.reml - want["reml_criterion"] < 1e-8
    assert model.zero == want["zero_components"] == []
    assert bool(model.zero) is want["singular"]


@pytest.mark.parametrize("kind", ["factor", "ordinal"])
def test_golden_predicted_effects(kind):
    model = study_model(kind)
    want = golden()["model1" if kind == "factor" else "model2"]["blup"]
    ours = np.stack([model.predicted(name) for name in model.layout.random], axis=1)
    for d, task in enumerate(model.layout.group):
        assert np.abs(ours[d] - list(want[task].values())).max() < 1e-5


SMALL = {
    "factor": ("factor", {"factor": "encoder"}),
    "factor_covariate": ("factor", {"factor": "encoder", "covariate": "depth"}),
    "factor_common": ("factor-common", {"factor": "encoder"}),
    "ordinal": ("ordinal", {"size": "size", "covariate": "depth"}),
}


@pytest.mark.parametrize("name", SMALL)
def test_golden_small_unbalanced_grid_with_an_empty_cell(name):
    from analysis_tables import GOLDEN

    want = golden("small_grid_lme4.json")[name]
    scores = analysis.standardise(analysis.read_table(GOLDEN / "small_grid.csv"))
    kind, roles = SMALL[name]
    model = analysis.fit_model(scores, kind, **roles, tasks="centred")
    assert model.layout.model == kind and not model.complete
    assert -1e-5 < model.reml - want["reml"] < 1e-6
    assert np.abs(model.beta - want["estimate"]).max() < 1e-4
    se = np.sqrt(np.diag(model.covariance))
    assert np.abs(se / want["se"] - 1).max() < 1e-4
    assert np.abs(model.sd - np.atleast_1d(want["sd"])).max() < 1e-4
    assert abs(model.residual_sd - want["residual_sd"]) < 1e-4
    zero = np.atleast_1d(want["sd"]) / want["residual_sd"] < 1e-4
    assert model.zero == [n for n, flag in zip(model.layout.random, zero, strict=True) if flag]
    fixed = list(analysis.fixed_effects(model).values())
    assert np.abs(np.array([f["df"] for f in fixed]) / want["df"] - 1).max() < 1e-3
    assert np.abs(np.array([f["p"] for f in fixed]) - want["p"]).max() < 1e-4


def test_statsmodels_agrees_on_the_study():
    from analysis.speed import time_statsmodels

    model = study_model()
    other = time_statsmodels(model, 1)
    assert -1e-3 < model.reml - other["reml"] < 1e-6  # ours is never above; theirs is up to 3e-5 above here


@pytest.mark.parametrize("kind", ["factor", "ordinal"])
def test_complete_table_gives_least_squares(kind):
    model = study_model(kind)
    ols = np.linalg.lstsq(model.problem.X, model.scores.y, rcond=None)[0]
    assert model.complete
    assert np.abs(model.beta - ols).max() < 1e-11


def test_incomplete_table_does_not():
    table = study().drop(index=range(0, 500, 3))
    scores = analysis.standardise(table, "score", "dataset")
    model = analysis.fit_model(scores, "factor", factor="strategy", covariate="n_star")
    ols = np.linalg.lstsq(model.problem.X, model.scores.y, rcond=None)[0]
    assert not model.complete
    assert np.abs(model.beta - ols).max() > 1e-4


def test_covariance_identity_of_complete_tables():
    """Cov(b0, b1) = [s_e^2 (X_r'X_r)^-1 + diag(s0^2, s1^2)] / D."""
    model = study_model()
    layout = model.layout
    rows = (layout.group_code == 0) & (layout.level_code == 3)
    x = np.column_stack([np.ones(rows.sum()), layout.covariate[rows]])
    name = layout.levels[3]
    place = [layout.intercepts[name], layout.slopes[name]]
    want = (model.residual_sd**2 * np.linalg.inv(x.T @ x) + np.diag(model.sd[place] ** 2)) / 7
    assert np.abs(model.covariance[np.ix_(place, place)] - want).max() < 1e-12


def dense_criterion(variances, residual, X, Z, group, component, y):
    """-2 restricted log-likelihood from the whole covariance matrix: no profiling, no cross-products."""
    V = residual * np.eye(len(y))
    for k in range(Z.shape[1]):
        V += variances[component[k]] * np.outer(Z[:, k], Z[:, k]) * (group[:, None] == group[None, :])
    logdet = np.linalg.slogdet(V)[1]
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    beta = np.linalg.solve(information, X.T @ inverse @ y)
    r = y - X @ beta
    p = X.shape[1]
    value = logdet + np.linalg.slogdet(information)[1] + r @ inverse @ r + (len(y) - p) * np.log(2 * np.pi)
    return value, beta


def unbalanced(seed, encoders=3, tasks=4, zero=True):
    generator = np.random.default_rng(seed)
    level, group = [], []
    for e in range(encoders):
        for d in range(tasks):
            count = 0 if (e, d) == (1, 2) else int(generator.integers(1, 5))
            level += [e] * count
            group += [d] * count
    level, group = np.array(level), np.array(group)
    sd = np.array([0.0 if zero else 0.5, 0.8, 0.4])[:encoders]
    u = generator.standard_normal((encoders, tasks)) * sd[:, None]
    y = 0.3 * level + u[level, group] + 0.5 * generator.standard_normal(len(level))
    X = np.eye(encoders)[level]
    return X, group, y


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shared", [False, True])
def test_dense_likelihood_agrees_on_small_unbalanced_grids(seed, shared):
    X, group, y = unbalanced(seed)
    component = np.zeros(3, dtype=np.int64) if shared else np.arange(3)
    count = int(component.max()) + 1
    problem = make_problem(X, X, group, component)
    found = fit_reml(problem, y)

    def objective(theta):
        return dense_criterion(theta[:-1] ** 2, np.exp(2 * theta[-1]), X, X, group, component, y)[0]

    starts = np.random.default_rng(0).uniform(0.1, 1.2, (4, count + 1))
    starts[:, -1] = np.log(0.5)
    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 20000, "maxfev": 20000}
    best = min((minimize(objective, s, method="Nelder-Mead", options=options) for s in starts), key=lambda r: r.fun)
    ours, beta = dense_criterion(found.sd[0] ** 2, found.residual_variance[0], X, X, group, component, y)
    assert abs(ours - found.criterion[0]) < 1e-8  # the profiled value is the dense one
    assert np.abs(beta - found.beta[0]).max() < 1e-9
    assert found.criterion[0] < best.fun + 1e-8  # and no direct search finds a lower one
    assert found.criterion[0] > best.fun - 1e-5
    assert np.abs(found.sd[0] - np.abs(best.x[:-1])).max() < 2e-3


@pytest.mark.parametrize("seed", range(5))
def test_gradient_and_expected_hessian_are_derivatives(seed):
    X, group, y = unbalanced(seed, zero=False)
    problem = make_problem(X, X, group, np.arange(3))
    once = cross_responses(problem, y[None])
    t = np.random.default_rng(seed).uniform(0.1, 2.0, (1, 3))
    gradient, hessian = evaluate(problem, once, t).derivatives(problem)
    for k in range(3):
        h = 1e-5 * np.eye(3)[k]
        up, down = (evaluate(problem, once, t + s * h).criterion[0] for s in (1, -1))
        assert gradient[0, k] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6)
    # The expectation of the observed Hessian over responses from the model at t is the Fisher matrix.
    generator = np.random.default_rng(1)
    u = generator.standard_normal((20000, 4, 3)) * np.sqrt(t)
    many = np.einsum("nk,rnk->rn", X, u[:, group]) + generator.standard_normal((20000, len(y)))
    cross = cross_responses(problem, many)
    at = np.repeat(t, 20000, axis=0)
    base = evaluate(problem, cross, at).derivatives(problem)[0]
    cov = np.cov(base.T)
    # Var(score) = 2 * expected Hessian of -2 log-likelihood, with the residual variance profiled up to O(1/N).
    assert np.abs(cov / (2 * hessian[0]) - 1)[np.diag_indices(3)].max() < 0.15


def test_components_that_are_exactly_zero_are_found_exactly():
    """Half of all fits of a truth without task effects end on the boundary; there the value is 0, not nearly 0."""
    generator = np.random.default_rng(3)
    level, group = np.repeat(np.arange(3), 40), np.tile(np.repeat(np.arange(8), 5), 3)
    X = np.eye(3)[level]
    problem = make_problem(X, X, group, np.arange(3))
    y = generator.standard_normal((200, 120))
    found = solve(problem, cross_responses(problem, y), warm_start(problem, np.zeros(3), 200))
    assert found.converged.all()
    zero = found.ratios == 0.0
    assert 0.4 < zero.mean() < 0.75
    assert not ((found.ratios > 0) & (found.ratios < ZERO_RATIO)).any()
    gradient = found.evaluation.derivatives(problem)[0]
    assert (gradient[zero] >= -1e-8).all()  # Karush-Kuhn-Tucker: it would go up
    assert np.abs(gradient[~zero]).max() < 1e-3


def test_batch_equals_one_by_one():
    X, group, _ = unbalanced(2, zero=False)
    problem = make_problem(X, X, group, np.arange(3))
    y = np.random.default_rng(0).standard_normal((30, len(group)))
    together = solve(problem, cross_responses(problem, y), warm_start(problem, np.full(3, 0.4), 30))
    for i in range(30):
        alone = fit_reml(problem, y[i])
        assert abs(alone.criterion[0] - together.criterion[i]) < 1e-7
        assert np.abs(alone.beta[0] - together.beta[i]).max() < 1e-5


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    shift=st.floats(-50, 50),
    scale=st.floats(0.01, 100),
    flip=st.booleans(),
)
def test_invariances(seed, shift, scale, flip):
    """Shifting or scaling a task's scores changes nothing; nor does the order of rows; y -> -y mirrors."""
    table = grid(3, 4, 3, rng=seed)
    model = analysis.fit_model(analysis.standardise(table), "factor", factor="encoder")
    moved = table.copy()
    moved.loc[moved.task == "t1", "score"] = moved.loc[moved.task == "t1", "score"] * scale + shift
    order = np.random.default_rng(seed).permutation(len(table))
    moved = moved.iloc[order].reset_index(drop=True)
    moved["encoder"] = pd.Categorical(moved["encoder"], categories=["e0", "e1", "e2"])
    if flip:
        moved["score"] = -moved["score"]
    other = analysis.fit_model(analysis.standardise(moved), "factor", factor="encoder")
    sign = -1.0 if flip else 1.0
    assert np.abs(other.beta[:3] - sign * model.beta[:3]).max() < 1e-6
    assert np.abs(other.sd - model.sd).max() < 1e-5
    assert abs(other.reml - model.reml) < 1e-6


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_scaling_a_column_of_z_scales_its_component(seed, factor):
    X, group, y = unbalanced(seed, zero=False)
    scales = np.array([1.0, factor, 1.0])
    plain = fit_reml(make_problem(X, X, group, np.arange(3)), y)
    scaled = fit_reml(make_problem(X, X * scales, group, np.arange(3)), y)
    assert abs(plain.criterion[0] - scaled.criterion[0]) < 1e-6
    assert np.abs(scaled.sd[0] * scales - plain.sd[0]).max() < 1e-4


def test_flat_directions_are_recognised():
    level, group = np.repeat(np.arange(2), 6), np.tile(np.arange(6), 2)
    X = np.eye(2)[level]
    assert not identifiable(make_problem(X, X, group, np.arange(2)))  # one score a cell: no residual
    doubled = make_problem(np.repeat(X, 2, 0), np.repeat(X, 2, 0), np.repeat(group, 2), np.arange(2))
    assert identifiable(doubled)


def test_errors_say_what_to_do():
    X = np.ones((3, 2))
    with pytest.raises(analysis.AnalysisError, match=r"cannot be told apart: b is a combination"):
        make_problem(X, X, np.array([0, 0, 1]), np.arange(2), ["a", "b"])
    with pytest.raises(analysis.AnalysisError, match="2 scores cannot carry 2 fixed effects"):
        make_problem(np.eye(2), np.eye(2), np.array([0, 1]), np.arange(2))
    problem = make_problem(np.ones((4, 1)), np.zeros((4, 0)), np.array([0, 0, 1, 1]), np.zeros(0, dtype=np.int64))
    with pytest.raises(analysis.AnalysisError, match="reproduce every score exactly"):
        fit_reml(problem, np.full(4, 2.5))
