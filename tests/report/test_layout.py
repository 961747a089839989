import errno
from pathlib import Path

import numpy as np
import pytest

from helpers.shown import read_png
from mofo.report.figures.layout import (
    ALARM,
    INNER,
    MARGIN,
    WIDTH,
    beside,
    framed,
    in_rows,
    make_folder,
    page,
    picture_kind,
    save_png,
    scaled,
    stacked,
    text_block,
)
from mofo.types import MofoError, SettingsError


def plain(height, width, value=90):
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Reconstruction: the pattern of a hidden patch is predicted, and more of that.",
        "/a/very/long/path/without/any/space/that/no/line/of/the/block/can/hold/at/once.mp4",
        "two\nlines and a third one\n\nafter an empty one",
        "Ünï · 1,000 → 2 %  видео",
        "bytes \udcff that are no letters",
    ],
)
@pytest.mark.parametrize("width", [70, 1000])
def test_text_is_broken_and_never_touches_the_border(text, width):
    block = text_block(text, width)
    assert block.shape[1:] == (width, 3)
    assert len(block) >= 16 * (text.count("\n") + 1)
    for edge in (block[0], block[-1]):
        assert (edge > 200).all()
    if width == 70:
        assert len(block) >= len(text_block(text, 1000))


def test_text_has_colours_size_and_height():
    block = text_block("text", 100, colour=(200, 0, 0), paper=(10, 20, 30), height=90)
    assert block.shape == (90, 100, 3)
    rows = np.flatnonzero((block != (10, 20, 30)).any((1, 2)))
    assert abs((rows[0] + rows[-1]) / 2 - 45) < 6  # in the middle
    assert (block == (200, 0, 0)).all(2).any()
    assert len(text_block("a\nb\nc", 100, height=10)) > 30  # never less than the lines take
    bold, thin = (text_block("text", 100, bold=bold).sum() for bold in (True, False))
    assert bold < thin
    with pytest.raises(ValueError, match="read-only"):
        block[:] = 0


def test_rows_and_columns():
    row = beside([plain(10, 20), plain(30, 5, 7)], 4)
    assert row.shape == (30, 29, 3)
    assert (row[:10, :20] == 90).all()
    assert (row[10:, :20] == 255).all()
    assert (row[:, 20:24] == 255).all()
    assert (row[:, 24:] == 7).all()
    column = stacked([plain(10, 20), plain(5, 30, 7)], 4)
    assert np.array_equal(column, beside([plain(20, 10), plain(30, 5, 7)], 4).transpose(1, 0, 2))
    assert in_rows([plain(10, 20)] * 5, 2, 1).shape == (32, 41, 3)


@pytest.mark.parametrize("size", [(100, INNER), (101, INNER - 1), (40, 50)])
def test_a_page_has_even_sides_and_margins_and_all_of_its_body(size):
    body = plain(*size)
    sheet = page(body, title="title " * 60, lines=["line", ""], notes=["note " * 100])
    assert sheet.shape[0] % 2 == sheet.shape[1] % 2 == 0
    assert sheet.shape[1] <= WIDTH
    for edge in (sheet[:MARGIN], sheet[-MARGIN:], sheet[:, :MARGIN], sheet[:, -MARGIN:]):
        assert (edge == 255).all()
    assert (sheet == 90).all(2).sum() >= size[0] * size[1]
    warned = page(body, title="t", warnings=["beware", ""])
    assert not (sheet == ALARM).all(2).any()
    assert (warned == ALARM).all(2).sum() > 50


def test_frames_and_sizes():
    picture = plain(20, 30)
    drawn = framed(picture, ALARM, 2)
    assert (picture == 90).all()
    assert (drawn[:2] == ALARM).all()
    assert (drawn[:, -2:] == ALARM).all()
    assert (drawn[2:-2, 2:-2] == 90).all()
    same = scaled(picture, 30, 20)
    assert np.array_equal(same, picture)
    assert not np.shares_memory(same, picture)
    assert scaled(picture, 60, 10).shape == (10, 60, 3)


def test_kinds():
    assert picture_kind("a/b.PNG") == "png"
    assert picture_kind(Path("x.mp4")) == "mp4"
    for name in ("x.gif", "x", "png", ".mp4", "x.png.txt"):
        with pytest.raises(SettingsError, match=r"\.png"):
            picture_kind(name)


def test_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    picture = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    target = tmp_path / "new/folder/x.png"
    save_png(picture, target)
    assert np.array_equal(read_png(target), picture)
    (tmp_path / "dir.png").mkdir()
    with pytest.raises(MofoError, match=r"dir\.png"):
        save_png(picture, tmp_path / "dir.png")
    with pytest.raises(MofoError, match=r"x\.png: .*file"):
        make_folder(target / "y.png")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        save_png(picture, target)
    monkeypatch.undo()
    assert np.array_equal(read_png(target), picture)
    assert sorted(entry.name for entry in target.parent.iterdir()) == ["x.png"]
