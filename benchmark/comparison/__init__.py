"""Pairs of representations over the same test clips, tables of scores, and the commands that made them."""
