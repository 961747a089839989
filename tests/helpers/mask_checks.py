"""What must hold of every mask, as checks that can be put to ours and to a broken one alike.

A ``make`` is anything with the signature of ``hidden_tokens``; an ``area`` one with that of
``token_area``. Each check raises AssertionError.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from mofo.masking import MaskSettings, make_mask
from mofo.types import TokenGrid

GRID = TokenGrid(16, 224, 224)
Make = Callable[[MaskSettings, TokenGrid, Tensor, Tensor], Tensor]

# A p-value under this fails. Seeds are fixed, so a test that passes once passes always.
LEAST_P = 1e-4


def hidden_tokens(settings: MaskSettings, grid: TokenGrid, inside_Bthw: Tensor,
                  noise_BN: Tensor) -> Tensor:  # fmt: skip
    """Of a mask only what it hides, bool (B, N)."""
    return make_mask(settings, grid, inside_Bthw, noise_BN).hidden_BN


def target_tokens(settings: MaskSettings, grid: TokenGrid, inside_Bthw: Tensor, noise_BN: Tensor,
                  share: float = 0.5) -> Tensor:  # fmt: skip
    """Of a mask only what the decoder predicts, bool (B, N)."""
    mask = make_mask(settings, grid, inside_Bthw, noise_BN, share)
    return torch.zeros_like(mask.hidden_BN).scatter(1, mask.target_BM, True)


def noise_of(samples: int, grid: TokenGrid = GRID, *, seed: int = 0, epoch: int = 0) -> Tensor:
    """Noise as samples draw it: each from the generator of its own (seed, epoch, index)."""
    return torch.stack([one_noise(seed, epoch, index, grid) for index in range(samples)])


def one_noise(seed: int, epoch: int, index: int, grid: TokenGrid = GRID) -> Tensor:
    rng = np.random.default_rng([seed, epoch, index])
    return torch.from_numpy(rng.random(grid.tokens, dtype=np.float32))


def rectangle(
    grid: TokenGrid, rows: slice, columns: slice, samples: int = 1
) -> Tensor:  # inside_Bthw
    inside_Bthw = torch.zeros(samples, grid.t, grid.h, grid.w, dtype=torch.bool)
    inside_Bthw[:, :, rows, columns] = True
    return inside_Bthw


def random_areas(rng: np.random.Generator, samples: int, grid: TokenGrid) -> Tensor:
    """Rectangles of all sizes (also none and everything) and, one in four, scattered positions."""
    y_B2 = np.sort(rng.integers(0, grid.h + 1, (samples, 2)))
    x_B2 = np.sort(rng.integers(0, grid.w + 1, (samples, 2)))
    y_h, x_w = np.arange(grid.h), np.arange(grid.w)
    in_rows_Bh = (y_h >= y_B2[:, :1]) & (y_h < y_B2[:, 1:])
    in_columns_Bw = (x_w >= x_B2[:, :1]) & (x_w < x_B2[:, 1:])
    area_Bhw = in_rows_Bh[:, :, None] & in_columns_Bw[:, None]
    scattered_B = rng.random(samples) < 0.25
    density_B11 = rng.random((samples, 1, 1))
    area_Bhw[scattered_B] = (rng.random(area_Bhw.shape) < density_B11)[scattered_B]
    area_Bhw[rng.random(samples) < 0.02] = False
    area_Bhw[rng.random(samples) < 0.02] = True
    inside_Bhw = torch.from_numpy(area_Bhw)
    return inside_Bhw[:, None].expand(samples, grid.t, grid.h, grid.w).contiguous()


def random_fields(rng: np.random.Generator, samples: int, grid: TokenGrid) -> Tensor:
    """Motion of all kinds (B, t, h, w): areas with soft values, noise, few levels, none, all."""
    area_Bthw = random_areas(rng, samples, grid).numpy()
    value_Bthw = rng.random(area_Bthw.shape)
    motion_Bthw = np.where(area_Bthw, 0.4 + 0.6 * value_Bthw, 0.6 * value_Bthw**3)
    kind_B = rng.integers(0, 6, samples)
    motion_Bthw[kind_B == 1] = value_Bthw[kind_B == 1] ** 2
    motion_Bthw[kind_B == 2] = np.round(3 * value_Bthw[kind_B == 2]) / 3
    fading_t = np.linspace(1, 0, grid.t)[:, None, None]
    motion_Bthw[kind_B == 3] *= fading_t
    motion_Bthw[rng.random(samples) < 0.03] = 0
    motion_Bthw[rng.random(samples) < 0.03] = 1
    return torch.from_numpy(motion_Bthw.astype(np.float32))


def asked_inside(settings: MaskSettings, n: int, hidden: int, positions: int) -> int:
    """How many of ``n`` positions inside are to be hidden, found by trying all that are possible.

    Possible: as many as leave room for the rest outside. Of those the nearest to what was asked,
    in exact fractions, rounded half up.
    """
    half = Fraction(1, 2)
    if settings.strategy == "motion":
        asked = (Fraction(str(settings.inside_ratio)) * n + half).__floor__()
    elif settings.strategy == "visible_share":
        asked = (
            n
            - (
                Fraction(str(settings.visible_inside_ratio)) * (positions - hidden) + half
            ).__floor__()
        )
    else:
        asked = n
    possible = [m for m in range(n + 1) if 0 <= hidden - m <= positions - n]
    return min(possible, key=lambda m: abs(m - asked))


def positions_of(mask_BN: Tensor, grid: TokenGrid) -> Tensor:
    """(B, P) of a mask of tubes; fails if it is none."""
    mask_BtP = mask_BN.reshape(-1, grid.t, grid.positions)
    assert (mask_BtP == mask_BtP[:, :1]).all(), "not the same positions in all time slots"
    return mask_BtP[:, 0]


def check_counts(make: Make, settings: MaskSettings, grid: TokenGrid, inside_Bthw: Tensor,
                 noise_BN: Tensor) -> None:  # fmt: skip
    """Exactly K hidden in each sample, and exactly the asked number of them inside."""
    mask_BN = make(settings, grid, inside_Bthw, noise_BN)
    assert mask_BN.shape == (len(noise_BN), grid.tokens)
    assert mask_BN.dtype == torch.bool
    assert (mask_BN.sum(1) == settings.build(grid).num_hidden).all(), "not exactly K hidden"
    hidden = settings.build(grid).num_hidden // grid.t
    if settings.strategy == "random":
        return
    mask_BtP = mask_BN.reshape(-1, grid.t, grid.positions)
    assert (mask_BtP.sum(2) == hidden).all(), "not exactly K hidden in each time slot"
    if settings.strategy != "hide_motion":
        positions_of(mask_BN, grid)
    if settings.strategy in ("tube", "block", "weighted"):
        return
    inside_BtP = inside_Bthw.flatten(2)
    if settings.strategy != "hide_motion":
        inside_BtP = inside_BtP.any(1, keepdim=True).expand_as(mask_BtP)
    expected = torch.tensor(
        [asked_inside(settings, n, hidden, grid.positions) for n in range(grid.positions + 1)]
    )
    found_Bt = (mask_BtP & inside_BtP).sum(2)
    assert (found_Bt == expected[inside_BtP.sum(2)]).all(), "another number hidden inside"


def uniform_p(mask_MP: Tensor, region_P: Tensor) -> float:
    """p-value of the hypothesis that each mask hides uniformly within the region.

    All masks must hide the same number m of the region's n positions. For draws without
    replacement the counts of the positions have the covariance M p (1 - p) n/(n - 1) times
    (identity - 1/n), p = m/n, so that the statistic below follows chi-square with n - 1 degrees.
    """
    hidden_Mn = mask_MP[:, region_P].double()
    samples, n = hidden_Mn.shape
    counts = hidden_Mn.sum(1)
    assert (counts == counts[0]).all(), "the number hidden in the region varies"
    p = float(counts[0]) / n
    assert 0 < p < 1, "nothing to test: all of the region is hidden, or none"
    deviation_n = hidden_Mn.sum(0) - samples * p
    statistic = float((deviation_n**2).sum()) * (n - 1) / (n * samples * p * (1 - p))
    return float(stats.chi2.sf(statistic, n - 1))


def joint_p(mask_MP: Tensor, region_P: Tensor, part_P: Tensor) -> float:
    """p-value of "how many of a part of the region are hidden" being hypergeometric.

    Sees what ``uniform_p`` cannot: positions that are hidden together too often or too rarely.
    """
    part_P = part_P & region_P
    found_M = mask_MP[:, part_P].sum(1).numpy()
    n, m, part = int(region_P.sum()), int(mask_MP[0, region_P].sum()), int(part_P.sum())
    law = stats.hypergeom(n, m, part)
    support = np.arange(part + 1)
    expected = law.pmf(support) * len(mask_MP)
    observed = np.bincount(found_M, minlength=len(support)).astype(float)
    # Chi-square wants some expected in each bin: the tails are joined.
    low = int(np.argmax(np.cumsum(expected) >= 8))
    high = len(support) - 1 - int(np.argmax(np.cumsum(expected[::-1]) >= 8))
    assert high > low, "nothing to test"

    def joined(values: np.ndarray) -> np.ndarray:
        inner = values[low + 1 : high]
        return np.concatenate([[values[: low + 1].sum()], inner, [values[high:].sum()]])

    return float(stats.chisquare(joined(observed), joined(expected)).pvalue)


def check_uniform(make: Make, settings: MaskSettings, inside_1thw: Tensor, samples: int = 4000,
                  seed: int = 0) -> None:  # fmt: skip
    """Hidden positions are uniform within the area and outside of it, singly and jointly."""
    grid = GRID
    inside_Bthw = inside_1thw.expand(samples, -1, -1, -1)
    mask_MP = positions_of(make(settings, grid, inside_Bthw, noise_of(samples, seed=seed)), grid)
    inside_P = inside_1thw[0, 0].flatten()
    every_third_P = torch.arange(grid.positions) % 3 == 0
    top_P = torch.arange(grid.positions) < grid.positions // 2
    for name, region_P in (("inside", inside_P), ("outside", ~inside_P)):
        if not region_P.any() or mask_MP[0, region_P].all():
            continue
        p = uniform_p(mask_MP, region_P)
        assert p > LEAST_P, f"not uniform {name}: p = {p:.1e}"
        for part_P in (every_third_P, top_P):
            share = float((part_P & region_P).sum() / region_P.sum())
            if 0 < share < 1:
                p = joint_p(mask_MP, region_P, part_P)
                assert p > LEAST_P, f"not jointly uniform {name}: p = {p:.1e}"


def check_corner(make: Make, area: Callable[..., Tensor]) -> None:
    """A tall, thin box in the top right corner: what is done there is done nowhere else.

    The box is 32 x 96 pixels: columns 12 and 13, rows 0 to 5. All of it is hidden by
    "hide_motion"; none of it, of its mirror images, or of the transposed box is special otherwise.
    """
    grid, samples = GRID, 300
    box_BT4 = torch.tensor([192.0, 0.0, 224.0, 96.0]).expand(samples, grid.frames, 4)
    inside_Bthw = area(box_BT4, torch.ones(samples, grid.frames, dtype=torch.bool), grid, "clip")
    places = {
        "box": (slice(0, 6), slice(12, 14)),
        "mirrored left": (slice(0, 6), slice(0, 2)),
        "mirrored down": (slice(8, 14), slice(12, 14)),
        "turned": (slice(8, 14), slice(0, 2)),
        "transposed": (slice(12, 14), slice(0, 6)),
        "transposed, top": (slice(0, 2), slice(0, 6)),
    }
    # Of 12 positions 9, so 167 of the other 184; all, so 164 of 184; none visible elsewhere.
    for settings, there, elsewhere in (
        (MaskSettings(strategy="motion"), 9 / 12, 167 / 184),
        (MaskSettings(strategy="hide_motion"), 1, 164 / 184),
        (MaskSettings(strategy="visible_share", visible_inside_ratio=0.6), 0, 176 / 184),
    ):
        mask_BN = make(settings, grid, inside_Bthw, noise_of(samples))
        mask_Bthw = mask_BN.reshape(samples, grid.t, grid.h, grid.w)
        for name, (rows, columns) in places.items():
            share = float(mask_Bthw[:, :, rows, columns].float().mean())
            expected = there if name == "box" else elsewhere
            # 300 masks of 12 positions: a standard deviation of .005 and less.
            tolerance = 1e-6 if name == "box" else 0.025
            assert abs(share - expected) < tolerance, (
                f"{settings.strategy}: {share:.3f} instead of {expected:.3f} hidden, {name}"
            )


def check_differ(sample_mask: Callable[[int, int, int], Tensor]) -> None:
    """``sample_mask(seed, epoch, index)``: no two alike, and each the same when made again."""
    keys = [(seed, epoch, index) for seed in (0, 1) for epoch in range(4) for index in range(50)]
    masks = [sample_mask(*key) for key in keys]
    assert len({mask.numpy().tobytes() for mask in masks}) == len(keys), "masks are repeated"
    for key, mask in list(zip(keys, masks, strict=True))[::-7]:
        assert torch.equal(sample_mask(*key), mask), "the same sample has another mask"
