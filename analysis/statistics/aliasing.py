"""The alias matrix of a design: how far each factor's effect is mixed with every other's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.design.fractional import Candidates, level_text
from analysis.errors import AnalysisError
from analysis.tables.long_tables import need


def alias_matrix(table: pd.DataFrame, factors: Sequence[str], numeric: Sequence[str] = ()) -> pd.DataFrame:
    """Correlate the columns of factors: how far each effect is mixed with another.

    Parameters
    ----------
    table : DataFrame
        One row a run.
    factors : sequence of str
        Columns of levels: two levels make one column, more make an indicator per level.
    numeric : sequence of str
        Columns of numbers, used as they are.

    Returns
    -------
    DataFrame, shape [columns, columns]
        Pearson correlations in [-1, 1]; between indicators of one factor, or with a constant column, not a number. Its
        ``attrs["owner"]`` names each column's factor.
    """
    need(table, [*factors, *numeric])
    plain = [name for name in factors if name not in numeric and len({level_text(v) for v in table[name]}) > 1]
    blocks: list[NDArray[np.float64]] = []
    names: list[str] = []
    owner: list[str] = []
    if plain:
        coding = Candidates(table[plain].reset_index(drop=True), plain, plain).coding()
        blocks.append(coding.columns)
        names += coding.names()
        owner += [plain[f] for f in coding.owner]
    for name in numeric:
        blocks.append(pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)[:, None])
        names.append(name)
        owner.append(name)
    if not blocks:
        raise AnalysisError(f"none of {', '.join([*factors, *numeric]) or 'the factors'} varies: nothing is aliased")
    columns = np.hstack(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.atleast_2d(np.corrcoef(columns, rowvar=False))
    same = np.array(owner)[:, None] == np.array(owner)[None, :]
    r[same & ~np.eye(len(owner), dtype=np.bool_)] = np.nan
    result = pd.DataFrame(r, index=names, columns=names)
    result.attrs["owner"] = owner
    return result


def worst_alias(matrix: pd.DataFrame) -> tuple[float, str, str]:
    """Find the largest absolute correlation between columns of different factors.

    Returns
    -------
    (value, column, column)
        0 and empty names if there is only one factor.
    """
    values = np.abs(matrix.to_numpy(dtype=np.float64)).copy()
    np.fill_diagonal(values, np.nan)
    if np.isnan(values).all():
        return 0.0, "", ""
    i, j = np.unravel_index(int(np.nanargmax(values)), values.shape)
    return float(values[i, j]), str(list(matrix.index)[int(i)]), str(list(matrix.columns)[int(j)])
