import numpy as np

from mofo.report.figures.marks import AREA, MOVER, draw_area, draw_field, draw_mask
from mofo.types import MotionArea

FRAME = np.random.default_rng(0).integers(60, 200, (32, 48, 3), np.uint8)
NOTHING = np.zeros((2, 3), bool)


def test_visible_patches_are_untouched_and_hidden_ones_dark():
    hidden = np.array([[True, False, False], [False, False, True]])
    before = FRAME.copy()
    drawn = draw_mask(FRAME, hidden, NOTHING)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(FRAME, before)
    seen = drawn.reshape(2, 16, 3, 16, 3).swapaxes(1, 2)
    true = FRAME.reshape(2, 16, 3, 16, 3).swapaxes(1, 2)
    np.testing.assert_array_equal(seen[~hidden], true[~hidden])
    # At most a trace of what is hidden: 15 % of it.
    assert np.ptp(seen[hidden]) <= 0.15 * 140 + 1
    assert seen[hidden].max() < 70


def test_what_the_decoder_predicts_is_blue():
    hidden, decoded = NOTHING.copy(), NOTHING.copy()
    hidden[0] = decoded[0, 1] = True
    drawn = draw_mask(FRAME, hidden, NOTHING, decoded)
    assert (drawn[:16, 16:32, 2].astype(int) > drawn[:16, 16:32, 0] + 80).all()
    assert drawn[:16, :16].max() < 70


def test_the_area_is_outlined_along_its_tokens():
    inside = NOTHING.copy()
    inside[0, 1] = inside[0, 2] = True
    drawn = draw_mask(FRAME, NOTHING, inside)
    orange = (drawn == (255, 140, 0)).all(2)
    rows, columns = np.nonzero(orange)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 15, 16, 47)
    assert not orange[2:14, 18:46].any()
    np.testing.assert_array_equal(drawn[~orange], FRAME[~orange])


def test_a_motion_field_tints_what_moves_and_nothing_else():
    share = np.zeros((4, 6), np.float32)
    share[:, 3:] = 1
    drawn = draw_field(FRAME, share).astype(int)
    np.testing.assert_array_equal(drawn[:, :16], FRAME[:, :16])
    away = np.abs(FRAME.astype(int) - AREA)[:, 32:].sum()
    assert np.abs(drawn - AREA)[:, 32:].sum() < 0.6 * away


def test_field_box_and_movers_of_a_frame_are_drawn():
    field = np.zeros((2, 4, 6), np.uint8)
    field[1, :, :2] = 255
    boxes = np.array([[0, 0, 0, 0], [4, 4, 28, 28]], np.float32)
    movers = (np.zeros((0, 4), np.float32), np.array([[4, 4, 10, 28], [20, 4, 28, 28]], np.float32))
    area = MotionArea(
        48, 32, np.arange(2), np.arange(2) / 25, boxes, np.array([False, True]), movers,
        field_Tyx=field,
    )  # fmt: skip
    np.testing.assert_array_equal(draw_area(FRAME, area, 0), FRAME)
    drawn = draw_area(FRAME, area, 1)
    assert (drawn[4, 4:28] == AREA).all()
    assert (drawn[10, 20] == MOVER).all()
    assert not np.array_equal(drawn[14:18, 12:18], FRAME[14:18, 12:18])  # tinted
    np.testing.assert_array_equal(drawn[:, 36:], FRAME[:, 36:])
