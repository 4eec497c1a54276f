"""What runs may vary: every factor once, with all that options, studies, tables and titles say of it.

`benchmark.cell.Cell` holds a value of each. This table alone is light, for the command line is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

#: The recipe column of an encoder that a recipe could have trained and did not.
UNTRAINED = "untrained"
#: The recipe column of an encoder that needs none: hand-made features, or weights that came with it.
AS_GIVEN = "as-given"
#: The protocol column of a supervised encoder, whose own head makes the predictions.
END_TO_END = "end-to-end"
#: Asks for every layer of an encoder.
ALL_LAYERS = "all"
#: A fraction of the labels that is drawn clip by clip, strata taking turns.
DRAWN_CLIPS = "clips"
#: A fraction that is drawn window by window within each distinct set of labels, one at least of each.
DRAWN_WINDOWS = "windows-of-each-tag-set"

_NOTHING_PLAIN = object()
#: Options that take ``KEY=VALUE``, one number at a time.
_OPTIONS = {"settings": "--set", "arguments": "--arg"}


@dataclass(frozen=True)
class Factor:
    """What is to be known of a factor beside its value in a cell.

    Attributes
    ----------
    key
        How options, studies and tables call it.
    meaning
        What its levels are, as a study file has them.
    level
        Type of one of its levels.
    levels
        Its levels where a request names none; none at all for what must be named, or for what a task's entry says.
    always
        Levels that are there beside those that are named.
    plain
        Its value in a run on the representation, all training labels and the audio as it is; factors without one are
        the grid itself.
    words
        What a title adds to the names of the grid for a value that is not plain.
    probed
        Whether the value goes to the probe as it is, under its field's name.
    needs_probe
        Whether it means nothing where an encoder's own head predicts.
    column
        Whether it is a column of tables; otherwise it stands in the text of another one.
    help, metavar
        Of its option, where it departs from plain; the others' options complete names of the registry, and stand in
        `benchmark.commands.factors`.
    commas
        What its levels are, where its option takes all of them in one text, separated by commas, instead of one at a
        time; else empty.
    """

    key: str
    meaning: str
    level: Any = str
    levels: tuple[Any, ...] = ()
    always: tuple[Any, ...] = ()
    plain: Any = _NOTHING_PLAIN
    words: Callable[[Any], str] = str
    probed: bool = False
    needs_probe: bool = False
    column: bool = True
    help: str = ""
    metavar: str = ""
    commas: str = ""

    @property
    def option(self) -> str:
        """Option of ``bench run`` that takes its levels."""
        return _OPTIONS.get(self.key, f"--{self.key.replace('_', '-')}")

    @property
    def departs(self) -> bool:
        """Whether it has a plain value from which runs may depart."""
        return self.plain is not _NOTHING_PLAIN


#: Every factor, by the field of `Cell` that holds it.
FACTORS: Mapping[str, Factor] = {
    "encoders": Factor("encoder", "encoders, or several joined by + and probed as one"),
    "sample_rate": Factor(
        "sample_rate",
        "rates that encoders are given audio at [Hz]; their own if empty",
        Annotated[int, Ge(1000)],
        levels=(None,),
        column=False,
    ),
    "arguments": Factor(
        "arguments",
        "arguments of the encoders replaced, one mapping of names to values for each level",
        dict[str, Any],
        levels=({},),
        column=False,
    ),
    "corpus": Factor("corpus", "pretraining corpora; the task's own if empty"),
    "recipe_name": Factor("recipe", "pretraining recipes", levels=("demo",)),
    "settings": Factor(
        "settings",
        "numbers of the recipe replaced, one mapping of keys to values for each level",
        dict[str, Any],
        levels=({},),
        column=False,
    ),
    "protocol": Factor("protocol", "probing protocols; the task's own if empty"),
    "task": Factor("task", "what encoders are scored on"),
    "seed": Factor("seed", "seeds of training and probing", Annotated[int, Ge(0)], levels=(0,)),
    "layer": Factor(
        "layer",
        "layers to probe, or `all`; the representation alone if empty",
        levels=(None,),
        plain=None,
        words=lambda layer: f"layer {layer}",
        probed=True,
        help="Layer to probe instead of the representation, or `all`; may be repeated.",
        metavar="NAME",
    ),
    "labels": Factor(
        "labels",
        "fractions of the training labels that are used",
        Annotated[float, Gt(0), Le(1)],
        levels=(1.0,),
        plain=1.0,
        words=lambda labels: f"{100 * labels:g}% of labels",
        probed=True,
        help="Fractions of the training labels, separated by commas.",
        metavar="F,F,...",
        commas="fractions of the training labels",
    ),
    "draw": Factor(
        "draw",
        "how fractions of the training labels are drawn: `clips`, or `windows-of-each-tag-set` as in the CLMR thesis",
        Literal["clips", "windows-of-each-tag-set"],
        levels=(DRAWN_CLIPS,),
        plain=DRAWN_CLIPS,
        words=lambda draw: f"drawn as {draw}",
        probed=True,
        help="What fractions of the training labels are drawn of: clips, or windows-of-each-tag-set (CLMR thesis).",
        metavar="NAME",
    ),
    "shots": Factor(
        "shots",
        "clips of each class that are trained on, drawn with the seed; all if empty",
        Annotated[int, Ge(1)],
        levels=(None,),
        plain=None,
        words=lambda shots: f"{shots} shots",
        probed=True,
        needs_probe=True,
        help="Training clips of each class, drawn with the seed, separated by commas.",
        metavar="K,K,...",
        commas="clips of each class",
    ),
    "deform": Factor(
        "deform",
        "deformations of the test audio as NAME=STRENGTH, scored beside the audio as it is",
        always=(None,),
        plain=None,
        words=lambda deform: f"test audio with {deform}",
        help="Score on deformed test audio too: gain, noise, mp3, low_pass, reverb, pitch, tempo; may be repeated.",
        metavar="NAME=STRENGTH",
    ),
    "limit": Factor(
        "limit",
        "clips that are used alone, to see whether all works; all if empty",
        Annotated[int, Ge(1)],
        levels=(None,),
        plain=None,
        words=lambda limit: f"on {limit:,} clips alone",
        help="Use so many clips alone, to see whether all works; such scores are never in reports.",
        metavar="N",
        commas="numbers of clips",
    ),
}
#: What tables call the factors that have a column.
COLUMNS = tuple(factor.key for factor in FACTORS.values() if factor.column)
#: What the factors from which a run may depart are called, and the value of a plain run.
PLAIN: Mapping[str, Any] = {factor.key: factor.plain for factor in FACTORS.values() if factor.departs}


def in_cells(value: Any) -> Any:
    """A factor's value as tables of text have it: ``none`` where there is none."""
    return "none" if value is None else value
