import math

import numpy as np
import pytest
import torch

from helpers.inputs import GRID, clip, mask, model, settings
from mofo.models.mae import MaskedAutoencoder
from mofo.models.positions import PositionTable, resized_table, sincos_table
from mofo.types import TokenGrid


def test_table_follows_the_formula():
    table = sincos_table(1568, 384).double().numpy()
    assert table.shape == (1568, 384)
    for token, channel in [(0, 0), (0, 1), (1, 0), (7, 5), (1567, 0), (1567, 1), (900, 383)]:
        angle = token / 10000 ** (2 * (channel // 2) / 384)
        wanted = math.sin(angle) if channel % 2 == 0 else math.cos(angle)
        assert table[token, channel] == pytest.approx(wanted, abs=6e-8)


def test_same_grid_gives_the_same_table():
    table = sincos_table(24, 16)
    assert resized_table(table, (2, 4, 3), (2, 4, 3)) is table


def test_resizing_matches_known_values():
    ramp = torch.tensor([0.0, 1.0])[:, None]  # two tokens in time, one channel
    doubled = resized_table(ramp, (2, 1, 1), (4, 1, 1))[:, 0]
    assert doubled.tolist() == [0.0, 0.25, 0.75, 1.0]
    # Each axis on its own: a value that grows along one stays constant along the others.
    t, y, x = np.meshgrid(np.arange(2), np.arange(4), np.arange(3), indexing="ij")
    table = torch.tensor(np.stack([t, y, x], -1).reshape(24, 3), dtype=torch.float32)
    found = resized_table(table, (2, 4, 3), (4, 2, 6)).reshape(4, 2, 6, 3).numpy()
    np.testing.assert_allclose(found[:, 1, 3, 0], [0, 0.25, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(found[2, :, 0, 1], [0.5, 2.5], atol=1e-6)
    np.testing.assert_allclose(found[0, 0, :, 2], [0, 0.25, 0.75, 1.25, 1.75, 2], atol=1e-6)


def test_weights_for_another_grid_bring_its_positions():
    other = TokenGrid(8, 96, 48)
    made = model()
    larger = MaskedAutoencoder(settings(grid=other))
    larger.load_state_dict(made.state_dict())  # strict: all sizes fit
    wanted = resized_table(sincos_table(24, 64), (2, 4, 3), (4, 6, 3))
    assert torch.equal(larger.encoder.positions.table_ND, wanted)
    larger(clip(grid=other), mask(hidden=60, grid=other)).loss.backward()

    again = MaskedAutoencoder(settings(grid=other))
    again.load_state_dict(larger.state_dict())
    assert torch.equal(again.encoder.positions.table_ND, wanted)
    back = MaskedAutoencoder(settings())
    back.load_state_dict(again.state_dict())
    assert torch.equal(back.encoder.positions.table_ND, made.encoder.positions.table_ND)
    assert torch.equal(back.decoder.positions.table_ND, made.decoder.positions.table_ND)


def test_the_table_itself_is_not_stored():
    table = PositionTable(GRID, 8)
    assert {name: value.tolist() for name, value in table.state_dict().items()} == {
        "made_for": [2, 4, 3]
    }
