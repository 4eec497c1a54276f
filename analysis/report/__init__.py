"""What scores say, on one page that needs nothing else, and as tables for papers.

Works from a plain document, whose keys `analysis.report.document` lists, and knows nothing of where it comes from.
"""

from __future__ import annotations

from analysis.errors import AnalysisError
from analysis.report.document import Document

FORMS = ("html", "md", "csv", "latex", "json")


def render(document: Document, form: str = "html") -> str:
    """Write a report.

    Parameters
    ----------
    document : Document
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
    if form == "latex":
        from analysis.report.latex import latex

        return latex(document)
    from analysis.report import papers

    return {"md": papers.markdown, "csv": papers.csv_text, "json": papers.json_text}[form](document)
