"""What an analysis knows of its levels that a further study can be planned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.documents.analysis import LevelPlanning
from analysis.errors import AnalysisError
from analysis.statistics.contrasts import covariate_value, level_rows
from analysis.statistics.models import FittedModel
from analysis.statistics.planned import PlannedStudy

FIELDS = tuple(LevelPlanning.__annotations__)


def level_planning(model: FittedModel, at: float | None = None) -> dict[str, LevelPlanning]:
    """Read every level's mean and variances off a fitted ``factor`` model.

    Parameters
    ----------
    model : FittedModel
    at : float, optional
        Value of the covariate at which levels are compared; see `analysis.statistics.contrasts.covariate_value`.

    Returns
    -------
    dict of str to LevelPlanning
        Empty for ``ordinal``, which has no levels. With a covariate, `between` counts that slopes vary too, and
        `single` that a level at one value of the covariate is less certain than its mean: the leverage of the present
        table is assumed to stay.
    """
    value = covariate_value(model, at)
    layout = model.layout
    variances = dict(zip(layout.random, model.sd**2, strict=True))
    common = variances.get(f"{model.columns.get('factor')} x {model.columns['group']}", 0.0)
    cells = np.unique(np.stack([layout.level_code, layout.group_code]), axis=1, return_counts=True)[1]
    one_score = len(layout.group) > 1 and int(cells.max()) == 1
    of_levels = model.runs.of_levels(layout.level_code, len(layout.levels))
    names, rows = level_rows(model, value)
    means = rows @ model.beta
    result: dict[str, LevelPlanning] = {}
    for level, mean in zip(names, means, strict=True):
        place, code = layout.intercepts[level], layout.levels.index(level)
        between = float(variances.get(layout.fixed[place], 0.0 if level == layout.reference else common))
        if level in layout.slopes:
            between += value**2 * float(variances.get(layout.fixed[layout.slopes[level]], 0.0))
        leverage, scores = _leverage(model, code, value, slope=level in layout.slopes)
        # Networks that levels share, as layers of one do, fall out of their differences.
        shared = any(of_levels[code] & other for i, other in enumerate(of_levels) if i != code)
        networks = 0 if shared else len(of_levels[code])
        repeats = min(scores, float(networks)) if layout.run and networks else scores
        single = model.residual_sd**2 * leverage * repeats
        if layout.reference and level != layout.reference:
            single = 0.0
        if one_score:
            between, single = between + single / repeats, 0.0
        result[level] = {
            "mean": float(mean),
            "between": between,
            "single": single,
            "run": float(variances[layout.run]) if layout.run and networks else None,
            "networks": networks,
            "repeats": repeats,
            "unit": level not in model.scores.apart,
        }
    return result


def _leverage(model: FittedModel, code: int, value: float, *, slope: bool) -> tuple[float, float]:
    """Mean variance of a level's expected score on a task, over the residual's, and the mean number of its scores."""
    layout = model.layout
    leverages, sizes = [], []
    for d in range(len(layout.group)):
        rows = (layout.group_code == d) & (layout.level_code == code)
        count = int(rows.sum())
        if count == 0:
            continue
        x = layout.covariate[rows]
        sxx = float(((x - x.mean()) ** 2).sum())
        leverages.append(1.0 / count + (float(x.mean() - value) ** 2 / sxx if sxx > 0.0 and slope else 0.0))
        sizes.append(count)
    return float(np.mean(leverages)), float(np.mean(sizes))


@dataclass(frozen=True)
class PlannedLevels:
    """Levels of an analysis, for a further study of the same; in its unit.

    Attributes
    ----------
    levels : dict of str to LevelPlanning
    natural : bool
        Whether scores kept their metric's unit.
    tasks : int
        Of the analysis; at least 2.
    """

    levels: Mapping[str, LevelPlanning]
    natural: bool
    tasks: int

    @classmethod
    def from_json(cls, fitted: Mapping[str, Any]) -> PlannedLevels:
        """Rebuild levels from an analysis that was read.

        Raises
        ------
        AnalysisError
            If it was made before it held what planning needs.
        KeyError, TypeError, AttributeError
            If it is no analysis.
        """
        planning = fitted["planning"]
        lacking = [name for name in FIELDS if any(name not in entry for entry in planning.values())]
        if lacking:
            raise AnalysisError(
                f"was made by an older bench analyze and says nothing of {', '.join(lacking)} of its levels: make it"
                " again from its table"
            )
        return cls(planning, bool(fitted["model"]["natural"]), max(2, int(fitted["table"]["tasks"])))

    @property
    def names(self) -> list[str]:
        """In the analysis's order."""
        return list(self.levels)

    @property
    def means(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Expected scores, shape [levels]."""
        return np.array([level["mean"] for level in self.levels.values()])

    @property
    def unit(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Levels that make tasks' units, shape [levels]."""
        return np.array([level["unit"] for level in self.levels.values()])

    @property
    def seeds_known(self) -> bool:
        """Whether the analysis tells what one score more in every cell brings."""
        return any(level["single"] > 0.0 for level in self.levels.values())

    @property
    def seeds(self) -> int:
        """Scores of every cell in the analysis, networks where those have an effect; rounded."""
        return max(1, round(float(np.mean([level["repeats"] for level in self.levels.values()]))))

    def trained(self, a: str, b: str) -> bool:
        """Whether training plays a part in the difference of two levels."""
        return self.levels[a]["networks"] > 0 or self.levels[b]["networks"] > 0

    def covers_training(self, a: str, b: str, seeds: int) -> bool:
        """Whether a study with so many seeds says something of what two levels' recipes give, not of networks alone."""
        several = max(level["networks"] for level in self.levels.values()) > 1
        return not self.trained(a, b) or (several and seeds > 1)

    def study(self, tasks: int, seeds: int) -> PlannedStudy:
        """A complete study of these levels."""
        entries = list(self.levels.values())
        runs = [level["run"] for level in entries if level["run"] is not None]
        single = min(level["single"] for level in entries)
        return PlannedStudy(
            tasks,
            seeds,
            [level["between"] + (level["single"] - single) / seeds for level in entries],
            single,
            float(np.mean(runs)) if runs else None,
            [level["run"] is not None for level in entries],
        )
