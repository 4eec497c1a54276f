"""Datasets as published, the tasks made of them, the metrics they are scored by, and their stand-ins."""


class DatasetError(Exception):
    """Something is wrong with a dataset on disk that its owner can put right: one line, saying what and where."""
