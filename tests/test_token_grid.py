import pytest

from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(16, 224, 224)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((15, 224, 224), "token grid: frames 15 is not a multiple of tubelet 2"),
        ((16, 225, 100), "height 225 is not a multiple of patch 16; width 100 is not a multiple"),
        ((16, 8, 224), "height 8 is not a multiple of patch 16"),
        ((0, 224, 224), "frames 0 is not a whole number above 0"),
        ((16, 224.0, 224), "height 224.0 is not a whole number"),
        ((16, 224, 224, 0), "tubelet 0 is not a whole number above 0"),
    ],
)
def test_a_grid_needs_whole_tokens(sizes, said):
    with pytest.raises(SettingsError, match=said) as caught:
        TokenGrid(*sizes)
    assert "\n" not in str(caught.value)


def test_sizes_of_a_grid():
    assert (GRID.t, GRID.h, GRID.w, GRID.positions, GRID.tokens) == (8, 14, 14, 196, 1568)
    grid = TokenGrid(4, 64, 96, tubelet=4, patch=32)
    assert (grid.t, grid.h, grid.w, grid.positions, grid.tokens) == (1, 2, 3, 6, 6)
