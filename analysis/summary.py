"""An analysis in plain sentences whose every number is looked up in the analysis itself.

A sentence is written through `Writer.number`, which takes a *path* into the result (``contrasts/3/estimate``), reads
the value there, formats it, and remembers path and text. A reader, or a test, can so follow every number back.
"""

from __future__ import annotations

from typing import Any

from analysis.documents.analysis import AnalysisDocument, SummaryNumber, SummarySentence
from analysis.documents.estimates import Contrast
from analysis.statistics.contrasts import ALPHA
from analysis.tables import direction

NAMED = 3
"""Levels whose mean ranks are told, and that are named as not told apart by them, at most."""


class Writer:
    """Collects sentences about one result.

    Parameters
    ----------
    result : AnalysisDocument
    """

    def __init__(self, result: AnalysisDocument) -> None:
        self.result = result
        self.sentences: list[SummarySentence] = []
        self._numbers: list[SummaryNumber] = []

    def look(self, *path: str | int) -> Any:
        """Value at a path."""
        value: Any = self.result
        for key in path:
            value = value[key]
        return value

    def number(self, *path: str | int, form: str = ".2f", sign: int = 1) -> str:
        """Format the value at a path, and remember that it was used.

        Parameters
        ----------
        path : str or int
            Keys from the top of the result.
        form : str
            Format specification; ``"p"`` for a p value with its relation.
        sign : int
            -1 to print the negated value, where a contrast is told the other way round.
        """
        value = self.look(*path)
        if form == "p":
            text = "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
        else:
            text = format(value if form == "d" else sign * value, form)
            text = text.lstrip("-") if not any(digit in text for digit in "123456789") else text
        self._numbers.append({"path": list(path), "sign": sign, "form": form, "text": text})
        return text

    def say(self, text: str) -> None:
        """Finish a sentence."""
        self.sentences.append({"text": text, "numbers": self._numbers})
        self._numbers = []


