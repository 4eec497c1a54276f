"""Which runs to make next, and how large a study must be."""
