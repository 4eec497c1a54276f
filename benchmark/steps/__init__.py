"""The steps: each module's `compute` makes one kind of artifact (see `benchmark.engine.engine.Compute`)."""
