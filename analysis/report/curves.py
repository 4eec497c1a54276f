"""Scores along something that was varied: labels, length of pretraining, layer, strength of a deformation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.report.groups import Group, Run, Value, gather, is_plain, over_seeds, pretraining, trained_once
from analysis.tables.direction import better


@dataclass(frozen=True)
class Curve:
    """One figure: several series along one axis.

    Attributes
    ----------
    axis
        What is varied, with its unit.
    metric
        Leading metric of the group.
    series
        By name, pairs of place and value in the axis' order; a place is a number, or an index into `categories`.
    categories
        Names of the places, where they are no numbers.
    references
        By series, the score with nothing varied, where it has no place on the axis.
    shown
        What is scored, if it is not the metric on test clips; such scores have neither interval nor floor.
    """

    group: Group
    axis: str
    metric: str
    series: Mapping[str, Sequence[tuple[float, Value]]]
    logarithmic: bool = False
    categories: Sequence[str] = ()
    references: Mapping[str, float] = field(default_factory=dict)
    shown: str = ""

    @property
    def floor(self) -> float:
        """What a constant prediction reaches."""
        return float(self.group.runs[0]["metrics"][self.metric]["floor"])

    @property
    def floor_fits(self) -> bool:
        """Whether the floor is near enough for a figure to show it without flattening the series."""
        bounds = [
            bound for points in self.series.values() for _, value in points for bound in (value.lower, value.upper)
        ]
        return not self.shown and min(bounds) - self.floor < 1.5 * (max(bounds) - min(bounds))


def label_curves(groups: Iterable[Group]) -> list[Curve]:
    """Score against the fraction of training labels."""
    found = []
    for group in groups:
        runs = [run for run in group.runs if set(run["departs"]) <= {"labels", "draw"}]
        series = _series(group, [_Placed(run["representation"], run["labels"], run) for run in runs])
        if series:
            found.append(Curve(group, "fraction of the training labels", group.lead, series, logarithmic=True))
    return found


def length_curves(groups: Iterable[Group]) -> list[Curve]:
    """Score against the length of pretraining, among runs that differ in nothing else."""
    found = []
    for group in groups:
        lengths = (("epochs of pretraining", _epochs), ("pairs seen in pretraining", _pairs))
        for axis, length in lengths:
            placed = [
                _Placed(_but_for_length(run), seen, run) for run in group.plain if (seen := length(run)) is not None
            ]
            series = _series(group, placed)
            if series:
                found.append(Curve(group, axis, group.lead, series, logarithmic=True))
    return found


def _epochs(run: Run) -> int | None:
    return run["epochs"]


def _pairs(run: Run) -> int | None:
    return run["pairs"]


def _but_for_length(run: Run) -> str:
    """A representation by everything but how long it was pretrained."""
    rest = {key: value for key, value in run["overrides"].items() if key not in ("epochs", "pairs")}
    changes = ", ".join(f"{key}={value}" for key, value in sorted(rest.items()))
    recipe = f"{run['recipe_name']}({changes})" if changes else run["recipe_name"]
    return f"{run['encoder']} · {pretraining(recipe, run['corpus'])}"


def training_curves(groups: Iterable[Group], trainings: Mapping[str, Sequence[tuple[float, float]]]) -> list[Curve]:
    """Validation scores while an encoder was pretrained, by key of the step, a series a training."""
    found = []
    for group in groups:
        series = {}
        for run in group.runs:
            for key in set(run["steps"]) & trainings.keys():
                points = [(epoch, Value(score, score, score, None, 1)) for epoch, score in trainings[key]]
                series[f"{run['encoder']} · {pretraining(run['recipe'], run['corpus'])}, seed {run['seed']}"] = points
        if series:
            found.append(
                Curve(group, "epoch of one pretraining", group.lead, series, shown="score of validation clips")
            )
    return found


def layer_curves(groups: Iterable[Group], layers: Mapping[str, Sequence[str]]) -> list[Curve]:
    """Score of every layer, a figure for each set of layers; the representation comes last."""
    found = []
    for group in groups:
        probed = [(str(run["layer"]), run) for run in group.runs if run["departs"] == ["layer"]]
        by_encoder: dict[str, list[tuple[str, Run]]] = {}
        for layer, run in probed:
            by_encoder.setdefault(run["encoder"], []).append((layer, run))
        by_order: dict[tuple[str, ...], list[tuple[str, Run]]] = {}
        for encoder, own in by_encoder.items():
            names = {layer for layer, _ in own}
            known = [name for name in layers.get(encoder, ()) if name in names]
            ordered = (*known, *sorted(names - set(known), key=_natural))
            by_order.setdefault(ordered, []).extend(own)
        for order, own in by_order.items():
            probed_as = {(run["representation"], run["protocol"]) for _, run in own}
            whole = [(_WHOLE, run) for run in group.plain if (run["representation"], run["protocol"]) in probed_as]
            categories = [*order, *([_WHOLE] if whole else [])]
            placed = [_Placed(run["representation"], categories.index(layer), run) for layer, run in [*own, *whole]]
            series = _series(group, placed)
            if series:
                found.append(Curve(group, "layer", group.lead, series, categories=categories))
    return found


_WHOLE = "representation"


def deformation_curves(groups: Iterable[Group], units: Mapping[str, str]) -> list[Curve]:
    """Score against the strength of each deformation of the test audio, in the unit of its name."""
    found = []
    for group in groups:
        kinds: dict[str, list[_Placed]] = {}
        for run in group.runs:
            if run["departs"] == ["deform"]:
                name, _, strength = str(run["deform"]).partition("=")
                kinds.setdefault(name, []).append(_Placed(run["representation"], float(strength), run))
        for name, deformed in kinds.items():
            series = _series(group, deformed, least=1)
            protocols = {placed.run["protocol"] for placed in deformed}
            several = len(protocols) > 1
            plain = {
                _name(key, several): value.mean
                for key, cell in gather(group.plain, "representation", "protocol").items()
                if (value := over_seeds(cell, group.lead)) is not None and (several or key[1] in protocols)
            }
            references = {key: plain[key] for key in series if key in plain}
            axis = f"{name} [{units[name]}]" if name in units else f"strength of {name}"
            found.append(Curve(group, axis, group.lead, series, references=references))
    return found


@dataclass(frozen=True)
class _Placed:
    """A run, the series that it belongs to, and where it stands on the axis."""

    name: str
    place: float
    run: Run


def _series(group: Group, placed: Iterable[_Placed], least: int = 2) -> dict[str, list[tuple[float, Value]]]:
    """Series by name, those with at least so many places."""
    cells: dict[tuple[str, str], dict[float, list[Run]]] = {}
    for one in placed:
        cells.setdefault((one.name, one.run["protocol"]), {}).setdefault(one.place, []).append(one.run)
    found = {}
    for key, places in cells.items():
        points = [
            (float(place), value)
            for place, same in places.items()
            if (value := over_seeds(same, group.lead)) is not None
        ]
        if len(points) >= least:
            found[key] = sorted(points, key=lambda point: point[0])
    several = len({protocol for _, protocol in found}) > 1
    return {_name(key, several): points for key, points in found.items()}


def _name(key: tuple[Any, ...], with_protocol: bool) -> str:
    return f"{key[0]} · {key[1]}" if with_protocol else str(key[0])


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Order in which numbers inside names count as numbers."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]


@dataclass(frozen=True)
class Transfer:
    """Scores by pretraining corpus and encoder, as in TUNe's Table 2.

    Attributes
    ----------
    corpora, encoders
        Rows and columns.
    cells
        By corpus and encoder, values by metric.
    once
        Corpora and encoders whose values are of a single trained network.
    """

    group: Group
    protocol: str
    metrics: Sequence[str]
    corpora: list[str]
    encoders: list[str]
    cells: Mapping[tuple[str, str], Mapping[str, Value]]
    once: frozenset[tuple[str, str]]


def transfer_tables(groups: Iterable[Group]) -> list[Transfer]:
    """Tables of the groups and protocols in which an encoder was pretrained on several corpora."""
    found = []
    for group in groups:
        for (protocol,), runs in gather([run for run in group.plain if run["corpus"]], "protocol").items():
            wide = [
                run
                for cell in gather(runs, "encoder", "recipe").values()
                if len({run["corpus"] for run in cell}) > 1
                for run in cell
            ]
            if not wide:
                continue
            corpora = list(dict.fromkeys(run["corpus"] for run in wide if run["corpus"]))
            recipes = len({run["recipe"] for run in wide}) > 1
            metrics = list(group.metrics[:2])
            cells: dict[tuple[str, str], Mapping[str, Value]] = {}
            once = set()
            for (encoder, recipe, corpus), cell in gather(wide, "encoder", "recipe", "corpus").items():
                column = f"{encoder} · {recipe}" if recipes else encoder
                cells[corpus, column] = {
                    metric: value for metric in metrics if (value := over_seeds(cell, metric)) is not None
                }
                if trained_once(cell):
                    once.add((corpus, column))
            encoders = list(dict.fromkeys(column for _, column in cells))
            found.append(Transfer(group, protocol, metrics, corpora, encoders, cells, frozenset(once)))
    return found


@dataclass(frozen=True)
class LabelScores:
    """Leading metric by label and representation, of a group's main protocol.

    Attributes
    ----------
    labels
        Easiest first, by the mean over representations.
    values
        By label, one for each representation or ``None``.
    """

    group: Group
    representations: list[str]
    labels: list[str]
    values: Mapping[str, list[float | None]]


def label_scores(groups: Iterable[Group]) -> list[LabelScores]:
    """Tables of the groups whose leading metric is taken label by label."""
    found = []
    for group in groups:
        columns: dict[str, dict[str, float]] = {}
        for (name,), runs in gather(group.main, "representation").items():
            entries = [run["metrics"][group.lead].get("per_label", {}) for run in runs if is_plain(run)]
            labels = [label for label in entries[0] if all(label in entry for entry in entries)]
            if labels:
                columns[name] = {label: sum(e[label] for e in entries) / len(entries) for label in labels}
        if not columns:
            continue
        sign = better(group.lead)
        order = sorted(columns, key=lambda name: -sign * sum(columns[name].values()) / len(columns[name]))
        every = list(dict.fromkeys(label for column in columns.values() for label in column))
        values = {label: [columns[name].get(label) for name in order] for label in every}

        def mean(label: str, table: Mapping[str, list[float | None]] = values) -> float:
            known = [value for value in table[label] if value is not None]
            return sum(known) / len(known)

        found.append(LabelScores(group, order, sorted(every, key=lambda label: -sign * mean(label)), values))
    return found
