"""Whether an installation works, and whether an encoder keeps its contract."""
