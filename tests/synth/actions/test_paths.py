import numpy as np
import pytest
from scipy.stats import ks_2samp

from generated.pairs import families, opposites
from mofo.synth.actions.classes import CLASSES
from mofo.synth.actions.levels import LEVELS, level_named
from mofo.synth.actions.motion_paths import draw_poses
from mofo.types import SettingsError

FRAMES, DRAWS = 16, 300
ALL = LEVELS["hard"].classes


def poses_of(name, draws=DRAWS, level="hard", frames=FRAMES):
    return [
        draw_poses(CLASSES[name], LEVELS[level], frames, np.random.default_rng([7, i]))
        for i in range(draws)
    ]


def facts(name, frame):
    """What a single frame shows of the poses: fact -> one value a draw."""
    stage = LEVELS["hard"].stage(CLASSES[name].family)
    rows = []
    # Own draws for each class and frame: two samples of one seed would agree too well.
    for i in range(DRAWS):
        rng = np.random.default_rng([sum(map(ord, name)), frame, i])
        poses = draw_poses(CLASSES[name], LEVELS["hard"], FRAMES, rng)
        place_KT2 = poses.on_stage(np.zeros((FRAMES, 2)), stage)
        middle_2 = place_KT2[:, frame].mean(0)
        row = {
            "x": middle_2[0],
            "y": middle_2[1],
            "scale": poses.scale_KT[0, frame],
            "angle": poses.angle_KT[0, frame] % (2 * np.pi),
        }
        if len(place_KT2) == 2:
            between_2 = place_KT2[0, frame] - place_KT2[1, frame]
            row["distance"] = np.hypot(*between_2)
            row["axis"] = np.arctan2(*between_2)
        rows.append(row)
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("family", ["one", "two"])
def test_a_single_frame_has_the_same_poses_in_all_classes(family):
    members = families(ALL)[family]
    reference = facts(members[0], FRAMES // 2)
    for name in members:
        for frame in (0, FRAMES // 2, FRAMES - 1):
            for key, values in facts(name, frame).items():
                p = ks_2samp(values, reference[key]).pvalue
                assert p > 1e-4, f"{name}, frame {frame}: {key} differs (p {p:.1g})"


@pytest.mark.parametrize(("first", "second"), opposites(ALL))
def test_opposites_are_the_same_paths_backwards(first, second):
    for one, other in zip(poses_of(first, 5), poses_of(second, 5), strict=True):
        back = other.backwards()
        np.testing.assert_array_equal(one.place_KT2, back.place_KT2)
        np.testing.assert_array_equal(one.anchor_T2, back.anchor_T2)
        np.testing.assert_array_equal(one.scale_KT, back.scale_KT)
        np.testing.assert_array_equal(one.angle_KT, back.angle_KT)


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1), ("dropping", 1, 1)],
)
def test_directions(name, axis, sign):
    for poses in poses_of(name, 20):
        way_2 = poses.anchor_T2[-1] - poses.anchor_T2[0]
        assert way_2[axis] * sign > 0.3
        assert abs(way_2[axis]) > abs(way_2[1 - axis])


def test_scale_and_turn():
    for towards, clockwise in zip(poses_of("towards", 20), poses_of("clockwise", 20), strict=True):
        step_T = np.diff(np.log(towards.scale_KT[0]))
        assert (step_T > 0).sum() >= FRAMES - 2  # all but the start of another cycle
        # y points down: a growing angle turns clockwise.
        assert (np.diff(clockwise.angle_KT[0]) > 0).all()


def test_stopping_stands_still_at_its_end():
    for poses in poses_of("stopping", 20):
        step_T = np.linalg.norm(np.diff(poses.anchor_T2, axis=0), axis=1)
        assert (step_T[:5] > 0.02).all()
        assert (step_T[-5:] < 1e-12).all()


def test_pushing_moves_the_second_only_at_contact():
    for poses in poses_of("pushing", 20):
        place_KT2 = poses.place_KT2 + poses.anchor_T2
        distance_T = np.linalg.norm(place_KT2[0] - place_KT2[1], axis=1)
        step_T = np.linalg.norm(np.diff(place_KT2[1], axis=0), axis=1)
        apart_T = np.minimum(distance_T[:-1], distance_T[1:]) > distance_T.min() + 1e-6
        same_cycle_T = np.diff(distance_T) < 1e-9
        assert (step_T[apart_T & same_cycle_T] < 1e-9).all()
        assert step_T.max() > 0.005


def test_passing_changes_sides_and_returning_does_not():
    sides = {}
    for name in ("passing", "returning"):
        sides[name] = []
        for poses in poses_of(name, 40):
            between_T2 = poses.place_KT2[0] - poses.place_KT2[1]
            unit_T2 = between_T2 / np.linalg.norm(between_T2, axis=1, keepdims=True)
            sides[name].append((unit_T2 @ unit_T2[0]).min())
    assert min(sides["returning"]) > 0.999
    assert np.median(sides["passing"]) < -0.9


def test_more_frames_show_the_same_path():
    coarse, fine = (
        draw_poses(CLASSES["left"], LEVELS["easy"], n, np.random.default_rng(3)) for n in (16, 31)
    )
    np.testing.assert_allclose(fine.anchor_T2[::2], coarse.anchor_T2, atol=1e-12)


def test_levels():
    assert len(LEVELS["easy"].classes) == 8
    assert len(LEVELS["hard"].classes) >= 16
    assert set(LEVELS["easy"].classes) < set(LEVELS["medium"].classes) < set(ALL)
    assert len(opposites(ALL)) == 8
    with pytest.raises(SettingsError, match="did you mean"):
        level_named("harder")
