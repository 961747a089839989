"""A mask depends on the sample and nothing else: no seed, worker, compiler or device."""

import os
import random

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from helpers.kinds import built_in
from helpers.lanes import slow_but
from helpers.mask_checks import (
    GRID,
    check_differ,
    hidden_tokens,
    noise_of,
    one_noise,
    random_areas,
    rectangle,
)
from mofo.masking import MASKS, MaskSettings, make_mask, mask_shares

STRATEGIES = built_in(MASKS)


def area_of(samples):
    return random_areas(np.random.default_rng(4), samples, GRID)


class Masks(Dataset):
    """Each sample makes its mask in the worker, from its own generator."""

    def __init__(self, strategy):
        self.chosen = MaskSettings(strategy=strategy)

    def __getitem__(self, key):
        epoch, index = key
        noise = one_noise(0, epoch, index)
        inside = rectangle(GRID, slice(3, 9), slice(2, 7))
        return hidden_tokens(self.chosen, GRID, inside, noise[None])[0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masks_differ_and_come_back(strategy):
    inside = rectangle(GRID, slice(3, 9), slice(2, 7))
    chosen = MaskSettings(strategy=strategy)
    check_differ(lambda *key: hidden_tokens(chosen, GRID, inside, one_noise(*key)[None])[0])


def test_masks_differ_between_workers_and_do_not_depend_on_them():
    keys = [(epoch, index) for epoch in range(2) for index in range(16)]
    masks = []
    for workers in (0, 2):
        loader = DataLoader(Masks("motion"), batch_size=4, sampler=keys, num_workers=workers)
        masks.append(torch.cat(list(loader)))
    assert torch.equal(*masks)
    assert len({mask.numpy().tobytes() for mask in masks[0]}) == len(keys)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_global_seeds_are_neither_used_nor_touched(strategy):
    chosen, inside, noise = MaskSettings(strategy=strategy), area_of(8), noise_of(8)
    seen = []
    for seed in (0, 1):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state()  # noqa: NPY002
        seen.append(make_mask(chosen, GRID, inside, noise, 0.5))
        assert random.getstate() == before[0]
        assert np.random.get_state()[1].tobytes() == before[1]  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[2])
    assert all(map(torch.equal, *seen))


@pytest.mark.parametrize("strategy", slow_but(("tube", "motion"), STRATEGIES))
def test_compiles_without_a_break(strategy):
    """As one graph, also when batch sizes change; what the graph computes is the same."""
    chosen = MaskSettings(strategy=strategy)

    def both(inside, noise):
        return make_mask(chosen, GRID, inside, noise, 0.5)

    compiled = torch.compile(both, fullgraph=True, backend="eager")
    for samples in (4, 7):
        inputs = area_of(samples), noise_of(samples)
        for ours, theirs in zip(both(*inputs), compiled(*inputs), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gpu_gives_the_same_masks_and_is_not_waited_for(strategy):
    if not torch.cuda.is_available():
        assert not os.environ.get("MOFO_REQUIRE_GPU"), "MOFO_REQUIRE_GPU is set, but no CUDA"
        pytest.skip("no CUDA device")
    chosen, inside, noise = MaskSettings(strategy=strategy), area_of(500), noise_of(500)
    noise[::3] = (noise[::3] * 8).floor() / 8  # equal values
    expected = make_mask(chosen, GRID, inside, noise, 0.5)
    inside, noise = inside.cuda(), noise.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = make_mask(chosen, GRID, inside, noise, 0.5)
        mask_shares(found.hidden_BN, inside)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for cpu, gpu in zip(expected, found, strict=True):
        assert torch.equal(cpu, gpu.cpu())
