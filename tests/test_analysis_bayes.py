"""The Bayesian fit beside REML: its likelihood, where the two agree, when it gives no figures, and without its extra.

JAX is kept out of the process of the tests, which forks: it is loaded by a process of its own, or by `bench`.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from unittest.mock import MagicMock, patch

import numpy as np
import pandas as pd
import pytest
from analysis_tables import golden, grid, networks, study_model, without_half
from conftest import bench
from json_types import DOCUMENTS, complaints
from scipy import stats

import analysis
from analysis.commands import analyze
from analysis.options import AnalysisOptions
from analysis.statistics import bayesian
from analysis.statistics.crossproducts import cross_responses
from benchmark.errors import UserError
from benchmark.libraries import library_errors

AGREES = 0.1
"""Distance between the two estimates of a difference [standard errors]: what docs/statistics.md promises."""


@pytest.fixture(scope="module")
def apart():
    """Calls a function of this module in a process that may load JAX."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result(timeout=500)


def model_of(table: pd.DataFrame, run: str = "auto", **options) -> analysis.FittedModel:
    scores = analysis.standardise(table, levels="encoder")
    return analysis.fit_model(scores, "factor", factor="encoder", run=run, **options)


def checked(model, **options):
    return bayesian.bayesian_check(model, analysis.pairwise_contrasts(model), **options)


MODELS = {
    "holes": lambda: model_of(without_half(networks(6, 10, 3), 1), run="none"),
    "one network on all tasks": lambda: model_of(networks(4, 7, 3)),
    "a variance per level": lambda: model_of(networks(4, 7, 1, erratic=6.0), run="none"),
    "few tasks": lambda: model_of(grid(3, 3, 2), run="none"),
    "natural": lambda: analysis.fit_model(
        analysis.standardise(networks(3, 5, 2), natural=True), "factor", factor="encoder"
    ),
    "study": study_model,
    "ordinal": lambda: study_model("ordinal", tasks="effects"),
}


def likelihoods(name: str) -> tuple[list[float], list[float], list[list[float]], list[list[float]]]:
    """Of three sets of standard deviations, by the fit and by dense matrices; likewise the effects' estimates."""
    import jax

    model = MODELS[name]()
    problem, y = model.problem, model.scores.y
    responses = cross_responses(problem, y[None])
    ours, dense, means, expected = [], [], [], []
    with jax.enable_x64(True):
        found = bayesian._integrated(problem, responses)
        for factor in (0.5, 1.0, 2.0):
            sd, residual = factor * np.linspace(0.3, 1.1, problem.components), 0.7
            single = problem.lowest < 0.0
            value, mean, _ = found((sd / residual) ** 2 - single, residual)
            ours.append(float(value))
            means.append(np.linalg.solve(problem.r, np.asarray(mean) + responses.ols[0]).tolist())
            V = residual**2 * np.eye(len(y))
            for k, own in enumerate(single):
                for block in range(problem.groups):
                    for column in np.flatnonzero(problem.component[block] == k):
                        z = np.where(problem.group == block, problem.Z[:, column], 0.0)
                        V += (sd[k] ** 2 - own * residual**2) * np.outer(z, z)
            inverse = np.linalg.inv(V)
            xvx = problem.X.T @ inverse @ problem.X
            b = np.linalg.solve(xvx, problem.X.T @ inverse @ y)
            e = y - problem.X @ b
            dense.append(-0.5 * (np.linalg.slogdet(V)[1] + np.linalg.slogdet(xvx)[1] + e @ inverse @ e))
            expected.append(b.tolist())
    return ours, dense, means, expected


