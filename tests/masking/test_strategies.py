import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.kinds import built_in
from helpers.mask_checks import (
    GRID,
    asked_inside,
    check_corner,
    check_counts,
    hidden_tokens,
    noise_of,
    positions_of,
    random_areas,
    rectangle,
)
from mofo.clips.token_area import token_area
from mofo.masking import MASKS, MaskSettings
from mofo.masking.mask import smallest
from mofo.types import SettingsError, TokenGrid

STRATEGIES = built_in(MASKS)

GRIDS = (
    GRID,
    TokenGrid(8, 112, 112),
    TokenGrid(16, 64, 96),
    TokenGrid(2, 48, 48),
    TokenGrid(4, 40, 24, tubelet=1, patch=8),
)
WITH_AREA = ("motion", "visible_share", "hide_motion")


def by_hand(chosen, grid, inside_1thw, noise_N):
    """One mask, the slow way: lists of positions, sorted by their noise."""
    hidden = chosen.build(grid).num_hidden // grid.t
    if chosen.strategy == "random":
        order = sorted(range(grid.tokens), key=lambda n: noise_N[n])
        return {divmod(n, grid.positions) for n in order[: hidden * grid.t]}
    order = sorted(range(grid.positions), key=lambda p: noise_N[p])
    found = set()
    for t in range(grid.t):
        if chosen.strategy == "tube":
            found |= {(t, p) for p in order[:hidden]}
            continue
        if chosen.strategy == "block":
            found |= {(t, p) for p in block_by_hand(chosen, grid, order, hidden)}
            continue
        slots = [t] if chosen.strategy == "hide_motion" else range(grid.t)
        inside_P = [any(inside_1thw[s].flatten()[p] for s in slots) for p in range(grid.positions)]
        m = asked_inside(chosen, sum(inside_P), hidden, grid.positions)
        found |= {(t, p) for p in [p for p in order if inside_P[p]][:m]}
        found |= {(t, p) for p in [p for p in order if not inside_P[p]][: hidden - m]}
    return found


def block_by_hand(chosen, grid, order, hidden):
    before, after = (chosen.block - 1) // 2, chosen.block // 2
    found = []
    for middle in order:
        y, x = divmod(middle, grid.w)
        square = {
            (y + dy) % grid.h * grid.w + (x + dx) % grid.w
            # A middle covers the places around which it lies.
            for dy in range(-after, before + 1)
            for dx in range(-after, before + 1)
        }
        found += [p for p in order if p in square and p not in found]
    return found[:hidden]


BY_ORDER = [name for name in STRATEGIES if name != "weighted"]  # which draws, see test_fields


@pytest.mark.parametrize("strategy", BY_ORDER)
@pytest.mark.parametrize("block", [2, 3])
def test_is_the_definition(strategy, block):
    chosen = MaskSettings(
        strategy=strategy, ratio=0.7, inside_ratio=0.6, visible_inside_ratio=0.3, block=block
    )
    for grid in GRIDS[1:]:
        inside = random_areas(np.random.default_rng(1), 12, grid)
        per_slot = torch.from_numpy(np.random.default_rng(2).random(inside.shape) < 0.3)
        inside = torch.cat([inside, per_slot])
        noise = noise_of(len(inside), grid)
        mask_BN = hidden_tokens(chosen, grid, inside, noise)
        for b in range(len(inside)):
            found = {divmod(int(n), grid.positions) for n in mask_BN[b].nonzero()}
            assert found == by_hand(chosen, grid, inside[b], noise[b])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.t}x{grid.h}x{grid.w}")
