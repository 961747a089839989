import av
import numpy as np
import pytest

from helpers.scenes import Waves, disk, iou, shift
from mofo.motion.analyse import _upright, analyse
from mofo.motion.flow.codec import VectorField, has_vectors
from mofo.motion.presets import DetectSettings
from mofo.video.reader import MOTION_VECTOR, VideoReader
from mofo.video.writer import VideoWriter


def vector(x, y, u, v, *, size=(16, 16), source=-1, scale=4):
    """A block centred at (x, y) that moved by (u, v) since the frame it was predicted from."""
    row = np.zeros(1, MOTION_VECTOR)
    row["source"], row["w"], row["h"] = source, *size
    row["dst_x"], row["dst_y"] = x, y
    row["motion_x"], row["motion_y"] = round(-u * scale), round(-v * scale)
    row["motion_scale"] = scale
    row["src_x"], row["src_y"] = round(x - u), round(y - v)
    return row


def step(field, vectors, kind):
    """One frame by itself: flow (h, w, 2) and confidence (h, w)."""
    flow_Thw2, confidence_Thw = field.fields([vectors], [field.distance(kind)])
    assert flow_Thw2.shape == (1, *field.shape_hw, 2)
    assert confidence_Thw.shape == (1, *field.shape_hw)
    return flow_Thw2[0], confidence_Thw[0]


