import numpy as np
import pytest

from helpers.shown import frames_of, read_png
from mofo.motion.presets import DetectSettings
from mofo.report.figures.stages import flow_picture, write_stages
from mofo.types import VideoError
from mofo.video.writer import VideoWriter


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_video_has_all_frames_side_by_side(tmp_path, video, preset):
    settings = DetectSettings(preset=preset, flow="dis", short_side=96)
    area = write_stages(video, settings, tmp_path / "new/x.mp4")
    frames = frames_of(tmp_path / "new/x.mp4")
    assert len(frames) == len(area) == 24
    assert frames[0].shape[1] == 1400
    # Four panels: the first is the frame, the last one the frame with motion in orange.
    picture = frames[12]
    tops = np.flatnonzero((picture[:, 40] < 250).any(1))
    body = picture[tops[-1] - 150 : tops[-1] - 20]
    panels = [body[:, 24 + k * 340 : 24 + k * 340 + 332].astype(int) for k in range(4)]
    orange = np.abs(panels[3] - (255, 140, 0)).sum(2) < 120
    assert orange.any()
    redder = (panels[3][..., 0] - panels[3][..., 2]) - (panels[0][..., 0] - panels[0][..., 2])
    assert np.percentile(redder, 1) > -30
    assert np.corrcoef(panels[0][..., 1].ravel(), panels[3][..., 1].ravel())[0, 1] > 0.5
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(panels[one] - panels[other]).mean() > 20


def test_portrait_and_one_frame(tmp_path):
    for name, count, size in (("tall.mp4", 5, (160, 48, 3)), ("one.mp4", 1, (48, 64, 3))):
        rng = np.random.default_rng(0)
        with VideoWriter(tmp_path / name) as writer:
            for _ in range(count):
                writer.write(rng.integers(0, 255, size, dtype=np.uint8))
        write_stages(tmp_path / name, DetectSettings(), tmp_path / "x.mp4")
        frames = frames_of(tmp_path / "x.mp4")
        assert len(frames) == count
        assert frames[0].shape[0] < 720


@pytest.mark.parametrize(("width", "height"), [(128, 96), (48, 160)])
def test_a_picture_has_a_row_for_each_moment(tmp_path, width, height):
    rng = np.random.default_rng(0)
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for _ in range(12):
            writer.write(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    heights = []
    for frames in ([3], [3, 9], [3, 9, 99]):
        area = write_stages(tmp_path / "a.mp4", DetectSettings(), tmp_path / "x.png", frames=frames)
        sheet = read_png(tmp_path / "x.png")
        assert len(area) == 12
        assert 800 < sheet.shape[1] <= 1400
        heights.append(len(sheet))
    assert heights[1] - heights[0] > 200
    assert heights[2] == heights[1]  # there is no such frame


def test_flow_colours_can_be_held(tmp_path):
    flow = np.zeros((20, 30, 2), np.float32)
    flow[5:10, 5:10] = (3, 4)
    alone, held = (flow_picture(flow, (30, 20), full).astype(int) for full in (0.0, 50.0))
    assert np.ptp(alone[7, 7]) == 255
    assert 0 < np.ptp(held[7, 7]) < 40
    assert (alone[0, 0] == 255).all()


def test_not_a_video(tmp_path):
    (tmp_path / "x.mp4").write_text("text")
    with pytest.raises(VideoError, match="not a video"):
        write_stages(tmp_path / "x.mp4", DetectSettings(), tmp_path / "y.mp4")
    assert not (tmp_path / "y.mp4").exists()
