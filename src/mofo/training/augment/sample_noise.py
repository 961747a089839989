"""Random numbers of each sample, from its own noise and from nothing else."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Of a sample's values, this many make its seed: 24 random bits each.
_SEEDING = 8
# Each purpose has a stream of its own: to switch one off leaves the others as they are.
_PURPOSES = ("randaugment", "erasing", "mixing")


class SampleNoise:
    """As many random numbers as wanted for each sample of a batch.

    The bits of the first 8 values of its noise (all, on grids of fewer tokens) seed a counter-based
    generator (Philox) for each sample and purpose. So what is drawn for a sample depends neither
    on the batch it is in, nor on the process, nor on any global seed.

    Args:
        noise_BN: float in [0, 1), from each sample's own generator. On a GPU, 32 bytes a sample are
            fetched from there, and that waits for it.
    """

    def __init__(self, noise_BN: Tensor) -> None:
        seeds_BN = noise_BN[:, :_SEEDING].detach().to("cpu", torch.float32).contiguous()
        self._seeds: list[list[int]] = seeds_BN.numpy().view(np.uint32).tolist()

    def __len__(self) -> int:
        return len(self._seeds)

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """B generators, fresh from the seed; ``purpose``: "randaugment", "erasing", "mixing"."""
        key = (_PURPOSES.index(purpose),)
        sequences = (np.random.SeedSequence(seed, spawn_key=key) for seed in self._seeds)
        return [np.random.Generator(np.random.Philox(sequence)) for sequence in sequences]
