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

from analysis.errors import AnalysisError as AnalysisError

if TYPE_CHECKING:
    from analysis.design.fractional import Candidates as Candidates
    from analysis.design.fractional import replay as replay
    from analysis.design.levels import PlannedLevels as PlannedLevels
    from analysis.design.power import PlannedTests as PlannedTests
    from analysis.statistics.agreement import protocol_agreement as protocol_agreement
    from analysis.statistics.agreement import task_agreement as task_agreement
    from analysis.statistics.aliasing import alias_matrix as alias_matrix
    from analysis.statistics.bayesian import bayesian_check as bayesian_check
    from analysis.statistics.bootstrap import Bootstrap as Bootstrap
    from analysis.statistics.bootstrap import parametric_bootstrap as parametric_bootstrap
    from analysis.statistics.components import grid_components as grid_components
    from analysis.statistics.components import task_components as task_components
    from analysis.statistics.contrasts import best_probability as best_probability
    from analysis.statistics.contrasts import pairwise_contrasts as pairwise_contrasts
    from analysis.statistics.inference import fixed_effects as fixed_effects
    from analysis.statistics.inference import random_effects as random_effects
    from analysis.statistics.models import FittedModel as FittedModel
    from analysis.statistics.models import fit_model as fit_model
    from analysis.statistics.scores import Scores as Scores
    from analysis.statistics.scores import standardise as standardise
    from analysis.tables.expressions import derive as derive
    from analysis.tables.expressions import where as where
    from analysis.tables.long_tables import read_table as read_table

_HOME = {
    "Bootstrap": "statistics.bootstrap",
    "Candidates": "design.fractional",
    "FittedModel": "statistics.models",
    "PlannedLevels": "design.levels",
    "PlannedTests": "design.power",
    "Scores": "statistics.scores",
    "alias_matrix": "statistics.aliasing",
    "bayesian_check": "statistics.bayesian",
    "best_probability": "statistics.contrasts",
    "derive": "tables.expressions",
    "fit_model": "statistics.models",
    "fixed_effects": "statistics.inference",
    "grid_components": "statistics.components",
    "pairwise_contrasts": "statistics.contrasts",
    "parametric_bootstrap": "statistics.bootstrap",
    "protocol_agreement": "statistics.agreement",
    "random_effects": "statistics.inference",
    "read_table": "tables.long_tables",
    "replay": "design.fractional",
    "standardise": "statistics.scores",
    "task_agreement": "statistics.agreement",
    "task_components": "statistics.components",
    "where": "tables.expressions",
}

__all__ = ["AnalysisError", *_HOME]


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
