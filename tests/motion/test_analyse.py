from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from generated.clips import ClipRecipe, make_clip, write_clip
from helpers.scenes import Waves, disk, iou, shift
from mofo.motion.analyse import analyse
from mofo.motion.flow.backend import analysis_size
from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, VideoError, hull
from mofo.video.writer import VideoWriter

DIS = DetectSettings()
PAPER = DetectSettings(preset="paper", flow="dis")


def write(path, frames, **options):
    with VideoWriter(path, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@lru_cache
def scene(
    frames, *, ground=0, thing=1, start=(60, 70), way=(3, 1), pan=(0, 0), size=(160, 208), radius=26
):
    """A textured disk over a textured ground; grey frames and boxes in the frame."""
    height, width = size
    rng = np.random.default_rng(ground)
    pictures, boxes = [], []
    for t in range(frames):
        picture_HW = Waves(ground).picture(height, width, shift(pan[0] * t, pan[1] * t))
        if thing is not None:
            x, y = start[0] + way[0] * t, start[1] + way[1] * t
            own_HW = Waves(thing).picture(height, width, shift(way[0] * t, way[1] * t))
            picture_HW = np.where(disk(height, width, x, y, radius), own_HW, picture_HW)
            boxes.append(
                np.clip([x - radius, y - radius, x + radius, y + radius], 0, [width, height] * 2)
            )
        noisy_HW = picture_HW + rng.normal(0, 1.5, picture_HW.shape)
        pictures.append(np.clip(noisy_HW + 0.5, 0, 255).astype(np.uint8))
    return pictures, np.array(boxes, float)


def check(area: MotionArea, frames: int, size: tuple[int, int]):
    """What holds for every area, whatever it shows."""
    assert (area.width, area.height) == size
    assert len(area) == len(area.box_T4) == len(area.movers) == frames
    assert area.frame_T.dtype == np.int64
    assert area.time_T.dtype == np.float64
    assert area.box_T4.dtype == np.float32
    assert area.valid_T.dtype == bool
    assert area.box_T4.shape == (frames, 4)
    assert area.frame_T.tolist() == list(range(frames))
    assert (np.diff(area.time_T) > 0).all()
    assert all(0 < cut < frames for cut in area.cuts)
    for box_4, valid, movers_K4 in zip(area.box_T4, area.valid_T, area.movers, strict=True):
        assert movers_K4.dtype == np.float32
        assert movers_K4.shape[1:] == (4,)
        around = hull(movers_K4)
        assert around.valid == valid
        np.testing.assert_array_equal(around.box_4, box_4)
        if valid:
            assert (movers_K4[:, 2:] > movers_K4[:, :2]).all()
            assert (movers_K4 >= 0).all()
            assert (movers_K4 <= [*size, *size]).all()
        else:
            assert (box_4 == 0).all()


def mean_iou(area, boxes_T4, frames=None):
    frames = range(len(boxes_T4)) if frames is None else frames
    return np.mean([iou(area.box_T4[t], boxes_T4[t]) if area.valid_T[t] else 0 for t in frames])


def test_a_mover_on_a_static_camera(tmp_path):
    pictures, boxes_T4 = scene(32)
    area = analyse(write(tmp_path / "a.mp4", pictures), DIS)
    check(area, 32, (208, 160))
    assert area.flow == "dis"
    assert area.cuts == ()
    assert area.warnings == ()
    assert area.valid_T.all()
    assert mean_iou(area, boxes_T4) > 0.7


def test_a_mover_on_a_moving_camera(tmp_path):
    pictures, boxes_T4 = scene(32, pan=(-2, 1), way=(2, 1))
    area = analyse(write(tmp_path / "a.mp4", pictures), DIS)
    check(area, 32, (208, 160))
    assert area.cuts == ()
    assert mean_iou(area, boxes_T4) > 0.6


@pytest.mark.parametrize("seed", [1, 2])
def test_generated_clips(tmp_path, seed):
    recipe = ClipRecipe(seed=seed, frames=32, area=(0.05, 0.2), split="tune")
    clip = make_clip(recipe)
    area = analyse(write_clip(clip, tmp_path / "clip.mp4"), DIS)
    check(area, 32, (320, 240))
    truth = [hull(boxes_K4) for boxes_K4 in clip.boxes()]
    found = [iou(area.box_T4[t], truth[t].box_4) for t in range(32) if truth[t].valid]
    assert len(found) > 20
    assert np.mean(found) > 0.7


def test_two_movers_are_two_boxes(tmp_path):
    one, boxes_T4 = scene(30, start=(35, 40), way=(2, 1), radius=20)
    other, more_T4 = scene(30, thing=3, start=(175, 120), way=(-2, -1), radius=20)
    where = [disk(160, 208, 175 - 2 * t, 120 - t, 20) for t in range(30)]
    pictures = [np.where(w, b, a) for w, a, b in zip(where, one, other, strict=True)]
    area = analyse(write(tmp_path / "a.mp4", pictures), DIS)
    check(area, 30, (208, 160))
    assert np.median([len(movers_K4) for movers_K4 in area.movers[:15]]) == 2
    both_T4 = np.concatenate(
        [np.minimum(boxes_T4[:, :2], more_T4[:, :2]), np.maximum(boxes_T4[:, 2:], more_T4[:, 2:])],
        1,
    )
    assert mean_iou(area, both_T4) > 0.7


def test_a_static_scene_has_no_motion(tmp_path):
    area = analyse(
        write_clip(
            make_clip(ClipRecipe(seed=7, movers=0, frames=30, width=240, height=180)),
            tmp_path / "a.mp4",
        ),
        DIS,
    )
    check(area, 30, (240, 180))
    assert not area.valid_T.any()
    assert area.union().valid is False


@pytest.mark.parametrize("pan", [(3, 0), (-1.5, 2.25)])
def test_a_pan_is_not_motion(tmp_path, pan):
    pictures, _ = scene(30, thing=None, pan=pan)
    area = analyse(write(tmp_path / "a.mp4", pictures), DIS)
    check(area, 30, (208, 160))
    assert area.valid_T.mean() <= 0.1


@pytest.mark.parametrize("camera", ["pan", "zoom", "rotate"])
def test_a_moving_camera_over_a_photograph_is_hardly_motion(tmp_path, camera):
    clip = make_clip(
        ClipRecipe(seed=3, camera=camera, movers=0, frames=30, width=240, height=180, split="tune")
    )
    area = analyse(write_clip(clip, tmp_path / "a.mp4"), DIS)
    share_T = np.prod(area.box_T4[:, 2:] - area.box_T4[:, :2], axis=1) / (240 * 180)
    assert share_T.mean() < 0.05


def two_shots(tmp_path):
    first, boxes_T4 = scene(24, start=(40, 60), radius=22, way=(2, 1))
    second, more_T4 = scene(24, ground=5, thing=6, start=(160, 110), way=(-2, -1), radius=22)
    return write(tmp_path / "cut.mp4", first + second), np.concatenate([boxes_T4, more_T4])


def test_areas_do_not_leak_over_a_cut(tmp_path):
    path, boxes_T4 = two_shots(tmp_path)
    area = analyse(path, DIS)
    check(area, 48, (208, 160))
    assert area.cuts == (24,)
    assert mean_iou(area, boxes_T4) > 0.7
    # The frames right at the cut are judged within their own shot.
    for t in (22, 23, 24, 25):
        assert area.valid_T[t]
        assert iou(area.box_T4[t], boxes_T4[t]) > 0.5
        other = boxes_T4[24] if t < 24 else boxes_T4[23]
        assert iou(area.box_T4[t], other) < 0.3


def test_a_cut_between_still_shots_is_no_motion(tmp_path):
    first, second = scene(12, thing=None)[0], scene(12, ground=5, thing=None)[0]
    area = analyse(write(tmp_path / "cut.mp4", first + second), DIS)
    assert area.cuts == (12,)
    assert not area.valid_T.any()


def test_motion_in_one_shot_only(tmp_path):
    first, _ = scene(24)
    second, _ = scene(24, ground=5, thing=None)
    area = analyse(write(tmp_path / "cut.mp4", first + second), DIS)
    assert area.valid_T[:24].all()
    assert not area.valid_T[24:].any()


def test_codec_sees_a_cut_and_passes_other_key_frames(tmp_path):
    path, boxes_T4 = two_shots(tmp_path)
    area = analyse(path, DetectSettings(flow="codec"))
    check(area, 48, (208, 160))
    assert area.flow == "codec"
    assert area.cuts == (24,)
    assert mean_iou(area, boxes_T4) > 0.6
    pictures, boxes_T4 = scene(32)
    area = analyse(write(tmp_path / "gop.mp4", pictures, gop=8), DetectSettings(flow="codec"))
    assert area.cuts == ()
    assert mean_iou(area, boxes_T4) > 0.6


def test_portrait(tmp_path):
    pictures, boxes_T4 = scene(24, size=(288, 162), start=(60, 90))
    area = analyse(write(tmp_path / "a.mp4", pictures), DIS)
    check(area, 24, (162, 288))
    assert mean_iou(area, boxes_T4) > 0.7


def test_boxes_are_in_pixels_of_the_full_frame(tmp_path):
    pictures, boxes_T4 = scene(20)
    large = [np.repeat(np.repeat(picture, 3, 0), 3, 1) for picture in pictures]
    area = analyse(write(tmp_path / "a.mp4", large), DetectSettings(short_side=160))
    check(area, 20, (624, 480))
    assert mean_iou(area, 3 * boxes_T4) > 0.7


ALL = [
    (preset, flow)
    for preset in ("default", "paper")
    for flow in ("dis", "farneback", "tvl1", "codec")
]


@pytest.mark.parametrize(("preset", "flow"), ALL)
def test_every_combination_is_well_formed_and_repeatable(tmp_path, preset, flow):
    pictures, _ = scene(14, size=(64, 80), start=(25, 25), way=(2, 1), radius=14)
    path = write(tmp_path / "a.mp4", pictures, bframes=0)
    settings = DetectSettings(preset=preset, flow=flow)
    area, again = analyse(path, settings), analyse(path, settings)
    check(area, 14, (80, 64))
    assert area.flow == flow
    assert area.warnings == ()
    for name in ("frame_T", "time_T", "box_T4", "valid_T"):
        np.testing.assert_array_equal(getattr(area, name), getattr(again, name))
    assert area.cuts == again.cuts
    if preset == "paper":
        assert area.valid_T.all()  # the recipe knows no "nothing moves"
    if flow in ("dis", "tvl1"):
        assert iou(area.union().box_4, np.array([11, 11, 65, 52])) > 0.3


@pytest.mark.parametrize(("preset", "flow"), ALL)
@pytest.mark.parametrize(
    ("width", "height", "frames"), [(7, 5, 6), (80, 64, 1), (7, 5, 1), (33, 300, 3)]
)
def test_odd_videos(tmp_path, preset, flow, width, height, frames):
    if flow == "tvl1" and height == 300:
        pytest.skip("slow, and no other path than that of dis")
    pictures = [Waves(0).picture(height, width, shift(t, 0)) for t in range(frames)]
    path = write(tmp_path / "odd.mp4", pictures, pix_fmt="yuv444p")
    area = analyse(path, DetectSettings(preset=preset, flow=flow))
    check(area, frames, (width, height))
    if preset == "default" and frames == 1:
        assert not area.valid_T.any()
    if preset == "paper" and frames == 1:
        central = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
        np.testing.assert_allclose(area.box_T4[0], central, atol=0.05 * max(width, height))


@pytest.mark.parametrize("flow", ["dis", "farneback", "codec"])
def test_black_video(tmp_path, flow):
    path = write(tmp_path / "black.mp4", [np.zeros((96, 128), np.uint8)] * 20)
    area = analyse(path, DetectSettings(flow=flow))
    check(area, 20, (128, 96))
    assert not area.valid_T.any()
    area = analyse(path, DetectSettings(preset="paper", flow=flow))
    check(area, 20, (128, 96))
    np.testing.assert_allclose(area.box_T4, [[32, 24, 96, 72]] * 20, atol=1)


@pytest.mark.parametrize("settings", [DIS, PAPER, DetectSettings(flow="codec")], ids=str)
def test_a_truncated_file_gives_its_good_frames(tmp_path, settings):
    pictures, boxes_T4 = scene(40)
    whole = write(tmp_path / "whole.mp4", pictures, gop=20)
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(len(data) * 0.6)])
    area = analyse(cut, settings)
    assert 8 < len(area) < 40
    check(area, len(area), (208, 160))
    assert len(area.warnings) >= 1
    if settings is DIS:
        assert mean_iou(area, boxes_T4[: len(area)], range(len(area) - 2)) > 0.65