def joined(parts: list[str], word: str = "and") -> str:
    """Join words as prose does.

    Examples
    --------
    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {word} {parts[-1]}"


def sentences(result: AnalysisDocument) -> list[SummarySentence]:
    """Write the summary of an analysis.

    Parameters
    ----------
    result : AnalysisDocument
        Its ``summary`` is not read.

    Returns
    -------
    list of SummarySentence
        ``text``, and ``numbers``: for each number in it ``path``, ``sign``, ``form`` and ``text``.
    """
    writer = Writer(result)
    _table(writer)
    _levels(writer)
    _slopes(writer)
    _natural(writer)
    _best(writer)
    _bayes(writer)
    _ranks(writer)
    _random(writer)
    _components(writer)
    _agreement(writer)
    for note in result["notes"]:
        writer.sentences.append({"text": note, "numbers": None})
    return writer.sentences


def _unit(writer: Writer) -> str:
    return "" if writer.look("model", "natural") else " SD"


def _form(writer: Writer) -> str:
    """Two places for standard deviations; three digits for a metric, whose differences may be thousandths."""
    return ".3g" if writer.look("model", "natural") else ".2f"


def _table(w: Writer) -> None:
    group = w.look("model", "group")
    rows, tasks = w.number("table", "rows", form="d"), w.number("table", "tasks", form="d")
    model = w.look("model", "fitted")
    w.say(f"{rows} scores over {tasks} tasks ({group}) were analysed with model {model}, fitted by REML.")
    if w.look("model", "reason"):
        w.sentences.append({"text": w.look("model", "reason"), "numbers": None})


def _interval(w: Writer, *path: str | int, sign: int = 1, form: str = ".2f") -> str:
    low, high = ("lower", "upper") if sign > 0 else ("upper", "lower")
    return f"[{w.number(*path, low, form=form, sign=sign)}, {w.number(*path, high, form=form, sign=sign)}]"


def _levels(w: Writer) -> None:
    """One sentence per level: what it exceeds, and what it cannot be told from; every pair is told once.

    The number of tasks is said once where all pairs of a sentence share as many, else of every pair.
    """
    contrasts = w.look("contrasts")
    found = [i for i, entry in enumerate(contrasts) if entry["kind"] == "level"]
    if not found:
        return
    order = sorted(
        {name for i in found for name in (contrasts[i]["a"], contrasts[i]["b"])},
        key=lambda name: -_height(contrasts, found, name),
    )
    told: set[int] = set()
    for name in order:
        above: list[tuple[int, int, str]] = []
        networks: list[tuple[int, int, str]] = []
        same: list[tuple[int, str]] = []
        equal: list[str] = []
        for i in sorted(found, key=lambda i: -abs(contrasts[i]["estimate"])):
            entry = contrasts[i]
            if i in told or name not in (entry["a"], entry["b"]):
                continue
            sign = 1 if entry["a"] == name else -1
            other = entry["b"] if sign > 0 else entry["a"]
            told.add(i)
            if entry["p_holm"] >= ALPHA:
                if entry["equivalence"]["answer"] == "equivalent":
                    same.append((i, other))
                else:
                    equal.append(other)
                continue
            sign = sign if sign * entry["estimate"] >= 0 else -sign
            (above if entry["different"] else networks).append((i, sign, other))
        at = _at(w) if above or same or equal else ""
        parts = []
        if above:
            exceeds = direction.exceeds(w.look("standardisation"))
            parts.append(f"{name} {exceeds} {_differences(w, above)}")
        if same:
            parts.append(f"{name} is equivalent to {_equivalents(w, same)}")
        if equal:
            the = "The" if not parts and not at else "the"
            parts.append(f"{the} data cannot tell {name} from {joined(equal, 'or')}")
        if parts:
            w.say(f"{f'Where {at}, ' if at else ''}{'; '.join(parts)}.")
        if networks:
            at = _at(w)
            where = f", where {at}," if at else ""
            leads = "is above" if direction.exceeds(w.look("standardisation")) == "exceeds" else "is better than"
            w.say(f"Of these networks{where} that of {name} {leads} {_differences(w, networks, 'that of ')}.")


def _differences(w: Writer, pairs: list[tuple[int, int, str]], prefix: str = "") -> str:
    """What a level exceeds and by how much; of how many tasks that is seen is said once where all pairs share it."""
    places = [_over(w, i, counted=False) for i, _, _ in pairs]
    parts = []
    for i, sign, other in pairs:
        size = w.number("contrasts", i, "estimate", sign=sign, form=_form(w))
        interval = _interval(w, "contrasts", i, sign=sign, form=_form(w))
        p = w.number("contrasts", i, "p_holm", form="p")
        small = w.look("contrasts", i, "equivalence", "p_holm") < ALPHA
        less = f", below the margin of {w.number('contrasts', i, 'equivalence', 'margin', form='.3g')}" if small else ""
        over = _over(w, i) if len(set(places)) > 1 else ""
        parts.append(f"{prefix}{other} by {size}{_unit(w)} {interval} ({p}{less}){over}")
    return f"{joined(parts)}{_over(w, pairs[0][0]) if len(set(places)) == 1 else ''}"


def _equivalents(w: Writer, pairs: list[tuple[int, str]]) -> str:
    """What a level is equivalent to, and within which margin."""
    named = [f"{other} ({w.number('contrasts', i, 'equivalence', 'p_holm', form='p')})" for i, other in pairs]
    margin = w.number("contrasts", pairs[0][0], "equivalence", "margin", form=".3g")
    return f"{joined(named)} within {margin}{_unit(w)}"


def _at(w: Writer) -> str:
    """Where levels are compared, in words; empty without a covariate."""
    covariate = w.look("model", "covariate")
    return f"{covariate} is {w.number('model', 'at', form='.4g')}" if covariate else ""


def _over(w: Writer, i: int, *, counted: bool = True) -> str:
    """Over how many tasks a contrast was seen, in words; or through which levels, if no task has both."""
    tasks, group = w.look("contrasts", i, "tasks"), w.look("model", "group")
    if not tasks:
        return f" through {group}s shared with {joined(w.look('contrasts', i, 'through'))}"
    number = w.number("contrasts", i, "tasks", form="d") if counted else str(tasks)
    return f" over {number} task{'' if tasks == 1 else 's'}"


def _height(contrasts: list[Contrast], found: list[int], name: str) -> float:
    """Sum of a level's differences to all others, which orders levels as their estimates do."""
    total = 0.0
    for i in found:
        entry = contrasts[i]
        total += entry["estimate"] * ((entry["a"] == name) - (entry["b"] == name))
    return total


def _slopes(w: Writer) -> None:
    covariate, unit = w.look("model", "covariate"), _unit(w)
    clear: list[str] = []
    unclear: list[str] = []
    for name, entry in w.look("fixed").items():
        if entry["kind"] != "slope":
            continue
        size = w.number("fixed", name, "estimate", form=_form(w))
        interval = _interval(w, "fixed", name, form=_form(w))
        word = f"in {entry['level']}" if entry["level"] else f"along {name}"
        (clear if entry["p"] < ALPHA else unclear).append(f"{size}{unit} {interval} {word}")
    step = f"one more unit of {covariate}" if not w.look("model", "size") else "one more unit"
    adds = "adds" if direction.exceeds(w.look("standardisation")) == "exceeds" else "betters scores by"
    parts = [f"{step} {adds} {joined(clear)}"] if clear else []
    if unclear:
        parts.append(f"{'no effect' if parts else f'no effect of {step}'} is established where it is {joined(unclear)}")
    if parts:
        text = "; ".join(parts)
        w.say(f"{text[0].upper()}{text[1:]}.")


