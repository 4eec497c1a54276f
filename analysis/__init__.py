"""From a long table of scores to statistics, figures and findings. Knows nothing of the harness.

The package works on anyone's CSV: one row a score, one column a factor. A session in Python::

    import analysis

    table = analysis.read_table("scores.csv")
    table = analysis.derive(table, ['n_star = (n_sources - 2) * (strategy != "SS-R")'])
    scores = analysis.standardise(table, score="score", group="dataset")
    model = analysis.fit_model(scores, "factor", group="dataset", factor="strategy", covariate="n_star")
    draws = analysis.parametric_bootstrap(model, replicates=1000, seed=0)
    contrasts = analysis.pairwise_contrasts(model, draws)

Importing the package is cheap: names below load their module, and with it NumPy, SciPy and pandas, on first use.

Sources
-------
Kim, Urbano, Liem, Hanjalic, "One deep music representation to rule them all? A comparative analysis of different
representation learning strategies" (2020), sections 4.3 and 5, is where the models and the sequential design come
from; each function names its equation.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.agreement import protocol_agreement as protocol_agreement
    from analysis.agreement import task_agreement as task_agreement
    from analysis.aliasing import alias_matrix as alias_matrix
    from analysis.bootstrap import Bootstrap as Bootstrap
    from analysis.bootstrap import parametric_bootstrap as parametric_bootstrap
    from analysis.components import grid_components as grid_components
    from analysis.components import task_components as task_components
    from analysis.contrasts import best_probability as best_probability
    from analysis.contrasts import pairwise_contrasts as pairwise_contrasts
    from analysis.expressions import derive as derive
    from analysis.expressions import where as where
    from analysis.fractional import Candidates as Candidates
    from analysis.fractional import replay as replay
    from analysis.inference import fixed_effects as fixed_effects
    from analysis.inference import random_effects as random_effects
    from analysis.models import FittedModel as FittedModel
    from analysis.models import fit_model as fit_model
    from analysis.power import contrast_power as contrast_power
    from analysis.power import repeats_needed as repeats_needed
    from analysis.power import tasks_needed as tasks_needed
    from analysis.scores import Scores as Scores
    from analysis.scores import standardise as standardise
    from analysis.tables import read_table as read_table

_HOME = {
    "Bootstrap": "bootstrap",
    "Candidates": "fractional",
    "FittedModel": "models",
    "Scores": "scores",
    "alias_matrix": "aliasing",
    "best_probability": "contrasts",
    "contrast_power": "power",
    "derive": "expressions",
    "fit_model": "models",
    "fixed_effects": "inference",
    "grid_components": "components",
    "pairwise_contrasts": "contrasts",
    "parametric_bootstrap": "bootstrap",
    "protocol_agreement": "agreement",
    "random_effects": "inference",
    "read_table": "tables",
    "repeats_needed": "power",
    "replay": "fractional",
    "standardise": "scores",
    "task_agreement": "agreement",
    "task_components": "components",
    "tasks_needed": "power",
    "where": "expressions",
}

__all__ = ["AnalysisError", *_HOME]


class AnalysisError(ValueError):
    """A table, an expression or an option that cannot be analysed: says what, where, and what to do, in one line."""


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it.

    Raises
    ------
    AttributeError
        If the package has no such name.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'analysis' has no attribute {name!r}")
    value = getattr(import_module(f"analysis.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names of the public interface."""
    return sorted(__all__)
