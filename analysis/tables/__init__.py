"""Long tables of scores: reading them, adding columns, keeping rows."""
