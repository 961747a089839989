from collections import Counter

import pytest

from mofo.datasets.splits import held_out_splits, hold_out
from mofo.datasets.video import Video
from mofo.types import SettingsError


def videos(*rows):
    return [
        Video(f"/v/{name}.mp4", f"{name}.mp4", (("label", label),), split=split, group=group)
        for name, label, split, group in rows
    ]


def test_a_share_of_each_class_is_held_out_and_groups_stay_together():
    rows = [(f"{label}{n}", label, None, f"person{n // 2}") for label in "ab" for n in range(12)]
    made = hold_out(videos(*rows), 0.25, seed=3)
    assert [video.key for video in made] == [f"{row[0]}.mp4" for row in rows]
    held = Counter(video.label for video in made if video.split == "validation")
    assert held == {"a": 4, "b": 4}  # 3 asked for, in pairs
    by_group = Counter((video.group, video.split) for video in made)
    assert len(by_group) == 6
    assert hold_out(videos(*rows), 0.25, seed=3) == made
    assert hold_out(videos(*rows), 0.25, seed=4) != made


def test_no_class_loses_its_last_video():
    made = hold_out(videos(*((f"{n}", "ab"[n == 9], None, None) for n in range(10))), 0.5)
    assert {video.split for video in made if video.label == "b"} == {"train"}
    assert sum(video.split == "validation" for video in made) == 4


@pytest.mark.parametrize(
    ("rows", "share", "fact"),
    [
        ([("a", "x", None, None)], 0.5, "nothing to hold out"),
        ([("a", "x", "test", None), ("b", "x", None, None)], 0.5, "test"),
        ([("a", "x", None, None), ("b", "x", None, None)], 1.5, "1.5"),
    ],
)
def test_what_cannot_be_held_out(rows, share, fact):
    with pytest.raises(SettingsError, match=fact):
        hold_out(videos(*rows), share)


def test_splits_that_nothing_is_learned_from():
    rows = [("a", "x", "train", None), ("b", "x", "test", None), ("c", "x", "validation", None)]
    assert held_out_splits(videos(*rows)) == ["validation", "test"]
    assert held_out_splits(videos(*rows[:2])) == ["test"]
    assert held_out_splits(videos(*rows[:1], ("d", "x", None, None))) == []
    assert held_out_splits([Video("/v/e.mp4", "e.mp4", split="test")]) == []  # no labels there
