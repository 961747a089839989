"""What people have in hand as a video is detected as the file that holds the same frames."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import mofo
from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.types import MofoError, SettingsError, VideoError
from mofo.video.inputs import file_input
from mofo.video.reader import VideoReader


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    recipe = ClipRecipe(seed=3, area=(0.05, 0.1), frames=20, width=128, height=96)
    path = tmp_path_factory.mktemp("input") / "clip.mp4"
    write_clip(make_clip(recipe), path)
    return path


@pytest.fixture(scope="module")
def area(file):
    return mofo.detect(file)


@pytest.fixture(scope="module")
def frames_THWC(file):
    with VideoReader(file, colour="rgb") as reader:
        return np.stack([frame.image for frame in reader])


class Decoder:
    """As torchcodec's ``VideoDecoder``: tensors (C, H, W) by number, with their times."""

    def __init__(self, frames_THWC, times):
        self._frames, self._times = torch.from_numpy(frames_THWC).permute(0, 3, 1, 2), times
        self.metadata = SimpleNamespace(average_fps=12.5)

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, index):
        return self._frames[index]

    def get_frame_at(self, index):
        return SimpleNamespace(data=self._frames[index], pts_seconds=self._times[index])


FORMS = {
    "numpy": lambda frames: frames,
    "torch": lambda frames: torch.from_numpy(frames).permute(0, 3, 1, 2),
    "pil": lambda frames: [Image.fromarray(frame) for frame in frames],
    "list": list,
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_in_memory_give_the_area_of_their_file(form, frames_THWC, area):
    found = mofo.detect(FORMS[form](frames_THWC), fps=25)
    assert (found.width, found.height, len(found)) == (area.width, area.height, len(area))
    np.testing.assert_allclose(found.time_T, area.time_T, atol=1e-4)
    assert (found.valid_T == area.valid_T).mean() > 0.9
    both_T = found.valid_T & area.valid_T
    assert both_T.any()
    assert np.abs(found.box_T4 - area.box_T4)[both_T].mean() < 2  # pixels
    assert mofo.detect(FORMS[form](frames_THWC)).time_T[5] == pytest.approx(5 / 25)


def test_bytes_and_open_files_give_the_area_of_their_file(file, area):
    with file.open("rb") as opened:
        areas = mofo.detect(opened), mofo.detect(file.read_bytes())
    for found in areas:
        np.testing.assert_array_equal(found.box_T4, area.box_T4)
        np.testing.assert_array_equal(found.field_Tyx, area.field_Tyx)


def test_a_decoder_says_its_own_times(frames_THWC):
    times = np.arange(len(frames_THWC)) / 12.5 + 3
    found = mofo.detect(Decoder(frames_THWC, times))
    np.testing.assert_allclose(found.time_T, times, atol=1e-4)


def test_grey_frames_and_a_flow_that_needs_a_file(frames_THWC):
    found = mofo.detect(frames_THWC[..., 1], flow="codec")
    assert found.flow == "dis"
    assert len(found.warnings) == 1


def test_a_list_of_paths_gives_an_area_each(file, area):
    found = mofo.detect([file.parent])
    assert list(found) == ["clip.mp4"]
    np.testing.assert_array_equal(found["clip.mp4"].box_T4, area.box_T4)
    with pytest.raises(MofoError, match="absent"):
        mofo.detect([file, file.with_name("absent.mp4")])


def test_a_folder_is_told_to_be_a_list(file):
    with pytest.raises(VideoError, match=r"detect\(\["):
        mofo.detect(file.parent)


def test_frames_as_a_file_lose_little(frames_THWC):
    with file_input(frames_THWC, fps=10) as path, VideoReader(path, colour="rgb") as reader:
        written_THWC = np.stack([frame.image for frame in reader])
        assert reader.info.fps == pytest.approx(10)
    assert np.abs(written_THWC.astype(int) - frames_THWC).mean() < 1


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (b"no video", VideoError),
        ([], VideoError),
        (np.zeros((0, 8, 8, 3), np.uint8), VideoError),
        (3, SettingsError),
        (iter([np.zeros((8, 8, 3), np.uint8)]), SettingsError),
        (np.zeros((4, 8, 8, 3), np.float32), SettingsError),
        (np.zeros((4, 8, 8, 5), np.uint8), SettingsError),
        (["a.mp4"], MofoError),
    ],
)
def test_what_is_no_video_is_told_in_a_line(source, kind):
    with pytest.raises(kind) as told:
        mofo.detect(source)
    assert "\n" not in str(told.value)
    assert "mofo-" not in str(told.value)  # the temporary file
