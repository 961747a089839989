import numpy as np
import pytest

from mofo.report import lettering
from mofo.report.lettering import text_block

TEXTS = [
    "",
    "one",
    "Reconstruction: the pattern of a hidden patch is predicted, and more of that.",
    "/a/very/long/path/without/any/space/that/no/line/of/the/block/can/hold/at/once.mp4",
    "two\nlines and a third one\n\nafter an empty one",
    "Ünï · 1,000 → 2 %  видео",
    "bytes \udcff that are no letters",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [70, 200, 1000])
def test_nothing_is_cut_off(text, width):
    font = lettering._font(16, False)
    clean = text.encode("utf-8", "backslashreplace").decode()
    lines = [line for part in clean.split("\n") for line in lettering._broken(part, width, font)]
    assert "".join(lines).replace(" ", "") == clean.replace("\n", "").replace(" ", "")
    assert max(map(font.getlength, lines)) <= width
    block = text_block(text, width)
    assert block.shape[1:] == (width, 3)
    assert len(block) >= 16 * len(lines)
    # Letters end before the borders; below, there is room for those that hang down.
    for edge in (block[0], block[-1]):
        assert (edge > 200).all()


def test_colours_size_and_height():
    block = text_block("text", 100, colour=(200, 0, 0), paper=(10, 20, 30), height=90)
    assert block.shape == (90, 100, 3)
    assert (block[0] == (10, 20, 30)).all()
    inked = (block != (10, 20, 30)).any(2)
    rows = np.flatnonzero(inked.any(1))
    assert abs((rows[0] + rows[-1]) / 2 - 45) < 6  # in the middle
    assert (block == (200, 0, 0)).all(2).any()
    assert len(text_block("a\nb\nc", 100, height=10)) > 30  # never less than the lines take
    assert text_block("text", 100, size=30).shape > text_block("text", 100, size=10).shape
    bold, plain = (text_block("text", 100, bold=bold).sum() for bold in (True, False))
    assert bold < plain


def test_a_block_that_is_shared_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        text_block("text", 100)[:] = 0
