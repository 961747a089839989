import errno
from pathlib import Path

import numpy as np
import pytest

from helpers.shown import read_png
from mofo.report.lettering import ALARM
from mofo.report.sheet import (
    INNER,
    MARGIN,
    WIDTH,
    beside,
    framed,
    make_folder,
    page,
    picture_kind,
    save_png,
    stacked,
)
from mofo.types import MofoError, SettingsError


def plain(height, width, value=90):
    return np.full((height, width, 3), value, np.uint8)


def test_rows_and_columns():
    row = beside([plain(10, 20), plain(30, 5, 7)], 4)
    assert row.shape == (30, 29, 3)
    assert (row[:10, :20] == 90).all()
    assert (row[10:, :20] == 255).all()
    assert (row[:, 20:24] == 255).all()
    assert (row[:, 24:] == 7).all()
    column = stacked([plain(10, 20), plain(5, 30, 7)], 4)
    assert np.array_equal(column, beside([plain(20, 10), plain(30, 5, 7)], 4).transpose(1, 0, 2))


@pytest.mark.parametrize("size", [(100, INNER), (101, INNER - 1), (40, 50)])
def test_a_page_has_even_sides_and_margins_and_all_of_its_body(size):
    body = plain(*size)
    sheet = page(body, title="title " * 60, lines=["line", ""], notes=["note " * 100])
    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    assert sheet.shape[1] <= WIDTH
    for edge in (sheet[:MARGIN], sheet[-MARGIN:], sheet[:, :MARGIN], sheet[:, -MARGIN:]):
        assert (edge == 255).all()
    assert (sheet == 90).all(2).sum() >= size[0] * size[1]


def test_a_warning_is_red_and_bold_letters():
    without = page(plain(9, 9), title="t")
    sheet = page(plain(9, 9), title="t", warnings=["beware"])
    assert not (without == ALARM).all(2).any()
    assert (sheet == ALARM).all(2).sum() > 50


def test_frame():
    picture = plain(20, 30)
    drawn = framed(picture, ALARM, 2)
    assert (picture == 90).all()
    assert (drawn[:2] == ALARM).all()
    assert (drawn[:, -2:] == ALARM).all()
    assert (drawn[2:-2, 2:-2] == 90).all()


def test_kinds():
    assert picture_kind("a/b.PNG") == "png"
    assert picture_kind(Path("x.mp4")) == "mp4"
    for name in ("x.gif", "x", "png", ".mp4", "x.png.txt"):
        with pytest.raises(SettingsError, match=r"must end in \.png"):
            picture_kind(name)


def test_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    target = tmp_path / "new/folder/x.png"
    save_png(picture, target)
    assert np.array_equal(read_png(target), picture)
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(MofoError, match=r"dir\.png: cannot be written"):
        save_png(picture, tmp_path / "dir.png")
    with pytest.raises(MofoError, match=r"x\.png: cannot be written: is a file"):
        make_folder(target / "y.png")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_png(picture, target)
    monkeypatch.undo()
    assert np.array_equal(read_png(target), picture)
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["x.png"]