def _natural(w: Writer) -> None:
    """Say the widest established difference in every task's own units."""
    contrasts = w.look("contrasts")
    found = [i for i, entry in enumerate(contrasts) if entry["kind"] == "level" and entry["different"]]
    if not found or w.look("model", "natural"):
        return
    i = max(found, key=lambda i: abs(contrasts[i]["estimate"]))
    entry = contrasts[i]
    sign = 1 if entry["estimate"] >= 0 else -1
    high, low = (entry["a"], entry["b"]) if sign > 0 else (entry["b"], entry["a"])
    less = {task: w.look("standardisation", task, direction.COLUMN) for task in entry["natural"]}
    parts = []
    for task, value in entry["natural"].items():
        size = w.number("contrasts", i, "natural", task, "estimate", form=".3g", sign=-sign if less[task] else sign)
        more = (" less" if less[task] else " more") if any(less.values()) else ""
        parts.append(f"{size} {value['metric']}{more} on {task}")
    if not parts:
        return
    at = _at(w)
    place = f" where {at}" if at else ""
    if any(less.values()):
        w.say(f"In natural units {high} has on average{place} {joined(parts)} than {low}.")
    else:
        w.say(f"In natural units the average lead of {high} over {low}{place} is worth {joined(parts)}.")


def _best(w: Writer) -> None:
    best = w.look("best", "probability")
    if not best:
        return
    name = max(best, key=lambda level: best[level])
    share, at = w.number("best", "probability", name, form=".1%"), _at(w)
    place = f" where {at}" if at else ""
    summit = direction.summit(w.look("standardisation"))
    w.say(f"{name} has the {summit}{place} in {share} of {w.look('best', 'method')}.")


def _bayes(w: Writer) -> None:
    """Say how far the Bayesian fit lies from REML's, and what it makes of the pairs of the level that leads it."""
    check = w.look("bayes")
    if check is None:
        return
    if not check["converged"]:
        largest = "" if check["r_hat"] is None else f", largest R-hat {w.number('bayes', 'r_hat', form='.4g')}"
        fewest = "" if check["effective"] is None else f", fewest effective draws {_effective(w)}"
        w.say(
            f"The Bayesian fit of the same model did not converge ({w.number('bayes', 'chains', form='d')} chains"
            f"{largest}{fewest}, {w.number('bayes', 'divergent', form='d')} divergent): no figures of it are given."
        )
        return
    w.say(
        f"A Bayesian fit of the same model with weak priors converged ({w.number('bayes', 'chains', form='d')} chains,"
        f" largest R-hat {w.number('bayes', 'r_hat', form='.4g')}, fewest effective draws {_effective(w)}); its"
        f" differences lie within {w.number('bayes', 'gap')} standard errors of those above."
    )
    pairs = check["pairs"]
    every = list(range(len(pairs)))
    leader = max(
        (name for pair in pairs for name in (pair["a"], pair["b"])), key=lambda name: _height(pairs, every, name)
    )
    own = [i for i in every if leader in (pairs[i]["a"], pairs[i]["b"])]
    own = sorted(own, key=lambda i: abs(pairs[i]["estimate"]))[:NAMED]
    covered = all(pairs[i]["covers_training"] for i in own)
    at, the, that = _at(w), "" if covered else "the network of ", "" if covered else "that of "
    told = []
    for i in own:
        first = pairs[i]["a"] == leader
        better = w.number("bayes", "pairs", i, "p_better" if first else "p_worse", form=".1%")
        within = w.number("bayes", "pairs", i, "p_within", form=".1%")
        told.append(f"{that}{pairs[i]['b' if first else 'a']} with probability {better} (within the margin: {within})")
    where = f", where {at}," if at else ""
    margin = w.number("bayes", "pairs", own[0], "margin", form=".3g")
    w.say(f"By it{where} {the}{leader} is better than {joined(told)}; the margin is {margin}{_unit(w)}.")


def _effective(w: Writer) -> str:
    return w.number("bayes", "effective", form=".0f")


