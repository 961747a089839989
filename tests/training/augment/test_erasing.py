import numpy as np
import torch

from mofo.training.augment import AugmentSettings
from mofo.training.augment.erasing import draw_patch, erase

WIDTH, HEIGHT = 96, 64


def drawn(count: int, erasing: float = 1.0, width: int = WIDTH, height: int = HEIGHT):
    settings = AugmentSettings(erasing=erasing)
    return [
        draw_patch(settings, width, height, np.random.default_rng(seed)) for seed in range(count)
    ]


def test_as_many_clips_as_asked_lose_a_rectangle():
    assert all(patch is None for patch in drawn(50, 0.0))
    assert all(patch is not None for patch in drawn(50))
    share = np.mean([patch is not None for patch in drawn(2000, 0.25)])
    assert abs(share - 0.25) < 0.04


def test_rectangles_are_of_the_sizes_of_the_paper_and_anywhere():
    patches = drawn(1000)
    sizes = np.array([patch.picture_HWC.shape[:2] for patch in patches])
    shares = sizes.prod(1) / (WIDTH * HEIGHT)
    assert 0.015 < shares.min() < 0.05
    assert 0.28 < shares.max() < 0.36
    aspects = sizes[:, 0] / sizes[:, 1]
    assert abs(np.median(np.log(aspects))) < 0.15
    covered = np.zeros((HEIGHT, WIDTH), int)
    for patch, (rows, columns) in zip(patches, sizes, strict=True):
        assert patch.x >= 0
        assert patch.y >= 0
        assert patch.x + columns <= WIDTH
        assert patch.y + rows <= HEIGHT
        covered[patch.y : patch.y + rows, patch.x : patch.x + columns] += 1
    assert covered.min() > 0
    assert np.allclose(covered, covered[::-1, ::-1], atol=100)


def test_noise_is_standard_normal_for_the_model():
    levels = np.concatenate([patch.picture_HWC.reshape(-1, 3) for patch in drawn(40)])
    assert np.abs(levels.mean(0) / 255 - [0.485, 0.456, 0.406]).max() < 0.02
    # What lies beyond 0 and 255 is cut off.
    assert ((levels.std(0) / 255 > 0.2) & (levels.std(0) / 255 < 0.23)).all()


def test_the_same_rectangle_in_all_frames_and_nothing_else():
    frames = torch.full((2, 3, HEIGHT, WIDTH, 3), 255, dtype=torch.uint8)
    (patch,) = drawn(1)
    erased = erase(frames, [None, patch])
    assert (frames == 255).all()
    assert (erased[0] == 255).all()
    rows, columns = patch.picture_HWC.shape[:2]
    within = erased[1, :, patch.y : patch.y + rows, patch.x : patch.x + columns]
    assert torch.equal(within, torch.from_numpy(patch.picture_HWC).expand_as(within))
    within[:] = 255
    assert (erased == 255).all()
    assert erase(frames, [None, None]) is frames


def test_frames_smaller_than_the_rectangle():
    for patch in drawn(100, width=3, height=200):
        rows, columns = patch.picture_HWC.shape[:2]
        assert 1 <= columns <= 3
        assert 1 <= rows <= 200
    assert all(patch.picture_HWC.shape == (1, 1, 3) for patch in drawn(20, width=1, height=1))
