import numpy as np
import pytest

from mofo.clips.labels import LabelError, LabelTable, labelled
from mofo.datasets.video import Video


def video(name: str, *labels: tuple[str, str]) -> Video:
    return Video(f"/videos/{name}.mp4", f"{name}.mp4", labels)


def test_classes_are_sorted_as_people_sort() -> None:
    rows = [
        video(str(i), ("label", name)) for i, name in enumerate(("10", "9", "push 10", "push 9"))
    ]
    table = LabelTable.of(rows)
    assert table.classes == {"label": ("9", "10", "push 9", "push 10")}
    assert table.number_V().tolist() == [1, 0, 3, 2]
    assert table.counts().tolist() == [1, 1, 1, 1]


def test_given_classes_keep_their_order_and_may_have_no_video() -> None:
    table = LabelTable.of([video("a", ("label", "x"))], classes={"label": ("z", "y", "x")})
    assert table.number_V().tolist() == [2]
    assert table.counts().tolist() == [0, 0, 1]


def test_several_heads_and_several_classes() -> None:
    rows = [
        video("a", ("verb", "cut"), ("noun", "onion")),
        video("b", ("verb", "wash"), ("noun", "knife"), ("noun", "onion")),
    ]
    table = LabelTable.of(rows, ("verb", "noun"), several=True)
    assert table.numbers == {"verb": ((0,), (1,)), "noun": ((1,), (0, 1))}
    np.testing.assert_array_equal(table.target_BC("noun", [1, 0]), [[1, 1], [0, 1]])
    with pytest.raises(LabelError, match=r"b\.mp4: several classes of 'noun'"):
        LabelTable.of(rows, ("verb", "noun"))


def test_videos_without_labels_are_told_apart() -> None:
    rows = [video("a", ("verb", "cut")), video("b", ("noun", "onion"), ("verb", "cut"))]
    kept, others = labelled(rows, ("verb", "noun"))
    assert kept == (rows[1],)
    assert others == (("/videos/a.mp4", "has no noun"),)
    with pytest.raises(LabelError, match=r"a\.mp4: no noun"):
        LabelTable.of(rows, ("noun",))


def test_unknown_classes_are_named() -> None:
    rows = [video(name, ("label", name)) for name in "abc"]
    with pytest.raises(
        LabelError, match=r"b\.mp4 and 1 more videos: label 'b' and 1 other classes"
    ):
        LabelTable.of(rows, classes={"label": ("a",)})
    with pytest.raises(LabelError, match="'a' twice"):
        LabelTable.of(rows[:1], classes={"label": ("a", "a")})