def _ranks(w: Writer) -> None:
    """Say the best mean ranks, and what lies within the critical difference of the first."""
    ranks = w.look("ranks")
    if not ranks:
        return
    levels = list(ranks["levels"])
    tasks = w.number("ranks", "tasks", form="d")
    told = [
        f"{name} {w.number('ranks', 'levels', name, 'estimate')} {_interval(w, 'ranks', 'levels', name)}"
        for name in levels[:NAMED]
    ]
    first = levels[0]
    near: list[str] = next((group[1:] for group in ranks["alike"] if group[0] == first), [])
    named = [*near[:NAMED], *(["others"] if len(near) > NAMED else [])]
    verdict = f"would not tell {first} from {joined(named, 'or')}" if near else f"set {first} apart from all others too"
    most = w.number("ranks", "critical_difference")
    best = "" if len(told) == len(levels) else "the best "
    w.say(
        f"On the {tasks} tasks that have scores of all, {best}mean ranks are {joined(told)}; ranks alone, whose"
        f" critical difference (Nemenyi) is {most}, {verdict}."
    )


def _random(w: Writer) -> None:
    zero = [name for name, entry in w.look("random").items() if entry["zero"]]
    if zero:
        verb = "is" if len(zero) == 1 else "are"
        w.say(
            f"The fit is singular: the variance of {joined(zero)} {verb} estimated as zero, which is"
            " information about the table and no failure of the fit."
        )
    if w.look("model", "fitted") == "factor-single":
        return
    size = w.number("residual_sd", "estimate", form=_form(w))
    w.say(f"What the model leaves unexplained has a standard deviation of {size}{_unit(w)}.")


def _components(w: Writer) -> None:
    for i, entry in enumerate(w.look("components", "within_task")):
        if entry["largest"]:
            share = w.number("components", "within_task", i, "estimate", form=".0f")
            whole = w.number("components", "within_task", i, "percent_with_residual", form=".0f")
            w.say(
                f"Within {entry['group']}, {entry['source']} carries {share} % of the components' variance"
                f" ({whole} % with the residual)."
            )
    grid = w.look("components", "grid")
    if grid:
        order = sorted(range(len(grid)), key=lambda i: -grid[i]["estimate"])
        parts = [
            f"{grid[i]['term']} {w.number('components', 'grid', i, 'estimate', form='.0f')} %"
            for i in order
            if grid[i]["estimate"] >= 1.0
        ]
        w.say(f"Of the variance of all scores, the shares are {joined(parts)}.")


def _all_pairs(w: Writer) -> int:
    tasks: int = w.look("table", "tasks")
    return tasks * (tasks - 1) // 2


def _compared(w: Writer, known: int) -> str:
    """Which pairs of tasks have rankings that can be compared, in words."""
    every = _all_pairs(w)
    return "all pairs of tasks" if known == every else f"the {known} of {every} pairs of tasks whose rankings meet"


def _agreement(w: Writer) -> None:
    agreement = w.look("agreement", "protocols")
    for i, pair in enumerate(agreement["pairs"] if agreement else ()):
        place = ("agreement", "protocols", "pairs", i)
        if pair["estimate"] is None or pair["lower"] is None:
            continue
        tau, interval = w.number(*place, "estimate"), _interval(w, *place)
        change = w.number(*place, "change_share", form=".0%")
        if pair["noise_share"] is None:
            noise = "how many without a protocol's doing cannot be told from one score a cell"
        else:
            noise = f"in {w.number(*place, 'noise_share', form='.0%')} between two draws of the scores of one protocol"
        same = (
            f"the winner changes from {pair['winner_a']} to {pair['winner_b']}"
            if pair["winner_changes"]
            else f"both are won by {pair['winner_a']}"
        )
        w.say(
            f"Protocols {pair['a']} and {pair['b']} rank with Kendall tau {tau} {interval}; {same}, and winners differ"
            f" in {change} of resamples ({noise})."
        )
    tasks = w.look("agreement", "tasks")
    known = [i for i, pair in enumerate(tasks) if pair["estimate"] is not None]
    if len(known) == 1:
        only = tasks[known[0]]
        tau = w.number("agreement", "tasks", known[0], "estimate")
        w.say(f"Rankings on {only['a']} and {only['b']} agree with Kendall tau {tau}.")
    elif known:
        low = min(known, key=lambda i: tasks[i]["estimate"])
        high = max(known, key=lambda i: tasks[i]["estimate"])
        if tasks[low]["estimate"] == tasks[high]["estimate"]:
            tau = w.number("agreement", "tasks", low, "estimate")
            which = _compared(w, len(known))
            w.say(f"Rankings agree equally on {which} (Kendall tau {tau}).")
            return
        tasks_of = "tasks" if len(known) == _all_pairs(w) else f"tasks ({_compared(w, len(known))})"
        w.say(
            f"Between {tasks_of}, rankings agree least on {tasks[low]['a']} and {tasks[low]['b']} (Kendall tau"
            f" {w.number('agreement', 'tasks', low, 'estimate')}) and most on {tasks[high]['a']} and {tasks[high]['b']}"
            f" ({w.number('agreement', 'tasks', high, 'estimate')})."
        )
