"""Masks of motion fields: exact counts in every slot, uniform within regions, shares as asked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.kinds import built_in
from helpers.mask_checks import (
    GRID,
    LEAST_P,
    asked_inside,
    hidden_tokens,
    noise_of,
    random_areas,
    random_fields,
    uniform_p,
)
from mofo.masking import MASKS, MaskSettings
from mofo.types import SettingsError, TokenGrid

STRATEGIES = built_in(MASKS)

BY_REGION = ("motion", "visible_share", "hide_motion")
USES_MOTION = [name for name in STRATEGIES if MASKS[name].uses_motion]


def check(chosen, grid, motion_Bthw, noise_BN):
    """Exact counts in every slot; by regions, exactly the asked number inside; and who spills."""
    strategy = chosen.build(grid)
    hidden_BtP = hidden_tokens(chosen, grid, motion_Bthw, noise_BN).reshape(
        -1, grid.t, grid.positions
    )
    assert (hidden_BtP.sum(2) == strategy.hidden_per_slot).all()
    if not strategy.per_slot:
        assert (hidden_BtP == hidden_BtP[:, :1]).all()
    if chosen.strategy not in BY_REGION:
        return
    inside_BtP = strategy.inside(motion_Bthw).flatten(2)
    counts = range(grid.positions + 1)
    expected_n = torch.tensor(
        [asked_inside(chosen, n, strategy.hidden_per_slot, grid.positions) for n in counts]
    )
    number_Bt = inside_BtP.sum(2)
    assert ((hidden_BtP & inside_BtP).sum(2) == expected_n[number_Bt]).all()
    asked_Bt = strategy.wanted(number_Bt)
    missed_Bt = (asked_Bt != expected_n[number_Bt]) & (number_Bt > 0)
    assert torch.equal(strategy.spilled(motion_Bthw), missed_Bt.any(1))


@pytest.mark.parametrize("per_slot", [None, False, True])
@pytest.mark.parametrize("strategy", USES_MOTION)
def test_counts_are_exact_over_thousands_of_fields(strategy, per_slot):
    samples = 2000
    noise_BN = torch.rand(samples, GRID.tokens, generator=torch.Generator().manual_seed(1))
    for join, threshold in (("max", 0.5), ("mean", 0.2)):
        chosen = MaskSettings(
            strategy=strategy, per_slot=per_slot, join=join, motion_threshold=threshold
        )
        motion_Bthw = random_fields(np.random.default_rng(3), samples, GRID)
        check(chosen, GRID, motion_Bthw, noise_BN)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(USES_MOTION),
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    st.floats(0.01, 0.99), st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1),
    st.sampled_from(["max", "mean"]), st.booleans(), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_counts_are_exact_for_any_settings(
    strategy, sizes, ratio, inside, visible, threshold, join, per_slot, seed
):
    grid = TokenGrid(*sizes, tubelet=1, patch=1)
    chosen = MaskSettings(
        strategy=strategy,
        ratio=round(ratio, 6),
        inside_ratio=round(inside, 6),
        visible_inside_ratio=round(visible, 6),
        motion_threshold=threshold,
        join=join,
        per_slot=per_slot,
    )
    try:
        chosen.build(grid)
    except SettingsError:
        return  # nothing hidden, or nothing visible
    rng = np.random.default_rng(seed)
    noise_BN = torch.from_numpy(rng.random((8, grid.tokens), dtype=np.float32))
    check(chosen, grid, random_fields(rng, 8, grid), noise_BN)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("per_slot", [None, True])
def test_an_area_is_a_field_of_zeros_and_ones(strategy, per_slot):
    chosen, noise = MaskSettings(strategy=strategy, per_slot=per_slot), noise_of(60)
    inside = random_areas(np.random.default_rng(4), 60, GRID)
    inside[::2] &= torch.rand(inside[::2].shape, generator=torch.Generator().manual_seed(1)) < 0.7
    expected = hidden_tokens(chosen, GRID, inside, noise)
    for motion in (inside.float(), inside.double(), inside.half()):
        assert torch.equal(hidden_tokens(chosen, GRID, motion, noise), expected)


@pytest.mark.parametrize("strategy", USES_MOTION)
@pytest.mark.parametrize("per_slot", [False, True])
def test_no_motion_gives_the_very_mask_of_tube(strategy, per_slot):
    noise, still = noise_of(200), torch.zeros(200, 8, 14, 14)
    tube = hidden_tokens(MaskSettings(strategy="tube"), GRID, still, noise)
    chosen = MaskSettings(strategy=strategy, per_slot=per_slot)
    assert torch.equal(hidden_tokens(chosen, GRID, still, noise), tube)
    assert not chosen.build(GRID).spilled(still).any()


def moving_square(samples):
    """A square of strong motion that moves on by one place each slot, and weak motion elsewhere."""
    motion_Bthw = torch.full((samples, 8, 14, 14), 0.1)
    for t in range(8):
        motion_Bthw[:, t, 4:9, t : t + 5] = 0.9
    return motion_Bthw


@pytest.mark.parametrize("strategy", ["motion", "visible_share"])
def test_hidden_tokens_are_uniform_within_the_regions_of_each_slot(strategy):
    samples = 4000
    shares = {"ratio": 0.75, "visible_inside_ratio": 0.2}
    chosen = MaskSettings(strategy=strategy, per_slot=True, **shares)
    hidden_MN = hidden_tokens(chosen, GRID, moving_square(samples), noise_of(samples))
    hidden_MtP = hidden_MN.reshape(samples, 8, 196)
    inside_tP = moving_square(1)[0].flatten(1) > 0.5
    for t in (0, 3, 7):
        for region_P in (inside_tP[t], ~inside_tP[t]):
            p = uniform_p(hidden_MtP[:, t], region_P)
            assert p > LEAST_P, (t, p)


def test_slot_by_slot_meets_the_share_where_tubes_spill():
    """Joined over the clip the area is two thirds of the frame; in a slot it is an eighth."""
    motion = torch.zeros(1, 8, 14, 14)
    for t in range(8):
        motion[:, t, :, min(t * 2, 10) : min(t * 2, 10) + 4] = 1
    tubes, slots = MaskSettings(), MaskSettings(per_slot=True)
    assert tubes.build(GRID).spilled(motion).all()
    assert not slots.build(GRID).spilled(motion).any()
    hidden = hidden_tokens(slots, GRID, motion, noise_of(1)).reshape(1, 8, 14, 14)
    inside = motion > 0.5
    assert (hidden & inside).flatten(2).sum(2).tolist() == [[42] * 8]  # round(0.75 * 56)
    # The mean over the slots is another way to a small area: of what moves most of the time.
    mean = MaskSettings(join="mean").build(GRID)
    assert mean.inside(motion).sum() < tubes.build(GRID).inside(motion).sum()


def test_slots_share_their_noise_where_nothing_changes():
    motion = torch.zeros(50, 8, 14, 14)
    motion[:, :, 3:9, 4:8] = 0.8
    tubes, slots = (MaskSettings(per_slot=chosen) for chosen in (False, True))
    same = [hidden_tokens(chosen, GRID, motion, noise_of(50)) for chosen in (tubes, slots)]
    assert torch.equal(*same)


# ---- weighted ------------------------------------------------------------------------------


def test_weights_are_those_of_draws_without_replacement():
    """One of four places: probabilities are exp(motion / temperature), normed; chi-square."""
    grid = TokenGrid(1, 2, 2, tubelet=1, patch=1)
    motion = torch.tensor([0.0, 0.2, 0.5, 1.0]).reshape(1, 1, 2, 2)
    samples = 20000
    noise = torch.rand(samples, 4, generator=torch.Generator().manual_seed(5))
    for temperature in (0.3, 1.0):
        chosen = MaskSettings(strategy="weighted", ratio=0.25, temperature=temperature)
        hidden = hidden_tokens(chosen, grid, motion.expand(samples, -1, -1, -1), noise)
        law = torch.softmax(motion.flatten().double() / temperature, 0).numpy()
        assert stats.chisquare(hidden.sum(0).numpy(), samples * law).pvalue > LEAST_P
    # Two of four: the second is drawn from what is left.
    chosen = MaskSettings(strategy="weighted", ratio=0.5, temperature=1.0)
    hidden = hidden_tokens(chosen, grid, motion.expand(samples, -1, -1, -1), noise).double()
    law = torch.softmax(motion.flatten().double(), 0)
    both = law[2] * law[3] / (1 - law[2]) + law[3] * law[2] / (1 - law[3])
    found = (hidden[:, 2] * hidden[:, 3]).mean()
    assert abs(found - both) < 4 * float(both * (1 - both) / samples) ** 0.5


@pytest.mark.parametrize("per_slot", [False, True])
def test_temperature_goes_from_the_strongest_motion_to_tubes(per_slot):
    motion, noise = torch.rand(30, 8, 14, 14), noise_of(30)
    options = {"strategy": "weighted", "per_slot": per_slot}
    cold = hidden_tokens(MaskSettings(temperature=1e-9, **options), GRID, motion, noise)
    order = motion if per_slot else motion.amax(1, keepdim=True).expand_as(motion)
    kth = order.flatten(2).kthvalue(196 - 176, dim=2, keepdim=True).values
    assert torch.equal(cold.reshape(30, 8, 196), order.flatten(2) > kth)
    hot = hidden_tokens(MaskSettings(temperature=1e12, **options), GRID, motion, noise)
    assert torch.equal(hot, hidden_tokens(MaskSettings(strategy="tube"), GRID, motion, noise))
    shares = [
        float((hidden_tokens(MaskSettings(temperature=value, **options), GRID, motion, noise)
               .reshape(motion.shape) * motion).mean())
        for value in (1e-9, 0.5, 2, 1e12, -2, -0.5, -1e-9)
    ]  # fmt: skip
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"temperature": 0}, "temperature 0 is not a number other than 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"motion_threshold": 0}, r"motion_threshold 0 is not in \(0, 1\]"),
        ({"motion_threshold": 1.1}, "motion_threshold 1.1"),
        ({"join": "maximum"}, "join 'maximum' is unknown"),
    ],
)
def test_impossible_settings_are_said_in_one_line(wrong, words):
    with pytest.raises(SettingsError, match=words) as error:
        MaskSettings(**wrong)
    assert "\n" not in str(error.value)
