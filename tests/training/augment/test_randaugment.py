import numpy as np
import pytest
import torch

from helpers.batches import textured
from mofo.training.augment import AugmentSettings, operations
from mofo.training.augment.randaugment import Operation, draw_operations, randaugment
from mofo.types import TokenGrid

GRID = TokenGrid(4, 48, 64)


def drawn(count: int, **changes):
    settings = AugmentSettings(**changes)
    return [draw_operations(settings, np.random.default_rng(seed)) for seed in range(count)]


def test_operations_are_drawn_uniformly_and_act_every_other_time():
    layers = drawn(3000)
    assert all(len(clip) == 4 for clip in layers)
    flat = [operation for clip in layers for operation in clip]
    acting = [operation.name for operation in flat if operation is not None]
    assert abs(len(acting) / len(flat) - 0.5) < 3.3 * 0.5 / len(flat) ** 0.5
    assert len(operations.NAMES) == 15
    counts = np.array([acting.count(name) for name in operations.NAMES])
    expected = len(acting) / 15
    assert ((counts - expected) ** 2 / expected).sum() < 36.1  # chi-square, 14 degrees, 0.1 %
    # Also within a clip: what comes second does not depend on what came first.
    pairs = [clip[:2] for clip in layers if clip[0] is not None and clip[1] is not None]
    same = sum(first.name == second.name for first, second in pairs) / len(pairs)
    assert abs(same - 1 / 15) < 3.3 * (1 / 15 / len(pairs)) ** 0.5


def test_arguments_are_of_the_magnitude_and_of_either_sign():
    found: dict[str, list[float]] = {name: [] for name in operations.NAMES}
    for clip in drawn(4000):
        for operation in clip:
            if operation is not None:
                found[operation.name].append(operation.argument)
    angles = np.array(found["rotate"])
    assert np.abs(angles).mean() == pytest.approx(21, abs=0.3)
    assert np.abs(angles).std() == pytest.approx(1.5, abs=0.3)
    for name, middle in (("rotate", 0), ("translate_x", 0), ("shear_y", 0), ("colour", 1)):
        assert np.mean(np.array(found[name]) > middle) == pytest.approx(0.5, abs=0.1)
    # Two bits are kept below a magnitude of 7.5, one from there on.
    assert set(found["posterize"]) == {0b11000000, 0b10000000}
    assert np.median(found["solarize"]) == pytest.approx(77, abs=2)


@pytest.mark.parametrize(("magnitude", "angle"), [(0.0, 0.0), (10.0, 30.0)])
def test_magnitudes_stay_within_their_range(magnitude, angle):
    acting = [o for c in drawn(400, magnitude=magnitude, magnitude_std=0) for o in c if o]
    angles = [abs(o.argument) for o in acting if o.name == "rotate"]
    assert angles == [angle] * len(angles)
    wide = [o for c in drawn(400, magnitude=magnitude, magnitude_std=5.0) for o in c if o]
    assert all(abs(o.argument) <= 30 for o in wide if o.name == "rotate")
    assert all(0.099 <= o.argument <= 1.901 for o in wide if o.name in ("colour", "sharpness"))
    assert all(128 <= o.argument <= 240 for o in wide if o.name == "posterize")


def test_clips_of_one_operation_go_together_as_they_would_alone():
    """Operations in another order for each clip; each with its own argument."""
    batch = textured(GRID, 15, seed=1)
    area = torch.rand(15, 1, 48, 64, generator=torch.Generator().manual_seed(1))
    chosen = [
        tuple(
            Operation(name, float(operations.ARGUMENTS[name](0.05 * (clip + 1), 1)))
            for name in np.roll(operations.NAMES, clip)[:6].tolist()
        )
        for clip in range(15)
    ]
    frames, areas = randaugment(batch.frames_BTHWC, area, chosen)
    for clip in range(15):
        one = slice(clip, clip + 1)
        frame, moved = randaugment(batch.frames_BTHWC[one], area[one], chosen[one])
        assert torch.equal(frames[one], frame)
        assert torch.equal(areas[one], moved)


def test_what_is_given_stays_as_it_is():
    batch = textured(GRID, 2, seed=2)
    frames, area = batch.frames_BTHWC.clone(), torch.ones(2, 1, 48, 64)
    turned = [(Operation("rotate", 20.0),), (Operation("invert", 0.0),)]
    randaugment(batch.frames_BTHWC, area, turned)
    assert torch.equal(batch.frames_BTHWC, frames)
    assert (area == 1).all()
    assert randaugment(frames, area, [(None,), (None,)]) == (frames, area)


def test_every_frame_of_a_clip_goes_the_same_way():
    clip = textured(GRID, 1, seed=3).frames_BTHWC[:, :1].repeat(1, 4, 1, 1, 1)
    chosen = [
        tuple(Operation(n, float(operations.ARGUMENTS[n](0.7, -1))) for n in operations.NAMES)
    ]
    found, _ = randaugment(clip, torch.zeros(1, 1, 48, 64), chosen)
    assert torch.equal(found, found[:, :1].expand_as(found))
