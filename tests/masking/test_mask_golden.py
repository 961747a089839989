"""Frozen masks: whoever changes them changes what every stored seed means, so say so.

Two samples on a grid of 4x4x6 tokens: a corner rectangle, and an area that differs between slots.
Rows are bits in hexadecimal, first the masks, then what the decoder predicts.
"""

import numpy as np
import pytest

from helpers.kinds import built_in
from helpers.mask_checks import hidden_tokens, noise_of, rectangle, target_tokens
from mofo.masking import MASKS, MaskSettings
from mofo.types import TokenGrid

STRATEGIES = built_in(MASKS)

GOLDEN = {
    "tube": (
        "77da7f77da7f77da7f77da7f 8fdefb8fdefb8fdefb8fdefb",
        "228a2a740a4055505503d03f 05545103d03b8a8aaa8c0ec0",
    ),
    "random": (
        "77da7f7c9cfe57ffbedf5f77 8fdcfbf7c7fbbff4dae5ff77",
        "228a2a7c0cc0555514035037 05545103c03baaa48ae40f40",
    ),
    "motion": (
        "77d8ff77d8ff77d8ff77d8ff afd4ffafd4ffafd4ffafd4ff",
        "2288aa7408c055505503d03f 05545503d03faa80aaac04c0",
    ),
    "visible_share": (
        "77da7f77da7f77da7f77da7f bed4ffbed4ffbed4ffbed4ff",
        "228a2a740a4055505503d03f 14545502d03faa80aabc04c0",
    ),
    "hide_motion": (
        "33f9ff33f9ff33f9ff33f9ff fcf5e7fcf5e7fef5f8fef5f8",
        "22a8aa3009c011515503f03f 54554500d027aaa0a8fc05c0",
    ),
    "weighted": (
        "37d9ff37d9ff37d9ff37d9ff bed4ffbed4ffbed4ffbed4ff",
        "2288aa3409c015515503d03f 14545502d03faa80aabc04c0",
    ),
    "block": (
        "bef8efbef8efbef8efbef8ef 6ffde36ffde36ffde36ffde3",
        "aaa8aabc08c014504502f02f 45554103f0232aa8a26c0dc0",
    ),
}


def in_hex(mask_BN):
    return " ".join(np.packbits(row_N.numpy()).tobytes().hex() for row_N in mask_BN)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_masks_are_as_they_were(strategy):
    grid = TokenGrid(8, 64, 96)
    inside = rectangle(grid, slice(1, 4), slice(3, 6), 2)
    inside[1, :, 0] = True
    inside[1, 2:, 3] = False
    noise = noise_of(2, grid, seed=5, epoch=3)
    chosen = MaskSettings(strategy=strategy, ratio=0.75, block=2)
    mask = hidden_tokens(chosen, grid, inside, noise)
    decode = target_tokens(chosen, grid, inside, noise)
    assert (in_hex(mask), in_hex(decode)) == GOLDEN[strategy]
