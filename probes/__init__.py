"""Protocols: how windows become examples, how a probe is trained and selected, how windows become a score."""
