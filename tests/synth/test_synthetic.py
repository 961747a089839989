import os
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from generated.clips import (
    MOVING_SPEED,
    ClipRecipe,
    _Background,
    _Layer,
    make_clip,
    write_clip,
)
from generated.photographs import photographs
from generated.ways import Trajectory, trajectory
from mofo.motion.flow.backend import FLOWS
from mofo.synth.camera_path import CAMERAS, CameraPath, camera_path
from mofo.synth.cutouts import cut_out
from mofo.types import hull
from mofo.video.reader import VideoReader

SMALL = {"width": 160, "height": 120, "frames": 12}


def small(seed=0, **more):
    return ClipRecipe(**({"seed": seed} | SMALL | more))


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_clip_is_a_function_of_its_recipe(camera):
    recipe = small(3, camera=camera, movers=2, pauses=True)
    one, same, other = make_clip(recipe), make_clip(recipe), make_clip(replace(recipe, seed=4))
    for name in ("video_THW3", "label_THW", "moving_TK"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.video_THW3 != other.video_THW3).any()
    assert (one.label_THW != other.label_THW).any()


def test_global_random_state_plays_no_part():
    state = np.random.get_state()  # noqa: NPY002
    one = make_clip(small())
    np.random.random(7)  # noqa: NPY002
    np.testing.assert_array_equal(one.video_THW3, make_clip(small()).video_THW3)
    np.random.set_state(state)  # noqa: NPY002
    make_clip(small())
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_files_are_deterministic_and_readable(tmp_path, suffix):
    recipe = small(5, width=162, height=90, frames=17)
    clip = make_clip(recipe)
    one, same = (write_clip(clip, tmp_path / f"{name}{suffix}") for name in ("a", "b"))
    assert one.read_bytes() == same.read_bytes()
    with VideoReader(one, colour="rgb") as reader:
        images = [frame.image for frame in reader]
        assert reader.warnings == []
        assert reader.info.codec == {".mp4": "h264", ".webm": "vp9"}[suffix]
        assert (reader.info.width, reader.info.height) == (162, 90)
        assert reader.info.fps == pytest.approx(25)
    assert len(images) == 17
    for image_HW3, frame_HW3 in zip(images, clip.video_THW3, strict=True):
        assert np.abs(image_HW3.astype(int) - frame_HW3).mean() < 12


