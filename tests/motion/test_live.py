"""A video without end: areas come soon, and are about those of the whole video."""

from __future__ import annotations

import numpy as np
import pytest

import mofo
from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.types import SettingsError, VideoError


@pytest.fixture(scope="module")
def frames_THWC():
    recipe = ClipRecipe(seed=5, area=(0.05, 0.1), frames=60, width=128, height=96)
    return make_clip(recipe).video_THW3


class Counted:
    """Frames, and how many of them were taken."""

    def __init__(self, frames):
        self.frames, self.taken = frames, 0

    def __iter__(self):
        for frame in self.frames:
            self.taken += 1
            yield frame


@pytest.mark.parametrize("delay", [4, 11, 16])
def test_an_area_waits_for_no_more_frames_than_were_allowed(frames_THWC, delay):
    source, latest = Counted(frames_THWC), 0
    for number, (picture_HW3, area) in enumerate(mofo.stream(source, delay=delay, fps=10)):
        assert area.frame == number
        assert area.time == pytest.approx(number / 10)
        np.testing.assert_array_equal(picture_HW3, frames_THWC[number])
        latest = max(latest, source.taken - 1 - number)
    assert number == len(frames_THWC) - 1
    assert 0 < latest <= delay


def test_the_areas_are_about_those_of_the_whole_video(frames_THWC):
    whole = mofo.detect(frames_THWC)
    soon = [area for _, area in mofo.stream(frames_THWC)]
    valid_T = np.array([area.valid for area in soon])
    assert (valid_T == whole.valid_T).mean() > 0.8
    both_T = valid_T & whole.valid_T
    gap_T4 = np.abs(np.stack([area.box_4 for area in soon]) - whole.box_T4)[both_T]
    assert np.median(gap_T4) < 2  # pixels
    assert soon[9].field_yx.shape == whole[9].field_yx.shape


def test_a_file_by_its_address(tmp_path):
    recipe = ClipRecipe(seed=5, frames=12, width=96, height=64, fps=10)
    write_clip(make_clip(recipe), tmp_path / "clip.mp4")
    areas = [area for _, area in mofo.stream(str(tmp_path / "clip.mp4"))]
    assert [area.time for area in areas] == pytest.approx([t / 10 for t in range(12)])


@pytest.mark.parametrize("source", [99, "rtsp://127.0.0.1:9/none", "absent.mp4", []])
def test_what_cannot_be_opened_is_told_in_a_line(source):
    with pytest.raises(VideoError) as told:
        mofo.stream(source)
    assert "\n" not in str(told.value)


def test_impossible_wishes(frames_THWC):
    for wish in ({"delay": 3}, {"flow": "codec"}, {"flow": "nothing"}):
        with pytest.raises(SettingsError):
            mofo.stream(frames_THWC, **wish)
