"""Scores: how predictions are judged, the record of a run, and tables over many records."""
