"""Artifacts on disk, under the digest of all that made them: written whole or not at all, and believed by content."""
