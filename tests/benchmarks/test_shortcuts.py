import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load():
    spec = importlib.util.spec_from_file_location("shortcuts", BENCHMARKS / "shortcuts.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["shortcuts"] = module
    spec.loader.exec_module(module)
    return module


shortcuts = load()
METHODS, LabelledClips = shortcuts.METHODS, shortcuts.LabelledClips
frames_of_pairs, single_frame = shortcuts.frames_of_pairs, shortcuts.single_frame
union_boxes = shortcuts.union_boxes

CLIPS, FRAMES = 180, 4


def clips_of(rng, level_VT, label_V):
    """Clips of noise, whose left half is as bright in each frame as ``level_VT`` says."""
    video = rng.normal(100, 10, (CLIPS, FRAMES, 32, 32, 3))
    video[:, :, :, :16] += level_VT[:, :, None, None, None]
    return LabelledClips(
        np.clip(video, 0, 255).astype(np.uint8), label_V, np.arange(CLIPS) % 3 != 0
    )


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_finds_what_a_single_frame_tells(rng):
    label_V = rng.integers(0, 2, CLIPS)
    level_VT = np.zeros((CLIPS, FRAMES))
    level_VT[:, 0] = 40 * label_V  # only the first frame tells
    clips = clips_of(rng, level_VT, label_V)
    for control in single_frame(clips, 0, "first frame", "two"):
        assert control.accuracy.mean > 0.9, control
        assert not control.at_chance
    for control in single_frame(clips, 3, "last frame", "two"):
        assert control.at_chance, control
        assert control.accuracy.low < 0.5 < control.accuracy.high
        assert control.clips == 60


def test_order_is_seen_only_where_it_may_be(rng):
    label_V = rng.integers(0, 2, CLIPS)
    rising_T = np.linspace(0, 60, FRAMES)
    level_VT = np.where(label_V[:, None] == 1, rising_T, rising_T[::-1])
    clips = clips_of(rng, level_VT, label_V)
    shuffled = frames_of_pairs(clips, [(0, 1)], ("falls", "rises"), ordered=False)
    assert {control.method for control in shuffled} == set(METHODS)
    for control in shuffled:
        assert control.accuracy.mean < 0.63, control
    for control in frames_of_pairs(clips, [(0, 1)], ("falls", "rises"), ordered=True):
        assert control.accuracy.low > 0.8, control


def test_union_boxes(rng):
    label_V = rng.integers(0, 2, CLIPS)
    train_V = np.arange(CLIPS) % 2 == 0
    box_V4 = np.tile([0.2, 0.2, 0.8, 0.8], (CLIPS, 1)) + rng.normal(0, 0.02, (CLIPS, 4))
    names = ("a", "b")
    for control in union_boxes(box_V4, label_V, train_V, [(0, 1)], names):
        assert control.at_chance
    box_V4[:, 0] += 0.2 * label_V
    pair, pairs, every = union_boxes(box_V4, label_V, train_V, [(0, 1)], names)
    assert (pair.classes, pairs.classes, every.classes) == ("a / b", "all pairs", "all classes")
    assert pair.accuracy.low > 0.9


def test_classes_weigh_the_same(rng):
    """Always the commoner class: half right, not nine tenths."""
    label_V = (np.arange(CLIPS) % 10 == 0).astype(np.int64)
    clips = clips_of(rng, np.zeros((CLIPS, FRAMES)), label_V)
    (control,) = single_frame(clips, 0, "first frame", "two", methods=["linear"])
    assert control.accuracy.mean < 0.65
