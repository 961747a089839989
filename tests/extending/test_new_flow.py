"""A flow backend and a preset from outside of the package, through the command line."""

import numpy as np
import pytest

from mofo import cli
from mofo.motion.flow.backend import FLOWS, PictureFlow
from mofo.motion.presets import PRESETS, FrameMotion, Preset
from mofo.motion.store import AreaStore
from mofo.video.writer import VideoWriter


@FLOWS.register("difference")
class DifferenceFlow(PictureFlow):
    """Not a flow: as much to the right as the grey level has changed."""

    line = "grey levels' change"
    speed = 0.1

    def between(self, first, second):
        changes = [np.abs(b.astype(np.float32) - a) for a, b in zip(first, second, strict=True)]
        return [np.stack([change, np.zeros_like(change)], -1) for change in changes]


@PRESETS.register("anything")
class AnythingPreset(Preset):
    """One box around every pixel that has flow; the field is its share of each cell."""

    line = "whatever has flow"
    flow = "difference"

    def find(self, stream, watch):
        for frame in stream:
            if frame.flow_hw2 is None or not (moving_hw := frame.flow_hw2[..., 0] > 20).any():
                yield FrameMotion(field_yx=np.zeros((2, 3), np.float32))
                continue
            cells_yx = moving_hw.reshape(2, 32, 3, 32).mean((1, 3))
            rows, columns = (np.flatnonzero(moving_hw.any(axis)) for axis in (1, 0))
            box_4 = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            yield FrameMotion(np.array([box_4], np.float32), cells_yx)


@pytest.fixture
def videos(tmp_path):
    (tmp_path / "videos").mkdir()
    for number in range(2):
        with VideoWriter(tmp_path / "videos" / f"{number}.mp4", crf=4) as video:
            for t in range(8):
                frame_HW = np.full((64, 96), 60, np.uint8)
                frame_HW[20:40, 10 + 4 * t : 30 + 4 * t] = 200
                video.write(frame_HW)
    return tmp_path / "videos"


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("words", [["--preset", "anything"], ["--flow", "difference"]])
def test_a_new_flow_and_a_new_preset_detect(videos, tmp_path, capsys, words, workers):
    out = tmp_path / "areas"
    options = [*words, "--workers", workers, "--plugin", __file__]
    assert cli.main(["detect", *map(str, [videos, "--out", out, *options])]) == 0, capsys
    with AreaStore.open(out) as store:
        assert store.settings.flow == "difference"
        areas = [store[key] for key in store]
    assert [area.flow for area in areas] == ["difference"] * 2
    if "--preset" in words:
        for area in areas:
            assert area.valid_T.tolist() == [False] + [True] * 7
            assert area.field_Tyx.shape == (8, 2, 3)
            assert area.field_Tyx[0].max() == 0
            assert area.field_Tyx[1:, 0].max(1).min() > 10
            x1, y1, x2, y2 = area.union()[0]
            assert np.allclose([x1, y1, x2, y2], [10, 20, 58, 40], atol=4)


def test_an_unknown_flow_names_them(videos, tmp_path, capsys):
    words = ["detect", str(videos), "--out", str(tmp_path), "--plugin", __file__]
    assert cli.main([*words, "--flow", "diffrence"]) == 2
    assert "'difference'" in capsys.readouterr().err
