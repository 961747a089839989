import cv2
import numpy as np
import pytest

from mofo.evaluation.measures import Sample
from mofo.evaluation.recognition import recognise, recognise_several
from mofo.evaluation.results import Results
from mofo.report.figures.confusion import write_class_chart, write_confusion
from mofo.report.results_table import results_table
from mofo.types import MofoError


def recognition(classes, videos=60, several=False):
    rng = np.random.default_rng(classes)
    # names with what text layout stumbles over
    names = ["$a_b^c$ {x}", "Putting [something] very slowly behind [something else]\nthere"]
    names = [*names, *(f"class {number}" for number in range(2, classes))][:classes]
    label_V = rng.integers(0, max(classes - 1, 1), videos)  # none of the last class
    score_VC = rng.random((videos, classes))
    score_VC[np.arange(videos), label_V] += 0.3
    sample = Sample([str(video) for video in range(videos)], draws=2)
    if several:
        return recognise_several(score_VC, np.eye(classes)[label_V], names, sample)
    return recognise(score_VC, label_V, names, sample)


def picture(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("classes", [1, 5, 26, 97])
@pytest.mark.parametrize("write", [write_confusion, write_class_chart])
def test_charts_are_see_through_and_as_large_as_their_classes_need(tmp_path, write, classes):
    path = tmp_path / "new" / "chart.png"
    write(recognition(classes), path, title="a $ b")
    image_HW4 = picture(path)
    assert image_HW4.shape[2] == 4
    assert (image_HW4[0, :, 3] == 0).all()  # the paper
    assert (image_HW4[..., 3] == 255).any()
    height = image_HW4.shape[0]
    assert height > 20 * classes  # 20 pixels a line of text and more
    assert height < 2700
    assert [file.name for file in path.parent.iterdir()] == ["chart.png"]


def test_cells_are_where_they_belong(tmp_path):
    """All of class 0 are taken for class 1 and the other way round: dark off the diagonal."""
    score_VC = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    sample = Sample(list("abc"), draws=1)
    write_confusion(recognise(score_VC, np.arange(3), list("xyz"), sample), tmp_path / "c.png")
    blue_HW, opaque_HW = picture(tmp_path / "c.png")[..., 0], picture(tmp_path / "c.png")[..., 3]
    rows, columns = np.nonzero(opaque_HW == 255)
    dark_HW = (blue_HW < 100) & (opaque_HW == 255)
    # The matrix is the widest block of opaque pixels; the bar of colours stands right of it.
    across = (opaque_HW == 255).sum(0) > 0.4 * (np.ptp(rows) + 1)
    left, wide = columns.min(), 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], across.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start > wide:
            left, wide = start, stop - start
    inside = opaque_HW[:, left + 3 : left + wide - 3].min(1) == 255
    top, bottom = np.flatnonzero(inside)[[0, -1]]
    cells = [
        [
            dark_HW[int(top + (r + 0.15) * (bottom - top) / 3), int(left + (c + 0.15) * wide / 3)]
            for c in range(3)
        ]
        for r in range(3)
    ]
    assert cells == [[False, True, False], [True, False, False], [False, False, True]]


def test_too_many_classes_are_cut_to_the_most_frequent(tmp_path):
    many, few = recognition(200, videos=300), tmp_path / "few.png"
    write_confusion(many, few, max_classes=30)
    write_class_chart(many, tmp_path / "bars.png", max_classes=30)
    assert picture(few).shape[0] < 1200
    assert picture(tmp_path / "bars.png").shape[0] < 1000


def test_several_classes_a_video_have_a_chart_but_no_confusion(tmp_path):
    result = recognition(6, several=True)
    write_class_chart(result, tmp_path / "bars.png")
    assert picture(tmp_path / "bars.png").shape[2] == 4
    with pytest.raises(MofoError, match="no confusion to draw"):
        write_confusion(result, tmp_path / "confusion.png")


def test_what_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MofoError, match="cannot be written"):
        write_confusion(recognition(3), tmp_path / "file" / "chart.png")


def test_names_that_a_terminal_would_obey_are_printed_harmlessly():
    label_V = np.arange(4) % 2
    sample = Sample(list("abcd"), draws=2)
    result = recognise(np.eye(2)[label_V], label_V, ["\x1b[2Jgone", "b"], sample)
    text = results_table(Results({"label": result}, 1, {"data": "a\x1b]0;x\x07.csv"}))
    assert "[2Jgone" in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)
