import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from helpers.kinds import built_in
from helpers.mask_checks import GRID, hidden_tokens, noise_of, random_areas, target_tokens
from mofo.masking import MASKS, MaskSettings, decoded_count
from mofo.types import SettingsError, TokenGrid

STRATEGIES = built_in(MASKS)


def made(samples, share=0.5, grid=GRID, **chosen):
    settings = MaskSettings(**chosen)
    inside = random_areas(np.random.default_rng(0), samples, grid)
    noise = noise_of(samples, grid)
    mask = hidden_tokens(settings, grid, inside, noise)
    return mask, target_tokens(settings, grid, inside, noise, share)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.6, 1.0])
def test_an_exact_number_of_hidden_tokens(strategy, share):
    mask, decode = made(500, share, strategy=strategy)
    assert decode.dtype == torch.bool
    assert not (decode & ~mask).any()
    assert (decode.sum(1) == decoded_count(1408, share)).all()
    assert decoded_count(1408, share) == round(1408 * share)
    if share == 1:
        assert torch.equal(decode, mask)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(STRATEGIES),
    st.tuples(st.integers(1, 6), st.integers(1, 7), st.integers(1, 7)),
    st.floats(0.02, 1), st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_an_exact_number_on_any_grid(strategy, sizes, share, seed, ties):
    t, h, w = sizes
    grid, chosen = TokenGrid(t, h, w, 1, 1), MaskSettings(strategy=strategy, ratio=0.7, block=1)
    try:
        count = decoded_count(chosen.build(grid).num_hidden, share)
    except SettingsError:
        return  # nothing hidden or decoded
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.random((8, grid.tokens), dtype=np.float32))
    if ties:
        noise = (noise * ties).floor() / ties
    inside = random_areas(rng, 8, grid)
    mask = hidden_tokens(chosen, grid, inside, noise)
    decode = target_tokens(chosen, grid, inside, noise, share)
    assert (decode.sum(1) == count).all()
    assert not (decode & ~mask).any()


@pytest.mark.parametrize("strategy", ["tube", "motion", "visible_share", "block"])
def test_each_hidden_position_is_decoded_half_of_the_time(strategy):
    """Two slots on, two slots off: the cell runs, and the noise decides nothing."""
    mask, decode = made(200, strategy=strategy)
    mask_BtP, decode_BtP = mask.reshape(200, 8, 196), decode.reshape(200, 8, 196)
    assert torch.equal(decode_BtP.sum(1), 4 * mask_BtP[:, 0])
    assert torch.equal(decode_BtP[:, :4], decode_BtP[:, 4:])
    again_BP = (decode_BtP[:, 1:] == decode_BtP[:, :-1]).sum(1)[mask_BtP[:, 0]]
    assert set(again_BP.tolist()) == {3, 4}  # of 7 changes of slot every second is a change
    # In each slot half of the positions, spread evenly: two of every cell of four.
    cells_Btyx = decode_BtP.reshape(200, 8, 7, 2, 7, 2).sum((3, 5))
    whole_Byx = mask_BtP[:, 0].reshape(200, 7, 2, 7, 2).all(4).all(2)
    assert (cells_Btyx.permute(0, 2, 3, 1)[whole_Byx] == 2).all()


def test_the_window_moves_to_a_neighbour():
    """In a cell that is hidden altogether, a pair of neighbours goes around it."""
    mask, decode = made(40, strategy="tube", ratio=0.98)
    decode = decode.reshape(40, 8, 14, 14)[:, :, 4:6, 6:8]
    whole_B = mask.reshape(40, 8, 14, 14)[:, 0, 4:6, 6:8].flatten(1).all(1)
    around = [(0, 0), (0, 1), (1, 1), (1, 0)]
    starts = set()
    for cell_t22 in decode[whole_B]:
        pairs = [[cell_t22[t][place].item() for place in around] for t in range(8)]
        for now, then in itertools.pairwise(pairs):
            assert then == [now[-1], *now[:-1]]
        assert sum(pairs[0]) == 2
        assert pairs[0] not in ([1, 0, 1, 0], [0, 1, 0, 1])  # neighbours
        starts.add(tuple(pairs[0]))
    assert len(starts) == 4


def test_where_the_window_starts_is_uniform_and_says_nothing_about_the_mask():
    samples = 4000
    mask, decode = made(samples, strategy="tube")
    # Hidden positions at even rows and columns: decoded in two of four slots, by the start.
    first_Bt = decode.reshape(samples, 8, 14, 14)[:, :4, 0, 0][mask[:, 0]]
    kinds = (first_Bt.float() @ torch.tensor([1.0, 2.0, 4.0, 8.0])).int()
    _, counts = torch.unique(kinds, return_counts=True)
    assert len(counts) == 4
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4
    # Position 0's noise also decides whether it is hidden: the start must not follow from it.
    start_B = decode.reshape(samples, 8, 196)[:, 0, 30]
    for hidden in (mask[:, 0], ~mask[:, 0]):
        of = hidden & mask[:, 30]
        expected = 0.5 * float(of.sum())
        assert abs(float(start_B[of].sum()) - expected) < 4 * (0.25 * float(of.sum())) ** 0.5


def test_missing_tokens_are_filled_without_a_preference():
    """Three slots: the window covers a position once or twice, so noise has to decide the rest."""
    grid = TokenGrid(6, 224, 224)
    _, decode = made(3000, 0.4, grid=grid, strategy="tube")
    share_tP = (decode.reshape(-1, 3, 196).double().mean(0)) / (176 / 196)
    assert float((share_tP - 0.4).abs().max()) < 0.045


@pytest.mark.parametrize("share", [0, -0.5, 1.1, float("nan"), "half"])
def test_impossible_shares_are_said(share):
    with pytest.raises(SettingsError, match=r"decoder: share .* is not in \(0, 1\]") as caught:
        decoded_count(1408, share)
    assert "\n" not in str(caught.value)


def test_a_share_of_nothing_is_said():
    with pytest.raises(SettingsError, match=r"share 0\.0001 selects none of 1408 hidden tokens"):
        decoded_count(1408, 0.0001)
    assert decoded_count(1408, 0.5) == 704