def test_counts_are_exact_over_thousands_of_areas(strategy, grid):
    rng = np.random.default_rng(7)
    samples = 3000
    inside = random_areas(rng, samples, grid)
    noise = torch.from_numpy(rng.random((samples, grid.tokens), dtype=np.float32))
    for shares in (
        {},
        {"inside_ratio": 0.4, "visible_inside_ratio": 1.0},
        {"inside_ratio": 1.0, "visible_inside_ratio": 0.0, "ratio": 0.5},
    ):
        block = {"block": min(4, grid.h, grid.w)}
        check_counts(
            hidden_tokens, MaskSettings(strategy=strategy, **block, **shares), grid, inside, noise
        )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.sampled_from(STRATEGIES),
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 9),
    st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 2, 5]),
)  # fmt: skip
def test_counts_are_exact_for_any_settings(strategy, sizes, ratio, inside, rho, block, seed, ties):
    """Also for areas that differ between slots, and for noise that is full of equal values."""
    t, h, w = sizes
    grid = TokenGrid(t, h, w, tubelet=1, patch=1)
    try:
        chosen = MaskSettings(
            strategy=strategy,
            ratio=round(ratio, 6),
            inside_ratio=round(inside, 6),
            visible_inside_ratio=round(rho, 6),
            block=block,
        )
        chosen.build(grid)
    except SettingsError:
        return  # nothing hidden, nothing visible, block too large: see below
    rng = np.random.default_rng(seed)
    inside_Bthw = random_areas(rng, 12, grid)
    inside_Bthw[::2] &= torch.from_numpy(rng.random(inside_Bthw[::2].shape) < 0.7)
    noise = torch.from_numpy(rng.random((12, grid.tokens), dtype=np.float32))
    if ties:
        noise = (noise * ties).floor() / ties
    check_counts(hidden_tokens, chosen, grid, inside_Bthw, noise)


