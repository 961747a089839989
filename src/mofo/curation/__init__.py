"""Curation: how much moves in each of many videos, and lists of those to keep."""

from mofo.curation.single import score, score_row

__all__ = ["score", "score_row"]