def test_what_is_no_video(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 30)
    for settings in (DIS, PAPER, DetectSettings(flow="codec")):
        with pytest.raises(VideoError, match=r"text\.mp4"):
            analyse(text, settings)


@pytest.mark.parametrize("flow", ["dis", "codec"])
@pytest.mark.parametrize("frames", [1, 31, 32, 33, 70])
def test_progress_adds_up(tmp_path, flow, frames):
    pictures = [Waves(0).picture(48, 64, shift(t, 0)) for t in range(frames)]
    path = write(tmp_path / "a.mp4", pictures)
    done = []
    analyse(path, DetectSettings(flow=flow), progress=done.append)
    assert sum(done) == frames


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [
        ((1920, 1080), 240, (424, 240)),
        ((320, 240), 240, (320, 240)),
        ((240, 320), 240, (240, 320)),
        ((176, 144), 240, (176, 144)),
        ((7, 5), 240, (44, 32)),
        ((2, 2), 240, (32, 32)),
    ],
)
def test_analysis_size(size, short, expected):
    assert analysis_size(*size, short) == expected


def test_a_web_video_is_read_as_well(tmp_path: Path):
    pictures, boxes_T4 = scene(24)
    area = analyse(write(tmp_path / "a.webm", pictures), DIS)
    check(area, 24, (208, 160))
    assert mean_iou(area, boxes_T4) > 0.65