def test_numbers_of_the_paper():
    """90 % of 196: 176 of each time slot; 75 % inside, as long as the outside has room."""
    paper = MaskSettings()
    assert paper == MaskSettings(strategy="motion", ratio=0.9, inside_ratio=0.75)
    assert paper.build(GRID).num_hidden == 1408
    sizes = {0: 0, 1: 1, 2: 2, 6: 5, 10: 8, 64: 48, 80: 60, 82: 62, 83: 63, 100: 80, 196: 176}
    for n, m in sizes.items():
        inside = torch.arange(196).reshape(1, 1, 14, 14).expand(1, 8, 14, 14) < n
        mask_P = positions_of(hidden_tokens(paper, GRID, inside, noise_of(1)), GRID)[0]
        assert int(mask_P[:n].sum()) == m
        assert int(mask_P[n:].sum()) == 176 - m
        # 83 is the first at which that is not three quarters.
        assert (m == (3 * n + 2) // 4) == (n < 83)


@pytest.mark.parametrize(
    ("n", "rho", "inside"), [(64, 0.5, 10), (64, 1, 20), (64, 0, 0), (5, 0.5, 5), (190, 0.5, 14),
                             (64, 0.025, 1), (64, 0.024, 0)],
)  # fmt: skip
def test_visible_share_gives_rho(n, rho, inside):
    """Of 20 visible positions; 5 has no more than 5; outside of 190 there are only 6."""
    chosen = MaskSettings(strategy="visible_share", visible_inside_ratio=rho)
    area = torch.arange(196).reshape(1, 1, 14, 14).expand(1, 8, 14, 14) < n
    mask_P = positions_of(hidden_tokens(chosen, GRID, area, noise_of(1)), GRID)[0]
    assert int((~mask_P[:n]).sum()) == inside


def test_hide_motion_is_visible_share_zero():
    inside = random_areas(np.random.default_rng(0), 500, GRID)
    noise = noise_of(500)
    hide = hidden_tokens(MaskSettings(strategy="hide_motion"), GRID, inside, noise)
    assert torch.equal(
        hide,
        hidden_tokens(
            MaskSettings(strategy="visible_share", visible_inside_ratio=0), GRID, inside, noise
        ),
    )


@pytest.mark.parametrize("strategy", WITH_AREA)
def test_no_motion_gives_the_very_mask_of_tube(strategy):
    noise = noise_of(200)
    none = torch.zeros(200, 8, 14, 14, dtype=torch.bool)
    tube = hidden_tokens(MaskSettings(strategy="tube"), GRID, none, noise)
    assert torch.equal(hidden_tokens(MaskSettings(strategy=strategy), GRID, none, noise), tube)


@pytest.mark.parametrize("strategy", ["tube", "random", "block"])
def test_others_do_not_look_at_the_area(strategy):
    noise = noise_of(50)
    some, all_of_it = rectangle(GRID, slice(2, 9), slice(3, 5), 50), torch.ones(50, 8, 14, 14) > 0
    chosen = MaskSettings(strategy=strategy)
    mask = hidden_tokens(chosen, GRID, some, noise)
    assert torch.equal(mask, hidden_tokens(chosen, GRID, all_of_it, noise))


def test_a_lop_sided_box_is_where_it_is():
    check_corner(hidden_tokens, token_area)


@pytest.mark.parametrize("strategy", ["motion", "visible_share"])
def test_tubes_join_an_area_that_differs_between_slots(strategy):
    moving = torch.zeros(1, 8, 14, 14, dtype=torch.bool)
    for t in range(8):
        moving[0, t, 5, t : t + 3] = True
    joined = rectangle(GRID, slice(5, 6), slice(0, 10))
    chosen, noise = MaskSettings(strategy=strategy), noise_of(1)
    mask = hidden_tokens(chosen, GRID, moving, noise)
    assert torch.equal(mask, hidden_tokens(chosen, GRID, joined, noise))


def test_hide_motion_goes_along_with_the_motion():
    moving = torch.zeros(40, 8, 14, 14, dtype=torch.bool)
    for t in range(8):
        moving[:, t, 4:8, t : t + 5] = True
    mask = hidden_tokens(MaskSettings(strategy="hide_motion"), GRID, moving, noise_of(40))
    mask_Bthw = mask.reshape(40, 8, 14, 14)
    assert (mask_Bthw & moving).sum() == moving.sum()
    assert (mask_Bthw.flatten(2).sum(2) == 176).all()
    # Where the area has been or will be, positions are visible as elsewhere.
    been = moving.any(1, keepdim=True) & ~moving
    assert 0.05 < float((~mask_Bthw & been).sum() / been.sum()) < 0.2


@pytest.mark.parametrize("strategy", BY_ORDER)
def test_only_the_order_of_the_noise_matters(strategy):
    chosen, inside, noise = MaskSettings(strategy=strategy), area_of(60), noise_of(60)
    mask = hidden_tokens(chosen, GRID, inside, noise)
    assert torch.equal(hidden_tokens(chosen, GRID, inside, noise.double() ** 3 / 2), mask)


def area_of(samples):
    return random_areas(np.random.default_rng(4), samples, GRID)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sample_is_the_same_in_every_batch(strategy):
    chosen, inside, noise = MaskSettings(strategy=strategy), area_of(30), noise_of(30)
    mask = hidden_tokens(chosen, GRID, inside, noise)
    for b in (0, 7, 29):
        alone = hidden_tokens(chosen, GRID, inside[b : b + 1], noise[b : b + 1])
        assert torch.equal(alone[0], mask[b])
    back = torch.arange(29, -1, -1)
    assert torch.equal(hidden_tokens(chosen, GRID, inside[back], noise[back]), mask[back])


def test_an_empty_batch_is_fine():
    for strategy in STRATEGIES:
        mask = hidden_tokens(MaskSettings(strategy=strategy), GRID, area_of(3)[:0], noise_of(2)[:0])
        assert mask.shape == (0, 1568)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_inputs_are_left_alone(strategy):
    inside, noise = area_of(5), noise_of(5)
    before = inside.clone(), noise.clone()
    mask = hidden_tokens(MaskSettings(strategy=strategy), GRID, inside, noise)
    mask[:] = False  # its own memory, too
    assert torch.equal(inside, before[0])
    assert torch.equal(noise, before[1])


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6), st.data())
def test_smallest_is_a_stable_sort(seed, n, levels, data):
    count = data.draw(st.integers(1, n))
    key_BN = torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (5, n))).float()
    key_BN[key_BN == 3] = float("inf")
    chosen_BN = smallest(key_BN, count)
    order_BN = key_BN.argsort(dim=1, stable=True)
    for b in range(5):
        assert set(chosen_BN[b].nonzero()[:, 0].tolist()) == set(order_BN[b, :count].tolist())
