"""Which videos make a step: a pure function of the step, so that a run can continue anywhere.

Epochs are strung together without a seam: a batch may end one permutation of the videos and begin
the next, so that no video is left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from mofo.clips.labels import LabelTable
from mofo.types import SettingsError

# Keep these generators apart from those of the samples.
_ORDER, _FEW = 0x0DE2, 0xFE3


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the clips of a step are divided.

    ``passes``: forward and backward passes that a process accumulates in a step.
    """

    batch: int
    micro: int
    repeats: int
    processes: int
    passes: int

    @classmethod
    def of(
        cls, *, batch: int, micro: int, repeats: int, processes: int, clips: int | None = None
    ) -> Division:
        """The division with the largest possible ``micro`` that is not above the given one.

        ``clips``: of an epoch: a step takes no more of them. None: they are enough.
        """
        batch = min(batch, clips or batch)
        share, rest = divmod(batch, processes)
        if rest or share % repeats:
            fitting = [n for n in range(1, 65) if batch % (n * repeats) == 0]
            whole = max(batch // (processes * repeats), 1) * processes * repeats
            raise SettingsError(
                f"{batch} clips a step cannot be divided among {processes} processes in parts of "
                f"data.clips_per_video {repeats}: "
                + (f"use {', '.join(map(str, fitting))} processes, or, " if fitting else "")
                + f"for a new run, --optim.batch {whole}"
            )
        micro = (
            next(m for m in range(min(micro, share), 0, -1) if share % m == 0 and m % repeats == 0)
            if micro >= repeats
            else 0
        )
        if not micro:
            raise SettingsError(f"run.micro_batch is smaller than data.clips_per_video {repeats}")
        return cls(
            batch=batch,
            micro=micro,
            repeats=repeats,
            processes=processes,
            passes=share // micro,
        )


class SampleOrder(Sampler[list[tuple[int, int]]]):
    """Keys (epoch, index of the video) of each pass of one process.

    What makes a step does not depend on the division: pass ``a`` of process ``r`` takes the part
    number ``a * processes + r`` of the step's keys.

    Args:
        start, stop: steps from (included) and to (excluded).
        share_V: how often each video is to be seen, float with sum 1; None: all as often, and each
            once an epoch.
    """

    def __init__(
        self,
        videos: int,
        *,
        seed: int,
        division: Division,
        rank: int,
        start: int,
        stop: int,
        share_V: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self._videos, self._seed, self._division = videos, seed, division
        self._rank, self._start, self._stop = rank, start, stop
        self._share_V = share_V
        self._known: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return max(0, self._stop - self._start) * self._division.passes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        d = self._division
        a_part = d.micro // d.repeats
        for step in range(self._start, self._stop):
            for number in range(d.passes):
                first = step * (d.batch // d.repeats) + (number * d.processes + self._rank) * a_part
                yield [self._key(place) for place in range(first, first + a_part)]

    def _key(self, place: int) -> tuple[int, int]:
        epoch, place = divmod(place, self._videos)
        if epoch not in self._known:
            self._known = {e: p for e, p in self._known.items() if e >= epoch - 1}
            generator = np.random.default_rng([self._seed, _ORDER, epoch])
            order = generator.permutation(self._videos)
            if self._share_V is not None:
                order = order[_spread(self._share_V[order], generator)]
                generator.shuffle(order)
            self._known[epoch] = order
        return epoch, int(self._known[epoch][place])


def _spread(share_V: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As many rows as there are, each as often as its share says, up to less than one."""
    count = len(share_V)
    points = (np.arange(count) + rng.random()) / count
    # Rounding may leave the last sum a little under 1.
    return np.minimum(np.searchsorted(np.cumsum(share_V), points, side="right"), count - 1)


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
