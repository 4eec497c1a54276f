"""The document from which a report is written, and the literature it cites."""
