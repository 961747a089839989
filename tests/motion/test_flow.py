import cv2
import numpy as np
import pytest

from helpers.scenes import Waves, about, apply, disk, pixels, shift
from mofo.motion.flow.backend import FLOWS, FlowFrame, PictureFlow, with_flow
from mofo.types import SettingsError

BACKENDS = ("dis", "farneback", "tvl1")
HEIGHT, WIDTH = 80, 112
INNER = np.s_[12:-12, 12:-12]


def flow_of(name, first_HW, second_HW):
    (flow_HW2,) = FLOWS[name]().between([first_HW], [second_HW])
    assert flow_HW2.shape == (*first_HW.shape, 2)
    assert flow_HW2.dtype == np.float32
    assert np.isfinite(flow_HW2).all()
    return flow_HW2


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    "way", [(3, 0), (0, -2), (-3.5, -1.25), (1.37, -0.6), (-0.4, 2.3), (0.25, 0), (0, 0)]
)
def test_translation(name, way):
    waves = Waves()
    flow_HW2 = flow_of(
        name, waves.picture(HEIGHT, WIDTH), waves.picture(HEIGHT, WIDTH, shift(*way))
    )
    error_HW = np.linalg.norm(flow_HW2 - np.array(way), axis=-1)[INNER]
    assert np.median(error_HW) < 0.08
    assert np.percentile(error_HW, 95) < 0.25
    # u and v each by itself, signed.
    assert np.median(flow_HW2[..., 0]) == pytest.approx(way[0], abs=0.06)
    assert np.median(flow_HW2[..., 1]) == pytest.approx(way[1], abs=0.06)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    "camera",
    [
        {"zoom": 1.04},
        {"zoom": 0.97, "u": 1.0},
        {"roll": 2.0},
        {"roll": -1.5, "zoom": 1.02, "v": -2},
    ],
    ids=str,
)
def test_affine_camera(name, camera):
    waves = Waves(1)
    moved_33 = about(HEIGHT, WIDTH, **camera)
    flow_HW2 = flow_of(name, waves.picture(HEIGHT, WIDTH), waves.picture(HEIGHT, WIDTH, moved_33))
    truth_HW2 = apply(moved_33, pixels(HEIGHT, WIDTH)) - pixels(HEIGHT, WIDTH)
    error_HW = np.linalg.norm(flow_HW2 - truth_HW2, axis=-1)[INNER]
    assert np.median(error_HW) < 0.12
    assert np.percentile(error_HW, 95) < 0.35
    # The field does vary over the frame: a constant would not do.
    assert np.linalg.norm(truth_HW2 - truth_HW2.mean((0, 1)), axis=-1)[INNER].max() > 0.8


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("way", [(2.5, -1.0), (-3.0, 1.5)])
def test_object_over_a_still_background(name, way):
    ground_HW, thing = Waves(2).picture(HEIGHT, WIDTH), Waves(3)
    here_HW = disk(HEIGHT, WIDTH, 56, 40, 22)
    there_HW = disk(HEIGHT, WIDTH, 56 + way[0], 40 + way[1], 22)
    first_HW = np.where(here_HW, thing.picture(HEIGHT, WIDTH), ground_HW)
    second_HW = np.where(there_HW, thing.picture(HEIGHT, WIDTH, shift(*way)), ground_HW)
    flow_HW2 = flow_of(name, first_HW, second_HW)
    inside_HW = disk(HEIGHT, WIDTH, 56, 40, 15)
    outside_HW = ~disk(HEIGHT, WIDTH, 56, 40, 36)
    assert np.median(flow_HW2[inside_HW], axis=0) == pytest.approx(way, abs=0.2)
    assert np.percentile(np.linalg.norm(flow_HW2[inside_HW] - way, axis=-1), 75) < 0.5
    assert np.percentile(np.linalg.norm(flow_HW2[outside_HW], axis=-1), 95) < 0.15


def test_dis_and_tvl1_agree():
    waves = Waves(4)
    pair = (
        waves.picture(HEIGHT, WIDTH),
        waves.picture(HEIGHT, WIDTH, about(HEIGHT, WIDTH, zoom=1.02)),
    )
    gap_HW2 = (flow_of("dis", *pair) - flow_of("tvl1", *pair))[INNER]
    assert np.median(np.linalg.norm(gap_HW2, axis=-1)) < 0.1