def grid(width, height, side, u, v, **more):
    return np.concatenate(
        [
            vector(x + side // 2, y + side // 2, u, v, size=(side, side), **more)
            for y in range(0, height, side)
            for x in range(0, width, side)
        ]
    )


def test_uniform_field_in_analysis_pixels():
    field = VectorField(640, 480, 0.5)
    assert field.shape_hw == (30, 40)
    assert field.cell == 8
    flow_hw2, confidence_hw = step(field, grid(640, 480, 16, 3.25, -1.5), "P")
    assert flow_hw2.shape == (30, 40, 2)
    assert flow_hw2.dtype == confidence_hw.dtype == np.float32
    np.testing.assert_allclose(flow_hw2[..., 0], 1.625)
    np.testing.assert_allclose(flow_hw2[..., 1], -0.75)
    assert (confidence_hw == 1).all()


def test_small_frames_keep_small_blocks():
    field = VectorField(64, 48, 1.0)
    assert field.shape_hw == (6, 8)
    vectors = np.concatenate(
        [grid(32, 48, 8, 1, 0)]
        + [vector(x + 40, y + 8, 0, 2) for x in (0, 16) for y in (0, 16, 32)]
    )
    flow_hw2, confidence_hw = step(field, vectors, "P")
    assert (confidence_hw == 1).all()
    np.testing.assert_allclose(flow_hw2[:, :4], np.broadcast_to([1, 0], (6, 4, 2)))
    np.testing.assert_allclose(flow_hw2[:, 4:], np.broadcast_to([0, 2], (6, 4, 2)))


@pytest.mark.parametrize("size", [(16, 8), (8, 16), (8, 8)])
def test_partitions_land_where_they_are(size):
    field = VectorField(64, 64, 1.0)
    vectors = np.concatenate(
        [
            vector(x + size[0] // 2, y + size[1] // 2, x, y, size=size)
            for y in range(0, 64, size[1])
            for x in range(0, 64, size[0])
        ]
    )
    flow_hw2, confidence_hw = step(field, vectors, "P")
    assert (confidence_hw == 1).all()
    # The median of 3x3 leaves a ramp as it is, up to a block.
    y_hw, x_hw = np.mgrid[0:64:8, 0:64:8]
    assert np.abs(flow_hw2[..., 0] - x_hw)[1:-1, 1:-1].max() <= 8
    assert np.abs(flow_hw2[..., 1] - y_hw)[1:-1, 1:-1].max() <= 8
    assert np.abs(flow_hw2[..., 0] - y_hw).max() > 16  # u is not v


def test_four_small_blocks_in_a_large_cell_are_averaged():
    field = VectorField(1280, 720, 1.0)
    base = grid(1280, 720, 16, 0, 0)
    base = base[~((base["dst_x"] // 16 >= 10) & (base["dst_x"] // 16 < 15))]
    small = [
        vector(x + 4, y + 4, 4 * (x % 16 == 0), 0, size=(8, 8))
        for y in range(0, 720, 8)
        for x in range(160, 240, 8)
    ]
    flow_hw2, _ = step(field, np.concatenate([base, *small]), "P")
    np.testing.assert_allclose(flow_hw2[:, 11:14, 0], 2)
    np.testing.assert_allclose(flow_hw2[:, :9], 0)
    np.testing.assert_allclose(flow_hw2[:, 16:], 0)


def test_single_wild_vectors_are_filtered():
    vectors = grid(640, 480, 16, 1, 1)
    vectors["motion_x"][600] = 4 * 300
    flow_hw2, _ = step(VectorField(640, 480, 1.0), vectors, "P")
    np.testing.assert_allclose(flow_hw2, 1)


def test_overhanging_blocks_count_at_the_border():
    # 500 = 31.25 blocks: the coded frame is wider than the picture; blocks may start outside, too.
    field = VectorField(500, 490, 1.0)
    assert field.shape_hw == (31, 32)
    vectors = np.concatenate(
        [grid(512, 496, 16, 2, 3), vector(-3, -5, 2, 3), vector(530, 520, 2, 3)]
    )
    flow_hw2, confidence_hw = step(field, vectors, "P")
    assert (confidence_hw == 1).all()
    np.testing.assert_allclose(flow_hw2, np.broadcast_to([2, 3], (31, 32, 2)))


def test_distance_to_the_anchor():
    field = VectorField(640, 480, 1.0)

    def u(kind, moved):
        return step(field, grid(640, 480, 16, moved, 0), kind)[0][5, 5, 0]

    assert not step(field, None, "I")[1].any()
    # 2 px a frame throughout; a B- or P-frame is predicted from the last I or P before it.
    assert u("P", 2) == pytest.approx(2)
    assert u("B", 2) == pytest.approx(2)
    assert u("B", 4) == pytest.approx(2)
    assert u("P", 6) == pytest.approx(2)
    assert u("P", 2) == pytest.approx(2)
    assert u("B", 2) == pytest.approx(2)
    assert not step(field, None, "I")[1].any()
    assert u("P", 2) == pytest.approx(2)


# Frames in display order: kind, order of coding, whether others are predicted from it, and how far
# back the nearest frame lies that it may be predicted from.
RUNS = {
    "no B": [("I", 0, True, 1), ("P", 1, True, 1), ("P", 2, True, 1)],
    "x264, three B": [
        *[("I", 0, True, 1), ("B", 3, False, 1), ("B", 2, True, 2), ("B", 4, False, 1)],
        *[("P", 1, True, 4), ("B", 7, False, 1), ("B", 6, True, 2), ("B", 8, False, 1)],
        *[("P", 5, True, 4), ("P", 9, True, 1)],
    ],
    "x264, two B": [
        *[("I", 0, True, 1), ("B", 2, True, 1), ("B", 3, False, 1), ("P", 1, True, 3)],
        *[("B", 5, True, 1), ("B", 6, False, 1), ("P", 4, True, 3)],
    ],
    "three B, none referred to": [
        *[("I", 0, True, 1), ("B", 2, False, 1), ("B", 3, False, 2), ("B", 4, False, 3)],
        *[("P", 1, True, 4)],
    ],
    "three levels": [
        *[("I", 0, True, 1), ("B", 4, False, 1), ("B", 3, True, 2), ("B", 5, False, 1)],
        *[("B", 2, True, 4), ("B", 7, False, 1), ("B", 6, True, 2), ("B", 8, False, 1)],
        *[("P", 1, True, 8)],
    ],
    "P that none refers to": [
        *[("I", 0, True, 1), ("P", 1, False, 1), ("P", 2, True, 2), ("P", 3, False, 1)],
    ],
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_distance_to_the_nearest_reference(run):
    field = VectorField(640, 480, 1.0)
    for _ in range(12):  # so that what is kept comes to its limit
        found = [field.distance(kind, order, referred) for kind, order, referred, _ in run]
        assert found[1:] == [back for *_, back in run[1:]]
        # The I-frame of the next round is coded later than all before it.
        run = [(kind, order + len(run), referred, back) for kind, order, referred, back in run]


@pytest.mark.parametrize("name", ["no B", "x264, three B", "three B, none referred to"])
def test_distance_by_order_alone(name):
    field = VectorField(640, 480, 1.0)
    for kind, order, _, back in RUNS[name]:
        assert field.distance(kind, order) == back


def test_distance_without_order():
    field = VectorField(640, 480, 1.0)
    assert [field.distance(kind) for kind in "IBBBPPBPIB"] == [1, 1, 2, 3, 4, 1, 1, 2, 1, 1]
    # Lost for a while, for instance after damage: the last I or P again, then as before.
    field = VectorField(640, 480, 1.0)
    marks = [("I", 0, True), ("B", None, None), ("B", None, None), ("P", 1, True), ("P", 5, True)]
    assert [field.distance(*mark) for mark in marks] == [1, 1, 2, 3, 1]


def test_future_vectors_are_ignored():
    field = VectorField(640, 480, 1.0)
    vectors = np.concatenate([grid(640, 480, 16, 2, 0), grid(640, 480, 16, -40, 9, source=1)])
    flow_hw2, _ = step(field, vectors, "B")
    np.testing.assert_allclose(flow_hw2, np.broadcast_to([2, 0], flow_hw2.shape))
    flow_hw2, confidence_hw = step(field, grid(640, 480, 16, -40, 9, source=1), "B")
    assert (flow_hw2 == 0).all()
    assert (confidence_hw == 0).all()


def test_nothing_known_has_no_confidence():
    half = grid(640, 480, 16, 2, 0)
    half = half[half["dst_x"] < 320]
    flow_hw2, confidence_hw = step(VectorField(640, 480, 1.0), half, "P")
    assert (confidence_hw[:, :20] == 1).all()
    assert (confidence_hw[:, 20:] == 0).all()
    assert np.isfinite(flow_hw2).all()


@pytest.mark.parametrize("vectors", [None, np.zeros(0, MOTION_VECTOR)], ids=["none", "empty"])
def test_frames_without_vectors(vectors):
    flow_hw2, confidence_hw = step(VectorField(64, 48, 1.0), vectors, "P")
    assert not flow_hw2.any()
    assert not confidence_hw.any()


def test_frames_together_equal_frames_alone():
    rng = np.random.default_rng(0)
    some = []
    for t in range(7):
        vectors = grid(200, 150, 16, t - 2.5, 1.25 * t)
        vectors["motion_x"] += rng.integers(-6, 7, len(vectors))
        some.append(vectors[rng.random(len(vectors)) < 0.8])
    some[2], some[4] = None, np.zeros(0, MOTION_VECTOR)
    distances = [1, 2, 1, 1, 3, 1, 2]
    field = VectorField(200, 150, 0.75)
    flow_Thw2, confidence_Thw = field.fields(some, distances)
    assert flow_Thw2.dtype == confidence_Thw.dtype == np.float32
    for t in range(7):
        alone_hw2, sure_hw = field.fields(some[t : t + 1], distances[t : t + 1])
        np.testing.assert_array_equal(flow_Thw2[t], alone_hw2[0])
        np.testing.assert_array_equal(confidence_Thw[t], sure_hw[0])


@pytest.mark.parametrize(("width", "height"), [(2, 2), (8, 200), (16, 16)])
def test_tiny_grids(width, height):
    flow_hw2, confidence_hw = step(VectorField(width, height, 1.0), vector(8, 8, 1, 1), "P")
    assert flow_hw2.shape == (*confidence_hw.shape, 2)
    assert confidence_hw[0, 0] == 1


def test_odd_motion_scale_zero_does_not_divide():
    vectors = vector(8, 8, 1, 1)
    vectors["motion_scale"] = 0
    assert np.isfinite(step(VectorField(64, 48, 1.0), vectors, "P")[0]).all()


def test_has_vectors():
    assert has_vectors("h264")
    assert has_vectors("mpeg4")
    assert not any(has_vectors(codec) for codec in ("vp9", "hevc", "av1", "vp8", "mjpeg"))


def write(path, frames, **options):
    with VideoWriter(path, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("way", [(3, 0), (0, -2), (-1.5, 2.25)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_real_pan(tmp_path, way, scale):
    waves = Waves()
    path = write(
        tmp_path / "pan.mp4",
        [waves.picture(144, 192, shift(way[0] * t, way[1] * t)) for t in range(10)],
        crf=16,
        bframes=0,
    )
    field, seen = VectorField(192, 144, scale), 0
    with VideoReader(path, colour=None, motion_vectors=True) as reader:
        for frame in reader:
            found = step(field, frame.vectors, frame.kind)
            assert found[1].any() == (frame.kind != "I")
            if frame.kind != "I":
                seen += 1
                known_hw = found[1] > 0
                assert known_hw.mean() > 0.5
                median_2 = np.median(found[0][known_hw], axis=0)
                assert median_2 == pytest.approx(np.multiply(way, scale), abs=0.13 * scale)
    assert seen == 9


def test_real_pan_with_b_frames(tmp_path):
    waves = Waves()
    path = write(
        tmp_path / "pan.mp4",
        [waves.picture(144, 192, shift(2 * t, -t)) for t in range(16)],
        crf=16,
        bframes=2,
    )
    field, medians, kinds = VectorField(192, 144, 1.0), [], []
    with VideoReader(path, colour=None, motion_vectors=True) as reader:
        for frame in reader:
            found = step(field, frame.vectors, frame.kind)
            kinds.append(frame.kind)
            if (found[1] > 0).mean() > 0.5:
                medians.append(np.median(found[0][found[1] > 0], axis=0))
    assert "B" in kinds
    assert len(medians) >= 10
    assert np.median(medians, axis=0) == pytest.approx([2, -1], abs=0.1)


def encode(path, frames, codec, **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def speeds(path):
    """Per frame: kind, whether others are predicted from it, median vector (NaN if none)."""
    with VideoReader(path, colour=None, motion_vectors=True) as reader:
        field = VectorField(reader.info.width, reader.info.height, 1.0)
        for frame in reader:
            distance = field.distance(frame.kind, frame.order, frame.referred)
            flow_Thw2, confidence_Thw = field.fields([frame.vectors], [distance])
            known_Thw = confidence_Thw > 0
            median_2 = np.full(2, np.nan)
            if known_Thw.mean() > 0.3:
                median_2 = np.median(flow_Thw2[known_Thw], axis=0)
            yield frame.kind, frame.referred, median_2


@pytest.mark.parametrize(
    ("suffix", "pyramid", "bframes"),
    [
        *[(".mp4", "none", bframes) for bframes in (0, 1, 3)],
        *[(".mp4", "strict", bframes) for bframes in (2, 3)],
        *[(".mp4", "normal", bframes) for bframes in (0, 1, 2, 3, 5)],
        # Lengths before units, or start codes; h264 has no time stamps at all, avi wrong ones.
        *[(suffix, "normal", 3) for suffix in (".mkv", ".ts", ".avi", ".h264")],
    ],
)
def test_speed_of_a_pan_with_every_kind_of_b_frame(tmp_path, suffix, pyramid, bframes):
    waves, way_2 = Waves(1), np.array([3, -1])
    path = encode(
        tmp_path / f"pan{suffix}",
        [waves.picture(144, 192, shift(*way_2 * t)) for t in range(26)],
        "libx264",
        **{"preset": "veryfast", "crf": "16", "bf": str(bframes)},
        **{"x264-params": f"b-adapt=0:b-pyramid={pyramid}:scenecut=0:asm=0"},
    )
    found = list(speeds(path))
    kinds = "".join(kind for kind, _, _ in found)
    assert len(found) == 26
    assert kinds.startswith("I" + "B" * bframes + "P")
    is_middle = [kind == "B" and referred for kind, referred, _ in found]
    assert any(is_middle) == (pyramid != "none" and bframes > 1)
    # Relative to the way. Near the end of the clip vectors may point elsewhere.
    error = np.array([np.linalg.norm(median_2 - way_2) for *_, median_2 in found])
    error = error[~np.isnan(error)] / np.linalg.norm(way_2)
    assert len(error) > 20
    assert (error < 0.1).mean() > 0.9


def test_b_frames_of_mpeg4_say_nothing(tmp_path):
    waves = Waves(1)
    frames = [waves.picture(144, 192, shift(3 * t, -t)) for t in range(14)]
    path = encode(tmp_path / "pan.avi", frames, "mpeg4", bf="2", b="2000000")
    seen, steps = "", 0
    for kind, referred, median_2 in speeds(path):
        seen += kind
        assert referred is None
        if kind == "B":
            assert np.isnan(median_2).all()
        elif not np.isnan(median_2).any():
            steps += 1
            assert median_2 == pytest.approx([3, -1], abs=0.2)
    assert seen.startswith("IBBPBBP")
    assert steps >= 3


def mover_frames(frames=24, height=144, width=192):
    """A textured disk over a still ground; and its boxes."""
    ground_HW, thing = Waves(7).picture(height, width), Waves(8)
    pictures, boxes = [], []
    for t in range(frames):
        x, y = 50 + 3 * t, 60 + t
        pictures.append(
            np.where(
                disk(height, width, x, y, 24),
                thing.picture(height, width, shift(3 * t, t)),
                ground_HW,
            )
        )
        boxes.append([x - 24, y - 24, x + 24, y + 24])
    return pictures, np.array(boxes, float)


def test_analyse_uses_the_vectors(tmp_path):
    pictures, boxes_T4 = mover_frames()
    path = write(tmp_path / "mover.mp4", pictures, bframes=0)
    area = analyse(path, DetectSettings(flow="codec"))
    assert area.flow == "codec"
    assert area.warnings == ()
    assert area.valid_T.mean() > 0.8
    found = [iou(area.box_T4[t], boxes_T4[t]) for t in np.flatnonzero(area.valid_T)]
    assert np.mean(found) > 0.5


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_analyse_falls_back_on_vp9(tmp_path, preset):
    pictures, _ = mover_frames(12)
    path = write(tmp_path / "mover.webm", pictures)
    area = analyse(path, DetectSettings(flow="codec", preset=preset))
    assert area.flow == "dis"
    assert len(area) == 12
    assert [w for w in area.warnings if "motion vectors" in w and "dis" in w]
    same = analyse(path, DetectSettings(flow="dis", preset=preset))
    np.testing.assert_array_equal(area.box_T4, same.box_T4)


def test_analyse_falls_back_when_all_frames_are_key_frames(tmp_path):
    pictures, _ = mover_frames(8)
    area = analyse(write(tmp_path / "keys.mp4", pictures, gop=1), DetectSettings(flow="codec"))
    assert area.flow == "dis"
    assert len(area.warnings) == 1
    assert len(area) == 8
    assert area.frame_T.tolist() == list(range(8))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_upright(rotation):
    height, width = 40, 60
    boxes_K4 = np.array([[5, 10, 20, 13], [30, 0, 60, 40], [0, 39, 1, 40]], np.float32)
    for before_4, after_4 in zip(
        boxes_K4, _upright(boxes_K4, (width, height), rotation), strict=True
    ):
        painted_HW = np.zeros((height, width), bool)
        x1, y1, x2, y2 = before_4.astype(int)
        painted_HW[y1:y2, x1:x2] = True
        turned_HW = np.rot90(painted_HW, -rotation // 90)  # clockwise
        rows, columns = np.flatnonzero(turned_HW.any(1)), np.flatnonzero(turned_HW.any(0))
        assert after_4.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert _upright(np.zeros((0, 4), np.float32), (width, height), rotation).shape == (0, 4)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_file_gives_the_same_area_by_pictures_and_by_vectors(tmp_path, degrees):
    pictures, boxes_T4 = mover_frames(20)
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0"})
        stream.height, stream.width, stream.pix_fmt = 144, 192, "yuv420p"
        stream.set_display_rotation(-degrees)
        for picture_HW in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture_HW, format="gray")))
        container.mux(stream.encode())
    with VideoReader(path) as reader:
        rotation = reader.info.rotation
    assert rotation == degrees
    truth_T4 = _upright(boxes_T4, (192, 144), rotation)
    for flow, least in (("dis", 0.65), ("codec", 0.5)):
        area = analyse(path, DetectSettings(flow=flow))
        assert area.flow == flow
        assert (area.width, area.height) == ((144, 192) if degrees != 180 else (192, 144))
        found = [iou(area.box_T4[t], truth_T4[t]) for t in np.flatnonzero(area.valid_T)]
        assert len(found) > 12
        assert np.mean(found) > least
