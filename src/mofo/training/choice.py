"""Which labelled videos are trained on, and how often each is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mofo.clips.labels import LabelTable

_FEW = 0xFE3  # keeps this generator apart from those of the samples


def few_of_each(labels: LabelTable, head: str, count: int, seed: int) -> list[int]:
    """Rows of ``count`` videos of each class, drawn by the seed; ascending.

    More labels are a superset of fewer. Of a class with fewer videos all are taken; a video with
    several classes counts for each of them.
    """
    generator = np.random.default_rng([seed, _FEW])
    taken: set[int] = set()
    have = np.zeros(len(labels.classes[head]), np.int64)
    for row in generator.permutation(len(labels)).tolist():
        numbers = labels.numbers[head][row]
        if any(have[number] < count for number in numbers):
            taken.add(row)
            have[list(numbers)] += 1
    return sorted(taken)


def balanced_shares(labels: LabelTable, heads: Sequence[str], balance: float) -> np.ndarray:
    """How often each row should be seen, float64 (rows,), with sum 1.

    A class with n videos is seen in proportion to ``n ** (1 - balance)``: 0 as often as it comes,
    1 as often as any other (square root sampling is 0.5). With several heads or classes a row
    counts by the rarest.
    """
    weight_V = np.zeros(len(labels))
    for head in heads:
        rare_C = np.maximum(labels.counts(head), 1.0) ** -balance
        rarest = [max(rare_C[list(row)], default=0.0) for row in labels.numbers[head]]
        weight_V = np.maximum(weight_V, rarest)
    share_V: np.ndarray = weight_V / weight_V.sum()
    return share_V
