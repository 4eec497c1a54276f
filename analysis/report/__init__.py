"""What scores say, on one page that needs nothing else, and as tables for papers.

Works from a plain document (a dict that JSON can hold) and knows nothing of where it comes from. Its keys:

``created``, ``bench``
    Time, and version of the program that collected it.
``runs``
    One dict a run: ``key``; the factors ``encoder, corpus, recipe, task, protocol, seed, layer, labels, deform`` (null
    for none); ``recipe_name`` and ``overrides`` (its parts); ``epochs`` and ``pairs`` (length of the pretraining, or
    null); ``standin``; ``fingerprint`` of the scored clips; ``n_test``, ``n_expected``; ``overlap`` with ``clips``;
    ``parameters``; ``dim``; ``weights`` (hash); ``steps`` (keys); ``metrics``: by name, the leading one first,
    ``value``, ``lower``, ``upper``, ``level``, ``floor``, and ``per_label`` where wanted. More is always better.
``older``
    How many scores are not among the runs, for theirs were scored again since.
``steps``
    By key ``kind, seconds, peak_memory_bytes, device, peak_gpu_memory_bytes``, and ``windows`` of embed steps.
``layers``
    By encoder, the names of its layers in the order of computation.
``tasks``, ``metrics``, ``descriptions``
    By task ``description`` and ``dataset``; a title for each metric; sentences by section and name.
``trainings``
    By key of a step, pairs of epoch and validation score, of the pretrainings that were probed on the way.
``deformations``
    By name of a deformation, the unit of its strength.
``maps``
    Of some runs: ``key``; ``x``, ``y`` and ``label`` of each clip; names of ``labels``; ``neighbours``, a share.
``study``
    ``name, description, source, planned, missing``, or null.
``failures``, ``commands``, ``versions``, ``citations``
    ``title, cause, log`` each; shell commands; versions by package; ``key, bibtex, used_for`` each.

Scores are compared only within the same task, fingerprint and kind of data (real or stand-in).
"""

from __future__ import annotations

from typing import Any

from analysis import AnalysisError

FORMS = ("html", "md", "csv", "latex", "json")


def render(document: dict[str, Any], form: str = "html") -> str:
    """Write a report.

    Parameters
    ----------
    document : dict
        See the package's text.
    form : str
        ``"html"``: a page; ``"md"``: findings and tables; ``"latex"``: tables; ``"csv"``: the leaderboards as a long
        table; ``"json"``: the document, leaderboards and analyses.

    Raises
    ------
    AnalysisError
        If the form is not known or the document has no runs.
    """
    if form not in FORMS:
        raise AnalysisError(f"unknown form {form!r}: choose one of {', '.join(FORMS)}")
    if not document.get("runs"):
        raise AnalysisError("the document has no runs, so there is nothing to report")
    if form == "html":
        from analysis.report import page  # draws, and so needs what tables do without

        return page.html(document)
    from analysis.report import papers

    return {"md": papers.markdown, "csv": papers.csv_text, "latex": papers.latex, "json": papers.json_text}[form](
        document
    )
