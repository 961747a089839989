import numpy as np
import pytest
import torch

from helpers.inputs import GRID, clip
from mofo.models.patches import (
    patch_statistics,
    put_patches,
    spread_statistics,
    take_patches,
)


def by_hand(frames: np.ndarray, token: int) -> np.ndarray:
    t, y, x = token // 12, token % 12 // 3, token % 3
    return frames[2 * t : 2 * t + 2, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16].reshape(-1)


def test_patches_are_blocks_with_the_colour_fastest():
    frames = clip()
    patches = take_patches(frames, GRID)
    assert patches.dtype == torch.uint8
    assert patches.shape == (2, 24, 1536)
    for sample in range(2):
        for token in (0, 1, 3, 11, 12, 23):
            wanted = by_hand(frames[sample].numpy(), token)
            np.testing.assert_array_equal(patches[sample, token].numpy(), wanted)


@pytest.mark.parametrize("layout", ["as it is", "channels first", "cropped"])
def test_chosen_patches_are_those_of_all(layout):
    frames = clip()
    if layout == "channels first":
        frames = frames.permute(0, 1, 4, 2, 3).contiguous().permute(0, 1, 3, 4, 2)
    elif layout == "cropped":
        frames = torch.nn.functional.pad(frames, (0, 0, 3, 5))[:, :, :, 3:-5]
    index = torch.tensor([[3, 0, 23], [5, 5, 7]])
    found = take_patches(frames, GRID, index)
    everything = take_patches(clip(), GRID)
    assert torch.equal(found, torch.stack([everything[0, index[0]], everything[1, index[1]]]))


def test_patches_go_back_to_their_place():
    frames = clip().float() / 255
    index = torch.tensor([[3, 0, 23], [5, 6, 7]])
    same = put_patches(frames, GRID, index, take_patches(frames, GRID, index))
    assert torch.equal(same, frames)
    black = put_patches(frames, GRID, index, torch.zeros(2, 3, 1536))
    changed = take_patches(black != frames, GRID).any(2)
    assert [row.nonzero().flatten().tolist() for row in changed] == [[0, 3, 23], [5, 6, 7]]


def test_statistics_are_those_of_pixels_between_0_and_1():
    patches = take_patches(clip(), GRID)
    found = patch_statistics(patches)
    pixels = patches.numpy().reshape(2, 24, 512, 3) / 255
    np.testing.assert_allclose(found.mean_BMC.numpy(), pixels.mean(2), atol=1e-6)
    np.testing.assert_allclose(found.std_BMC.numpy(), pixels.std(2, ddof=1), atol=1e-6)
    floats = patch_statistics(patches.float() / 255)
    assert torch.allclose(floats.std_BMC, found.std_BMC, atol=1e-6)


def test_guessed_statistics_come_from_neighbours():
    """Where brightness is a step from left to right, a hidden token takes its side's."""
    frames = clip(1) // 16
    frames[:, :, :, 32:] += 200
    visible, asked = torch.arange(3)[None], torch.arange(3, 24)[None]  # the top row is seen
    known = patch_statistics(take_patches(frames, GRID, visible))
    guess = spread_statistics(known, visible, asked, GRID)
    below = guess.mean_BMC[0, :3].mean(1)  # the second row
    assert below[0] < below[1] < 0.4 < 0.5 < below[2]
    assert guess.mean_BMC.min() >= known.mean_BMC.min() - 1e-6
    assert guess.mean_BMC.max() <= known.mean_BMC.max() + 1e-6