@pytest.mark.parametrize("name", ["one network on all tasks", "a variance per level"])
def test_the_likelihood_is_that_of_dense_matrices(apart, name):
    ours, dense, means, expected = apart(likelihoods, name)
    # But for a constant, the determinant of the basis.
    np.testing.assert_allclose(np.diff(ours), np.diff(dense), rtol=0, atol=1e-8)
    np.testing.assert_allclose(means, expected, rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bayes")
    grid(3, 5, 2, step=1.0).to_csv(folder / "scores.csv", index=False)
    done = bench(
        "analyze", folder / "scores.csv", "--bayes", "--bootstrap", 0, "--margin", 0.5, "--json", "-o", folder / "out"
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads(done.stdout)


def test_the_command_gives_probabilities_that_agree_with_reml(answer):
    folder, result = answer
    check = result["bayes"]
    assert complaints(result, DOCUMENTS["analyze"]) == []
    assert check["converged"] and check["r_hat"] <= bayesian.HIGHEST_R_HAT
    assert check["effective"] >= bayesian.FEWEST_EFFECTIVE and check["gap"] < AGREES
    contrasts = [entry for entry in result["contrasts"] if entry["kind"] == "level"]
    assert len(contrasts) == len(check["pairs"]) == 3
    for pair, contrast in zip(check["pairs"], contrasts, strict=True):
        assert (pair["a"], pair["b"], pair["reml"]) == (contrast["a"], contrast["b"], contrast["estimate"])
        assert abs(pair["estimate"] - contrast["estimate"]) < AGREES * contrast["se"]
        assert pair["lower"] < contrast["estimate"] < pair["upper"]
        assert pair["p_better"] + pair["p_worse"] == pytest.approx(1.0)
        # With five tasks the priors have their say, but no more than that.
        width = (pair["upper"] - pair["lower"]) / (contrast["upper"] - contrast["lower"])
        assert 0.6 < width < 1.6
        t = stats.t(contrast["df"], contrast["estimate"], contrast["se"])
        assert pair["p_better"] == pytest.approx(t.sf(0.0), abs=0.06)
        assert pair["p_within"] == pytest.approx(t.cdf(0.5) - t.cdf(-0.5), abs=0.12)
        assert pair["margin"] == 0.5
    assert check["random"].keys() == result["random"].keys()
    assert check["residual_sd"]["lower"] < check["residual_sd"]["reml"] < check["residual_sd"]["upper"]
    table = pd.read_csv(folder / "bayes.csv")
    assert table["p_better"].tolist() == [pair["p_better"] for pair in check["pairs"]]


def test_sentences_look_their_numbers_up(answer):
    _, result = answer
    told = [entry for entry in result["summary"] if any(n["path"][0] == "bayes" for n in entry["numbers"] or ())]
    assert len(told) == 2 and "converged (4 chains" in told[0]["text"]
    assert told[1]["text"].startswith("By it e2 is better than e1 with probability ")
    for number in told[1]["numbers"]:
        value = result
        for key in number["path"]:
            value = value[key]
        assert number["text"] == format(value, number["form"])
        assert number["text"] in told[1]["text"]


def disagreeing(kind: str):
    """A check whose chains are made here: far from one another, too few, or with divergent draws."""
    model = MODELS["few tasks"]()
    shape, rng = (4, 100 if kind == "few" else 1000), np.random.default_rng(0)
    shift = np.arange(4)[:, None, None] if kind == "apart" else 0.0
    posterior = bayesian.Posterior(
        model.beta + shift * np.arange(model.problem.fixed) + rng.standard_normal((*shape, model.problem.fixed)),
        0.5 + 0.1 * rng.random((*shape, model.problem.components)),
        0.5 + 0.1 * rng.random(shape),
        41 if kind == "divergent" else 0,
    )
    with patch.object(bayesian, "sample_posterior", lambda *_, **__: posterior):
        check = checked(model)
        result = analyze(model.scores.table, AnalysisOptions(bayes=True, bootstrap=0, run="none"))
    return check, result["bayes"], [entry["text"] for entry in result["summary"]]


@pytest.mark.parametrize(("kind", "settled"), [("fine", True), ("apart", False), ("few", False), ("divergent", False)])
def test_chains_that_disagree_give_no_figures(apart, kind, settled):
    check, same, told = apart(disagreeing, kind)
    assert check["converged"] is same["converged"] is settled
    assert check["divergent"] == (41 if kind == "divergent" else 0)
    assert (check["r_hat"] > 1.5) == (kind == "apart")
    assert (check["effective"] < 400) == (kind != "fine" and kind != "divergent")
    given = bool(check["pairs"]), check["gap"] is not None, bool(check["random"]), check["residual_sd"] is not None
    assert given == (settled,) * 4
    refused = [text for text in told if "did not converge (4 chains, largest R-hat" in text]
    assert len(refused) == (not settled) and all(text.endswith("no figures of it are given.") for text in refused)
    assert any("By it" in text for text in told) == settled


@pytest.mark.parametrize("library", ["jax", "numpyro"])
def test_without_the_extra_a_line_says_what_to_install(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    if library == "numpyro":
        for name in ("jax", "jax.numpy"):
            monkeypatch.setitem(sys.modules, name, MagicMock())
    with pytest.raises(UserError) as raised, library_errors():
        analyze(grid(3, 4, 2), AnalysisOptions(bayes=True, bootstrap=0), output=tmp_path / "out")
    assert f"{library} is not installed (needed for `bench analyze --bayes`)" in str(raised.value)
    assert "pip install 'bench-music[bayes]'" in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_what_would_take_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(bayesian, "LARGEST", 10)
    with pytest.raises(analysis.AnalysisError, match="too many to be sampled in reasonable time: leave --bayes out"):
        analyze(grid(4, 6, 2), AnalysisOptions(bayes=True, bootstrap=0))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MODELS))
def test_both_agree_on_every_kind_of_table(apart, name):
    model = MODELS[name]()
    check = apart(check_of, name)
    assert check["converged"] and check["gap"] < AGREES
    for component, entry in check["random"].items():
        # A component that REML finds zero is small to the other too: below its own upper limit.
        assert entry["reml"] <= entry["upper"], component
        assert entry["lower"] <= entry["reml"] or component in model.zero
    assert check["residual_sd"]["lower"] < model.residual_sd < check["residual_sd"]["upper"]


def check_of(name: str):
    return checked(MODELS[name]())


@pytest.mark.slow
def test_golden_differences_and_the_same_seed(apart):
    first, second = (apart(check_of, "study") for _ in range(2))
    assert first == second
    pairs = {(pair["a"], pair["b"]): pair for pair in first["pairs"]}
    for entry in golden()["pairwise_nstar0"]:
        pair = pairs.get((entry["a"], entry["b"])) or pairs[entry["b"], entry["a"]]
        sign = 1 if (entry["a"], entry["b"]) in pairs else -1
        assert sign * pair["estimate"] == pytest.approx(entry["estimate"], abs=AGREES * entry["se"])