@pytest.mark.parametrize("name", BACKENDS)
def test_a_list_of_pairs_is_solved_pair_by_pair(name):
    waves = Waves(5)
    first = [waves.picture(48, 64)] * 3
    second = [waves.picture(48, 64, shift(u, 0)) for u in (-2, 0, 1.5)]
    backend = FLOWS[name]()
    together = backend.between(first, second)
    assert len(together) == 3
    for u, flow_HW2 in zip((-2, 0, 1.5), together, strict=True):
        assert np.median(flow_HW2[..., 0]) == pytest.approx(u, abs=0.15)
    for k in range(3):
        (alone_HW2,) = backend.between([first[k]], [second[k]])
        np.testing.assert_allclose(alone_HW2, together[k], atol=0.02)


@pytest.mark.parametrize("name", BACKENDS)
def test_flat_frames_have_finite_small_flow(name):
    flat_HW = np.full((48, 64), 90, np.uint8)
    assert np.abs(flow_of(name, flat_HW, flat_HW)).max() < 0.1


def test_backends_say_about_themselves_what_others_ask():
    assert {"dis", "farneback", "tvl1", "codec"} <= set(FLOWS)
    for backend in FLOWS.values():
        assert backend.line
        assert backend.speed > 0
        assert not backend.fallback or backend.fallback in FLOWS
    with pytest.raises(SettingsError, match="farneback"):
        FLOWS["farnback"]


class Fake(PictureFlow):
    """ "Flow" that tells which two frames it was computed from: (first, second) grey level."""

    def __init__(self, batch):
        self.batch = batch
        self.calls = []

    def between(self, first, second):
        assert first, "an empty call costs a backend a special case"
        assert len(first) == len(second) <= self.batch
        self.calls.append(len(first))
        return [np.stack([a, b], -1).astype(np.float32) for a, b in zip(first, second, strict=True)]


def numbered(begins):
    return [
        FlowFrame(t, t / 25, bool(b), grey_HW=np.full((2, 3), t, np.uint8))
        for t, b in enumerate(begins)
    ]


@pytest.mark.parametrize("batch", [1, 2, 4, 100])
@pytest.mark.parametrize(
    "begins",
    [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 1, 1, 0, 0],
        [1] * 6,
        [1, 0, 0, 0, 1],
        [1],
        [],
        [0, 0, 1],
    ],
    ids=str,
)
def test_with_flow_pairs_neighbours_within_a_shot(begins, batch):
    frames = numbered(begins)
    out = list(with_flow(iter(frames), Fake(batch)))
    assert len(out) == len(frames)
    for t, (made, frame) in enumerate(zip(out, frames, strict=True)):
        assert made._replace(flow_hw2=None) == frame
        if t == 0 or frame.begins:
            assert made.flow_hw2 is None
        else:
            assert made.flow_hw2[0, 0].tolist() == [t - 1, t]


def test_with_flow_fills_its_batches():
    backend = Fake(4)
    list(with_flow(iter(numbered([1] + [0] * 12)), backend))
    assert backend.calls == [3, 4, 4, 1]


def test_with_flow_is_lazy():
    taken = []

    def frames():
        for frame in numbered([1, 0, 0, 0, 0]):
            taken.append(frame)
            yield frame

    stream = with_flow(frames(), Fake(1))
    next(stream), next(stream)
    assert len(taken) == 2


def test_with_flow_real_backend_gives_the_flow_that_leads_to_the_frame():
    waves = Waves(6)
    pictures = [waves.picture(64, 80, shift(2 * t, 0)) for t in range(3)]
    frames = [FlowFrame(t, t / 25, t == 0, grey_HW=grey) for t, grey in enumerate(pictures)]
    flows = [frame.flow_hw2 for frame in with_flow(frames, FLOWS["dis"]())]
    assert flows[0] is None
    assert all(np.median(flow_HW2[..., 0]) == pytest.approx(2, abs=0.1) for flow_HW2 in flows[1:])
    # The grid of the field is that of the earlier frame: looked up there, it leads to the later.
    y, x = np.mgrid[20:44, 20:60].astype(np.float32)
    moved_HW = cv2.remap(pictures[1], x + flows[1][20:44, 20:60, 0], y, cv2.INTER_LINEAR)
    assert np.abs(moved_HW.astype(int) - pictures[0][20:44, 20:60]).mean() < 2
