"""What goes wrong with a table, an expression or an option, for whose owner it is to put right."""


class AnalysisError(ValueError):
    """A table, an expression or an option that cannot be analysed: says what, where, and what to do, in one line."""
