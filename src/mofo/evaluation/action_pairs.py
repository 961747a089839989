"""Actions that are pairs of a verb and a noun, as in EPIC-Kitchens-100.

From scores of actions to those of verbs and nouns, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mofo.evaluation.measures import label_ranks, predictions

_BLOCK = 1 << 22  # scores held at once


class PairRanks(NamedTuple):
    """How the actions of videos were found.

    Attributes:
        rank_V: int64, how many other pairs score as high as the true one or higher.
        pair_V2: int64, verb and noun of the best pair; in a tie one that is wrong.
    """

    rank_V: np.ndarray
    pair_V2: np.ndarray


def part_scores(action_VA: np.ndarray, part_A: np.ndarray, parts: int) -> np.ndarray:
    """Scores of verbs (or nouns): the sum over the actions that have it.

    Args:
        action_VA: probabilities of actions.
        part_A: verb (or noun) of each action, 0 to ``parts`` - 1.
        parts: how many verbs (or nouns) there are.

    Returns:
        ``(V, parts)``, float64; 0 for a verb that no action has.
    """
    order_A = np.argsort(part_A, kind="stable")
    there, starts = np.unique(part_A[order_A], return_index=True)
    score_VC = np.zeros((len(action_VA), parts))
    score_VC[:, there] = np.add.reduceat(action_VA[:, order_A], starts, axis=1)
    return score_VC


def action_scores(verb_VC: np.ndarray, noun_VC: np.ndarray, pairs_A2: np.ndarray) -> np.ndarray:
    """Scores of actions ``(V, A)`` from two heads: that of the verb times that of the noun.

    Args:
        verb_VC, noun_VC: probabilities.
        pairs_A2: verb and noun of each action.
    """
    return verb_VC[:, pairs_A2[:, 0]] * noun_VC[:, pairs_A2[:, 1]]


def all_pairs(verbs: int, nouns: int) -> np.ndarray:
    """Every verb with every noun, int64 ``(verbs * nouns, 2)``."""
    return np.stack(np.divmod(np.arange(verbs * nouns), nouns), axis=1)


def ranks_from_actions(
    action_VA: np.ndarray, pairs_A2: np.ndarray, verb_V: np.ndarray, noun_V: np.ndarray
) -> PairRanks:
    """Ranks of the true pairs among the actions of one head.

    A true pair that the head does not know comes behind all that it knows.
    """
    return _ranks(iter([(slice(None), action_VA)]), pairs_A2, verb_V, noun_V)


def ranks_from_heads(
    verb_VC: np.ndarray,
    noun_VC: np.ndarray,
    verb_V: np.ndarray,
    noun_V: np.ndarray,
    pairs_A2: np.ndarray | None = None,
) -> PairRanks:
    """Ranks of the true pairs, where verb and noun have a head each.

    Args:
        verb_VC, noun_VC: probabilities.
        verb_V, noun_V: true ones.
        pairs_A2: the pairs that are possible; None: every verb with every noun.
    """
    if pairs_A2 is None:
        pairs_A2 = all_pairs(verb_VC.shape[1], noun_VC.shape[1])
    step = max(1, _BLOCK // len(pairs_A2))
    blocks = (slice(start, start + step) for start in range(0, len(verb_VC), step))
    scores = ((block, action_scores(verb_VC[block], noun_VC[block], pairs_A2)) for block in blocks)
    return _ranks(scores, pairs_A2, verb_V, noun_V)


def _ranks(
    blocks: Iterator[tuple[slice, np.ndarray]],
    pairs_A2: np.ndarray,
    verb_V: np.ndarray,
    noun_V: np.ndarray,
) -> PairRanks:
    number = {(int(verb), int(noun)): action for action, (verb, noun) in enumerate(pairs_A2)}
    pairs = zip(verb_V.tolist(), noun_V.tolist(), strict=True)
    action_V = np.array([number.get(pair, -1) for pair in pairs], np.int64)
    known_V = action_V >= 0
    rank_V = np.full(len(action_V), len(pairs_A2))
    best_V = np.zeros(len(action_V), np.int64)
    for block, score_VA in blocks:
        known, action = known_V[block], action_V[block]
        rank_V[block][known] = label_ranks(score_VA[known], action[known])
        best_V[block][known] = predictions(score_VA[known], action[known])
        best_V[block][~known] = score_VA[~known].argmax(1)
    return PairRanks(rank_V, pairs_A2[best_V])
