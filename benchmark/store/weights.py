"""Names of the files in an artifact of trained, or of initial, weights."""

from __future__ import annotations

#: The encoder.
WEIGHTS = "encoder.safetensors"
#: The linear head of a supervised training: `weight` [L, dim] and `bias` [L].
HEAD = "head.safetensors"
#: Every clip that the weights have been trained on, in this training and in those that it started from; a line each.
CORPUS = "corpus.jsonl"