# Writes the same clip with each codec, and twice, as the second time memory is no longer fresh. Its
# width is no multiple of 128 pixels: x264 works on eight 16-pixel blocks at a time.
_WRITE_CLIPS = """
import hashlib, sys
from pathlib import Path
from generated.clips import ClipRecipe, make_clip, write_clip

clip = make_clip(ClipRecipe(seed=7, camera="pan", width=160, height=96, frames=16))
for name in ("a.mp4", "b.mp4", "a.webm"):
    path = write_clip(clip, Path(sys.argv[1]) / name)
    print(name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_files_are_the_same_in_every_process(tmp_path):
    printed = []
    # glibc fills memory that is handed out with this byte, where it would hold anything.
    for i, junk in enumerate(("0", "85", "254")):
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONHASHSEED": str(i),
            "MALLOC_PERTURB_": junk,
            "PADDING": "x" * 5000 * i,
        }
        done = subprocess.run(
            [sys.executable, "-c", _WRITE_CLIPS, tmp_path],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(done.stdout)
    assert printed[0].count("mp4") == 2
    assert printed[0].count("webm") == 1
    assert printed[0].split()[1] == printed[0].split()[3]
    assert printed == printed[:1] * 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("movers", [1, 3])
def test_masks_and_boxes_agree(seed, movers):
    clip = make_clip(small(seed, camera=CAMERAS[seed % 5], movers=movers, pauses=True))
    assert clip.label_THW.shape == (12, 120, 160)
    assert clip.video_THW3.shape == (12, 120, 160, 3)
    assert clip.video_THW3.dtype == clip.label_THW.dtype == np.uint8
    assert clip.label_THW.max() <= movers
    assert clip.moving_TK.shape == (12, movers)
    boxes, mask_THW = clip.boxes(), clip.moving_mask()
    assert mask_THW.dtype == bool
    assert len(boxes) == 12
    for boxes_K4, mask_HW, label_HW, moving_K in zip(
        boxes, mask_THW, clip.label_THW, clip.moving_TK, strict=True
    ):
        seen = [k for k in range(movers) if moving_K[k] and (label_HW == k + 1).any()]
        assert boxes_K4.shape == (len(seen), 4)
        np.testing.assert_array_equal(mask_HW, np.isin(label_HW, np.add(seen, 1)))
        around = hull(boxes_K4)
        assert around.valid == mask_HW.any()
        if around.valid:
            rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
            assert around.box_4.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        for k, (x1, y1, x2, y2) in zip(seen, boxes_K4.astype(int), strict=True):
            own_HW = label_HW == k + 1
            assert own_HW[y1:y2, x1:x2].sum() == own_HW.sum()
            assert own_HW[y1:y2, x1].any()
            assert own_HW[y2 - 1, x1:x2].any()


def test_the_label_is_where_the_cut_out_is_painted():
    recipe = small(11, area=(0.1, 0.1), noise=0.0)
    clip = make_clip(recipe)
    # The first random numbers are the same with and without a mover: so is the background.
    empty = make_clip(replace(recipe, movers=0))
    changed_THW = np.abs(clip.video_THW3.astype(int) - empty.video_THW3).max(-1) > 12
    inside_THW = clip.label_THW > 0
    assert changed_THW[inside_THW].mean() > 0.8
    grown_THW = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((5, 5))) for m in inside_THW]) > 0
    assert changed_THW[~grown_THW].mean() < 0.002


def test_splits_share_no_photograph():
    tune, test, both = photographs("tune"), photographs("test"), photographs("all")
    assert len(tune) >= 3
    assert len(test) >= 3
    assert len(both) == len(tune) + len(test)
    tiny = [
        [
            cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(int)
            for picture in split
        ]
        for split in (tune, test)
    ]
    assert min(np.abs(a - b).mean() for a in tiny[0] for b in tiny[1]) > 5
    assert all(p.dtype == np.uint8 and p.ndim == 3 and p.shape[2] == 3 for p in both)
    with pytest.raises(ValueError, match="read-only"):
        tune[0][0, 0, 0] = 1


def test_clips_of_the_two_splits_differ():
    one, other = (make_clip(small(2, split=split)) for split in ("tune", "test"))
    assert (one.video_THW3 != other.video_THW3).mean() > 0.5


@pytest.mark.parametrize("area", [(0.02, 0.03), (0.08, 0.12), (0.3, 0.4)])
def test_area_is_as_asked(area):
    shares = []
    for seed in range(12):
        clip = make_clip(small(seed, area=area, frames=5))
        shares.append(np.median((clip.label_THW > 0).mean((1, 2))))
    # Movers may be cut by the border of the frame, and grow or shrink a little.
    assert max(shares) < area[1] * 1.1
    assert np.median(shares) > area[0] * 0.8
    assert min(shares) > area[0] * 0.25


def test_pauses_are_frames_without_motion():
    still = [make_clip(small(seed, pauses=True, frames=24)).moving_TK for seed in range(12)]
    assert sum((~moving_TK).any() for moving_TK in still) >= 9
    assert all(moving_TK.any() for moving_TK in still)
    for seed in range(4):
        assert make_clip(small(seed, frames=24)).moving_TK.mean() > 0.9


def test_a_pausing_mover_stands_still_in_the_picture():
    for seed in range(40):
        clip = make_clip(small(seed, pauses=True, frames=24, noise=0.0, area=(0.1, 0.2)))
        quiet = np.flatnonzero(~clip.moving_TK[:, 0])
        if len(quiet) > 3 and (clip.label_THW[quiet[1]] > 0).mean() > 0.05:
            break
    assert (np.diff(quiet) == 1).all()
    labels = clip.label_THW[quiet]
    assert (labels == labels[0]).all()
    assert all(len(clip.boxes()[t]) == 0 for t in quiet)
    moving = np.flatnonzero(clip.moving_TK[:, 0])
    assert (clip.label_THW[moving[0]] != clip.label_THW[moving[-1]]).any()


@pytest.mark.parametrize("camera", CAMERAS)
def test_negatives_have_no_mover(camera):
    clip = make_clip(small(1, camera=camera, movers=0, noise=0.0))
    assert clip.moving_TK.shape == (12, 0)
    assert not clip.label_THW.any()
    assert not clip.moving_mask().any()
    assert all(boxes_K4.shape == (0, 4) for boxes_K4 in clip.boxes())
    # Exposure is never quite steady, but that changes all pixels alike; the camera does not.
    values_TP = clip.video_THW3.reshape(12, -1).astype(float)
    likeness = min(np.corrcoef(values_TP[t], values_TP[t + 6])[0, 1] for t in range(6))
    assert likeness > 0.999 if camera == "static" else likeness < 0.995


def still_path(frames, zoom=1.0):
    return CameraPath(np.zeros((frames, 2)), np.full(frames, zoom), np.zeros(frames))


def layer(way, path):
    rng = np.random.default_rng(0)
    cutout = cut_out(photographs()[0], rng, 32)
    return _Layer(cutout, np.zeros((len(path), 2, 3)), way, path)


def test_moving_by_hand():
    # Still, still, step, step, still ...: a frame counts if there is a step before or after it.
    x = np.array([0, 0, 0, 1, 2, 2, 2, 2, 2.1]) * 0.01
    way = Trajectory(np.stack([x, 0 * x], 1), np.zeros(9), np.full(9, 0.3))
    moving_T = layer(way, still_path(9)).moving()
    assert moving_T.tolist() == [False, False, True, True, True, False, False, True, True]


@pytest.mark.parametrize(("factor", "moves"), [(0.9, False), (1.1, True)])
def test_moving_needs_a_fifth_of_a_pixel(factor, moves):
    x = np.arange(5) * MOVING_SPEED * factor
    way = Trajectory(np.stack([0 * x, x], 1), np.zeros(5), np.full(5, 0.3))
    assert (layer(way, still_path(5)).moving() == moves).all()
    # What the camera magnifies moves faster on screen.
    assert layer(way, still_path(5, zoom=1.5)).moving().all()


def test_turning_and_growing_on_the_spot_is_motion():
    nil_T2, t = np.zeros((5, 2)), np.arange(5.0)
    assert layer(Trajectory(nil_T2, 0.02 * t, np.full(5, 0.4)), still_path(5)).moving().all()
    assert layer(Trajectory(nil_T2, 0 * t, 0.4 * 1.02**t), still_path(5)).moving().all()
    assert not layer(Trajectory(nil_T2, 0 * t, np.full(5, 0.4)), still_path(5)).moving().any()


def test_a_moving_camera_alone_makes_nothing_move():
    rng = np.random.default_rng(0)
    path = camera_path("handheld", 9, rng)
    way = Trajectory(np.full((9, 2), 0.1), np.ones(9), np.full(9, 0.3))
    assert not layer(way, path).moving().any()


def test_a_single_frame():
    clip = make_clip(small(0, frames=1, camera="pan"))
    assert len(clip.video_THW3) == 1
    assert not clip.moving_TK.any()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("camera", ["static", "pan", "zoom", "rotate"])
def test_the_background_moves_as_the_path_says(camera, seed):
    recipe = small(seed, camera=camera, movers=0, width=240, height=180, frames=6, noise=0.5)
    clip = make_clip(recipe)
    rng = np.random.default_rng([seed, 20230812])
    rng.permutation(len(photographs("all")))
    world_T23 = camera_path(camera, 6, rng).world_to_screen()
    middle_2, short = np.array([119.5, 89.5]), 180
    grey = [cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY) for frame_HW3 in clip.video_THW3]
    y, x = np.mgrid[0:180, 0:240]
    screen_HW2 = (np.stack([x, y], -1) - middle_2) / short
    for t in (1, 4):
        now_22, then_22 = world_T23[t][:, :2], world_T23[t + 1][:, :2]
        world_HW2 = (screen_HW2 - world_T23[t][:, 2]) @ np.linalg.inv(now_22).T
        truth_HW2 = ((world_HW2 @ then_22.T + world_T23[t + 1][:, 2]) - screen_HW2) * short
        (flow_HW2,) = FLOWS["dis"]().between([grey[t]], [grey[t + 1]])
        error_HW = np.linalg.norm(flow_HW2 - truth_HW2, axis=-1)[20:-20, 20:-20]
        assert np.median(error_HW) < 0.25
        median_2 = np.median(flow_HW2[20:-20, 20:-20], axis=(0, 1))
        assert median_2 == pytest.approx(np.median(truth_HW2, axis=(0, 1)), abs=0.2)


def test_parallax_of_a_nearer_layer():
    path = camera_path("pan", 10, np.random.default_rng(0))
    far, near = path.world_to_screen(), path.world_to_screen(0.5)
    # It begins at the same place and slides 1.5 times as far.
    np.testing.assert_allclose(far[0], near[0])
    moved_far, moved_near = far[-1][:, 2] - far[0][:, 2], near[-1][:, 2] - near[0][:, 2]
    np.testing.assert_allclose(moved_near, 1.5 * moved_far)
    assert np.linalg.norm(moved_far) > 0.01


@pytest.mark.parametrize("camera", CAMERAS)
def test_no_frame_looks_past_the_photograph(camera):
    for seed in range(25):
        rng = np.random.default_rng(seed)
        recipe = ClipRecipe(
            seed=seed,
            camera=camera,
            frames=96,
            width=(320, 426, 180)[seed % 3],
            height=(240, 240, 320)[seed % 3],
        )
        photo_HW3 = photographs()[seed % len(photographs())]
        ground = _Background.around(photo_HW3, camera_path(camera, 96, rng), recipe, rng)
        rows, columns = ground.photo_HW3.shape[:2]
        corners = np.array(
            [[x, y, 1] for x in (0, recipe.width - 1) for y in (0, recipe.height - 1)]
        )
        for matrix_23 in ground.to_screen_T23:
            inverse_33 = np.linalg.inv(np.vstack([matrix_23, [0, 0, 1]]))
            place = corners @ inverse_33[:2].T
            assert (place >= 0).all()
            assert (place <= [columns - 1, rows - 1]).all()


def test_unknown_camera():
    with pytest.raises(ValueError, match="dolly"):
        camera_path("dolly", 5, np.random.default_rng(0))


def test_speeds_are_as_documented():
    rng = np.random.default_rng(0)
    steps = []
    for _ in range(40):
        way = trajectory(np.zeros(2), 0.2, 30, rng, pauses=False)
        np.testing.assert_allclose(way.position_T2[15], 0, atol=1e-9)
        steps.append(np.linalg.norm(np.diff(way.position_T2, axis=0), axis=1))
    steps = np.array(steps)
    assert steps.min() > 0.0029
    assert steps.max() < 0.0251
    assert np.median(steps) < 0.013


def test_cut_outs_are_textured_blobs():
    for seed in range(8):
        cutout = cut_out(photographs()[seed], np.random.default_rng(seed), 96)
        assert cutout.rgb_HW3.shape[:2] == cutout.alpha_HW.shape
        assert cutout.size == pytest.approx(np.sqrt((cutout.alpha_HW > 127).sum()), rel=0.02)
        share = (cutout.alpha_HW > 127).mean()
        assert 0.2 < share < 0.9
        count, _ = cv2.connectedComponents((cutout.alpha_HW > 127).astype(np.uint8))
        assert count == 2
        assert not cutout.alpha_HW[[0, -1]].any()
        assert not cutout.alpha_HW[:, [0, -1]].any()
