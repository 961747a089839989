import numpy as np
import pytest

from helpers.shown import frames_of, read_png
from mofo.report.figures.films import Film, Row, film_frames, moments, write_films
from mofo.types import SettingsError, TokenGrid

GRID = TokenGrid(8, 64, 96)
COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200), (200, 0, 200)]


def film(rows, heading="a clip"):
    """Row k is of one colour; frame t has a grey bar of t pixels at its top."""

    def tiles(t, token):
        pictures = []
        for colour in COLOURS[:rows]:
            picture = np.full((GRID.h * token, GRID.w * token, 3), colour, np.uint8)
            picture[: t + 1] = 128
            pictures.append(picture)
        return pictures

    names = tuple(Row(f"row {k}", "more words " * k) for k in range(rows))
    return Film(GRID, names, tiles, heading)


def places(sheet, colour):
    """Top and left of all runs of a colour."""
    near = np.abs(sheet.astype(int) - colour).max(2) < 30
    rows, columns = near.any(1), near.any(0)
    return [
        np.flatnonzero(np.diff(np.concatenate([[0], line.astype(int)])) == 1)
        for line in (rows, columns)
    ]


@pytest.mark.parametrize("films", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, 3, 6])
def test_a_sheet_has_moments_from_left_to_right_and_rows_below_each_other(tmp_path, films, rows):
    write_films([film(rows)] * films, tmp_path / "x.png", title="title", notes=["note"])
    sheet = read_png(tmp_path / "x.png")
    assert 1200 < sheet.shape[1] <= 1400
    for edge in (sheet[:20], sheet[-20:], sheet[:, :20], sheet[:, -20:]):
        assert (edge == 255).all()
    tops = []
    for colour in COLOURS[:rows]:
        top, left = places(sheet, colour)
        assert len(left) == {1: 6, 2: 8, 3: 8}[films]
        assert len(top) == (films + 1) // 2
        tops.append(top[0])
    assert tops == sorted(tops)


@pytest.mark.parametrize(("films", "rows"), [(1, 1), (2, 3), (3, 4), (1, 6)])
def test_a_video_has_all_frames(tmp_path, films, rows):
    write_films([film(rows)] * films, tmp_path / "x.mp4", title="title")
    frames = frames_of(tmp_path / "x.mp4")
    assert len(frames) == 8
    assert frames[0].shape[1] <= 1400
    for colour in COLOURS[:rows]:
        assert (np.abs(frames[3].astype(int) - colour).max(2) < 40).sum() > 1000


def test_frames_for_a_page_stand_side_by_side():
    frames = list(film_frames(film(3), 60, gap=4))
    assert [frame.shape for frame in frames] == [(40, 188, 3)] * 8
    assert (frames[2][20, [10, 70, 140]] == COLOURS[:3]).all()


def test_moments_are_the_middles_of_equal_parts():
    assert moments(16, 4) == [2, 6, 10, 14]
    assert moments(3, 9) == [0, 1, 2]
    assert moments(5, 0) == [2]


def test_another_kind_of_file(tmp_path):
    with pytest.raises(SettingsError, match=r"\.png"):
        write_films([film(1)], tmp_path / "x.gif", title="title")
