"""Hidden positions are uniform within each region; and the statistics used would notice if not."""

import numpy as np
import pytest
import torch
from scipy import stats

from helpers.mask_checks import (
    GRID,
    LEAST_P,
    check_uniform,
    hidden_tokens,
    joint_p,
    noise_of,
    positions_of,
    rectangle,
    uniform_p,
)
from mofo.masking import MaskSettings

AREAS = {
    "middle": rectangle(GRID, slice(4, 11), slice(3, 10)),
    "tall, thin, in a corner": rectangle(GRID, slice(0, 9), slice(12, 14)),
    "wide, at the bottom": rectangle(GRID, slice(11, 14), slice(0, 14)),
    "left half, spills": rectangle(GRID, slice(0, 14), slice(0, 7)),
    "everything": rectangle(GRID, slice(0, 14), slice(0, 14)),
    "nothing": rectangle(GRID, slice(0, 0), slice(0, 0)),
}
ALL = torch.ones(196, dtype=torch.bool)


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize(
    "chosen",
    [
        MaskSettings(strategy="motion"),
        MaskSettings(strategy="motion", ratio=0.75, inside_ratio=0.3),
        MaskSettings(strategy="visible_share", visible_inside_ratio=0.5),
        MaskSettings(strategy="hide_motion"),
    ],
    ids=lambda chosen: f"{chosen.strategy} {chosen.ratio}",
)
def test_hidden_positions_are_uniform_within_each_region(chosen, name):
    check_uniform(hidden_tokens, chosen, AREAS[name], seed=len(name))


@pytest.mark.parametrize("ratio", [0.9, 0.75, 0.1])
def test_tubes_are_uniform_over_the_frame(ratio):
    check_uniform(hidden_tokens, MaskSettings(strategy="tube", ratio=ratio), AREAS["nothing"])


def test_random_is_uniform_over_all_tokens():
    inside = AREAS["nothing"].expand(4000, -1, -1, -1)
    mask_BN = hidden_tokens(MaskSettings(strategy="random"), GRID, inside, noise_of(4000))
    all_N = torch.ones(1568, dtype=torch.bool)
    first_N = torch.arange(1568) < 784
    assert uniform_p(mask_BN, all_N) > LEAST_P
    assert joint_p(mask_BN, all_N, first_N) > LEAST_P
    # Not tubes: over 8 slots a position is hidden 7.2 times, with the spread of single draws.
    spread = mask_BN.reshape(4000, 8, 196).sum(1).double().var()
    assert float(spread) == pytest.approx(8 * 0.898 * 0.102, rel=0.03)


@pytest.mark.parametrize("side", [1, 2, 4, 5])
def test_blocks_prefer_no_place(side):
    """Places of a block depend on each other, so each place is looked at by itself."""
    samples = 6000
    inside = AREAS["nothing"].expand(samples, -1, -1, -1)
    chosen = MaskSettings(strategy="block", block=side)
    mask_MP = positions_of(hidden_tokens(chosen, GRID, inside, noise_of(samples)), GRID)
    share = 176 / 196
    score_P = (mask_MP.double().mean(0) - share) / np.sqrt(share * (1 - share) / samples)
    assert 2 * stats.norm.sf(float(score_P.abs().max())) * 196 > LEAST_P


def test_blocks_are_blocks():
    """The larger the blocks, the more neighbours are visible together."""
    samples, edges = 500, []
    inside = AREAS["nothing"].expand(samples, -1, -1, -1)
    for side in (1, 2, 4):
        chosen = MaskSettings(strategy="block", ratio=0.5, block=side)
        mask_MP = positions_of(hidden_tokens(chosen, GRID, inside, noise_of(samples)), GRID)
        mask_Mhw = mask_MP.reshape(-1, 14, 14)
        edges.append(float((mask_Mhw[:, 1:] != mask_Mhw[:, :-1]).float().mean()))
    assert edges[0] == pytest.approx(0.5, abs=0.01)
    assert edges[1] < 0.75 * edges[0]
    assert edges[2] < 0.75 * edges[1]


# ---- the statistics themselves -------------------------------------------------------------


def p_values(make, statistic, trials=150, samples=400):
    """p-values of a statistic over independent sets of tube masks, by one fast generator."""
    rng = np.random.default_rng(11)
    inside = AREAS["nothing"].expand(samples, -1, -1, -1)
    found = []
    for _ in range(trials):
        noise_BN = torch.from_numpy(rng.random((samples, 1568), dtype=np.float32))
        mask_MP = positions_of(make(MaskSettings(strategy="tube"), GRID, inside, noise_BN), GRID)
        found.append(statistic(mask_MP))
    return np.array(found)


def of_half(mask_MP):
    return joint_p(mask_MP, ALL, torch.arange(196) < 98)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", [lambda mask: uniform_p(mask, ALL), of_half])
def test_p_values_of_uniform_masks_are_uniform(statistic):
    """So the law that the statistic is compared with is the right one."""
    values = p_values(hidden_tokens, statistic)
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def leaning(factor):
    """The top half's noise is larger by a factor: it is hidden a little less often."""

    def make(settings, grid, inside_Bthw, noise_BN):
        noise_BN = noise_BN.clone()
        noise_BN[:, : grid.positions // 2] *= factor
        return hidden_tokens(settings, grid, inside_Bthw, noise_BN)

    return make


def one_run(settings, grid, inside_Bthw, noise_BN):
    """A run of 20 neighbours is visible, from a uniform place: each as often, but never alone."""
    start_B1 = (noise_BN[:, :1] * grid.positions).long()
    place_P = torch.arange(grid.positions)
    mask_BP = (place_P - start_B1) % grid.positions >= 20
    return mask_BP.repeat(1, grid.t)


@pytest.mark.parametrize("name", ["middle", "nothing"])
def test_a_small_bias_is_noticed(name):
    """One percentage point more is hidden in the bottom half than in the top half."""
    chosen = MaskSettings(strategy="motion")
    with pytest.raises(AssertionError, match="uniform"):
        check_uniform(leaning(1.015), chosen, AREAS[name])
    inside = AREAS["nothing"].expand(4000, -1, -1, -1)
    mask_MP = positions_of(leaning(1.015)(chosen, GRID, inside, noise_of(4000)), GRID)
    top, bottom = mask_MP[:, :98].double().mean(), mask_MP[:, 98:].double().mean()
    assert 0.008 < float(bottom - top) < 0.018


def test_a_bias_is_noticed_nearly_always():
    """Also with a tenth of the masks, at four points."""
    values = p_values(leaning(1.045), lambda mask_MP: uniform_p(mask_MP, ALL), trials=100)
    assert np.mean(values < LEAST_P) > 0.95


def test_positions_that_go_together_are_noticed():
    """Each position is as often hidden as the others, so only the joint statistic sees it."""
    inside = AREAS["nothing"].expand(4000, -1, -1, -1)
    mask_MP = positions_of(
        one_run(MaskSettings(strategy="tube"), GRID, inside, noise_of(4000)), GRID
    )
    share_P = mask_MP.double().mean(0)
    assert float((share_P - 176 / 196).abs().max()) < 0.03
    with pytest.raises(AssertionError, match="uniform"):
        check_uniform(one_run, MaskSettings(strategy="tube"), AREAS["nothing"])
    assert (p_values(one_run, of_half, 20) < LEAST_P).all()
