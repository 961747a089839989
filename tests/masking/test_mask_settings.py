import pytest
import torch

from helpers.mask_checks import GRID, hidden_tokens, noise_of, rectangle
from mofo.masking import MaskSettings, mask_shares
from mofo.types import SettingsError, TokenGrid


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strategy": "tubes"}, "strategy 'tubes' is unknown: did you mean 'tube'"),
        ({"strategy": "xyz"}, "strategy 'xyz' is unknown: choose from tube, random, motion"),
        ({"ratio": 1.0}, "ratio 1.0 is not between 0 and 1, both excluded"),
        ({"ratio": 0}, "ratio 0 is not between 0 and 1, both excluded"),
        ({"ratio": float("nan")}, "ratio nan is not between 0 and 1"),
        ({"ratio": "0.9"}, "ratio 0.9 is not between"),
        ({"visible_inside_ratio": 1.01}, "visible_inside_ratio 1.01 is not between 0 and 1"),
        ({"inside_ratio": -0.1}, "inside_ratio -0.1 is not between 0 and 1"),
        ({"block": 0}, "block 0 is not a whole number above 0"),
        ({"block": 2.5}, "block 2.5 is not a whole number above 0"),
        ({"ratio": 2, "visible_inside_ratio": 3}, "ratio 2 .*; visible_inside_ratio 3 "),
    ],
)
def test_impossible_settings_are_said_in_one_line(wrong, said):
    with pytest.raises(SettingsError, match=said) as caught:
        MaskSettings(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (MaskSettings(ratio=0.9999999), "ratio 0.9999999 leaves none visible of the 4 positions"),
        (MaskSettings(ratio=0.2), "ratio 0.2 hides none of the 4 positions of 32x32 pixels"),
        (MaskSettings(strategy="block", block=3), "block 3 is larger than the grid of 2x2 tokens"),
    ],
)
def test_settings_that_do_not_fit_the_grid_are_said(chosen, said):
    grid = TokenGrid(2, 32, 32)
    for act in (
        lambda: chosen.build(grid).num_hidden,
        lambda: hidden_tokens(chosen, grid, torch.zeros(1, 1, 2, 2) > 0, torch.zeros(1, 4)),
    ):
        with pytest.raises(SettingsError, match=said) as caught:
            act()
        assert "\n" not in str(caught.value)


def test_shares_are_decimals_not_floats():
    """0.29 of 100 is 29, though 0.29 * 100 is 28.999999999999996."""
    grid = TokenGrid(1, 10, 10, tubelet=1, patch=1)
    assert MaskSettings(ratio=0.29).build(grid).num_hidden == 29


def test_wrong_shapes_are_said():
    inside, noise = rectangle(GRID, slice(0, 3), slice(0, 3), 2), noise_of(2)
    for wrong in ((inside[:1], noise), (inside[:, :4], noise), (inside, noise[:, :196])):
        with pytest.raises(ValueError, match=r"instead of \(B, 8, 14, 14\) and \(B, 1568\)"):
            hidden_tokens(MaskSettings(), GRID, *wrong)


def test_shares_say_what_was_hidden():
    inside = torch.cat(
        [rectangle(GRID, slice(0, 8), slice(0, 8)), torch.zeros(1, 8, 14, 14, dtype=torch.bool)]
    )
    mask = hidden_tokens(MaskSettings(), GRID, inside, noise_of(2))
    shares = mask_shares(mask, inside)
    assert all(share.shape == () and share.dtype == torch.float32 for share in shares)
    # The second sample has no area and counts for the area's share only.
    assert float(shares.area) == pytest.approx(64 / 196 / 2)
    assert float(shares.hidden_inside) == pytest.approx(0.75)
    assert float(shares.hidden_outside) == pytest.approx(128 / 132)
    assert float(shares.visible_inside) == pytest.approx(16 / 20)
    nothing = mask_shares(mask[1:], inside[1:])
    assert float(nothing.area) == 0
    assert all(torch.isnan(share) for share in nothing[1:])
