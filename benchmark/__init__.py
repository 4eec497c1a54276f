"""The harness: registry, plan, store, engine, and the steps from a dataset folder to a score record."""
