import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mofo.types import SettingsError
from mofo.video.sampling import dense, moving_first, segment_views, segments, timed, views

counts, strides = st.integers(1, 40), st.integers(1, 9)
stretches = st.tuples(st.integers(0, 500), st.integers(1, 400)).map(lambda s: (s[0], s[0] + s[1]))
seeds = st.none() | st.integers(0, 99)


def generator(seed):
    return None if seed is None else np.random.default_rng(seed)


@given(counts, strides, stretches, seeds)
def test_dense(count, stride, stretch, seed):
    start, stop = stretch
    found = dense(count, stride, start, stop, generator(seed))
    assert found.dtype == np.int64
    assert found.shape == (count,)
    assert found[0] >= start
    assert found[-1] <= stop - 1
    if stop - start >= (count - 1) * stride + 1:
        assert (np.diff(found) == stride).all()
    else:  # from the beginning, then the last frame over and over
        expected = np.minimum(start + stride * np.arange(count), stop - 1)
        np.testing.assert_array_equal(found, expected)


@given(counts, stretches, seeds)
def test_segments(count, stretch, seed):
    start, stop = stretch
    found = segments(count, start, stop, generator(seed))
    assert found.dtype == np.int64
    assert found.shape == (count,)
    length = (stop - start) / count
    low = start + np.floor(length * np.arange(count))
    high = start + np.ceil(length * np.arange(1, count + 1))
    assert (low <= found).all()
    assert (found < np.minimum(high, stop)).all()


@given(counts, strides, stretches, st.integers(1, 6))
def test_views(count, stride, stretch, several):
    start, stop = stretch
    found = views(count, stride, start, stop, several)
    assert len(found) == several
    span = (count - 1) * stride + 1
    for clip in found:
        np.testing.assert_array_equal(
            clip, np.minimum(clip[0] + stride * np.arange(count), stop - 1)
        )
    if several > 1:
        assert found[0][0] == start
        assert found[-1][0] == start + max(0, stop - start - span)
        assert np.ptp(np.diff([clip[0] for clip in found])) <= 1
    else:
        np.testing.assert_array_equal(found[0], dense(count, stride, start, stop))


def test_every_start_is_as_likely():
    rng = np.random.default_rng(0)
    starts = [dense(4, 2, 10, 27, rng)[0] for _ in range(6000)]
    found = np.bincount(starts, minlength=27)
    assert found[:10].sum() == 0
    assert found[21:].sum() == 0  # 10 + 10 is the last start: 20, 22, 24, 26
    assert (np.abs(found[10:21] - 6000 / 11) < 5 * np.sqrt(6000 / 11)).all()


def test_every_frame_of_a_segment_is_as_likely():
    rng = np.random.default_rng(0)
    found = np.bincount(np.concatenate([segments(4, 3, 13, rng) for _ in range(5000)]))
    assert found[:3].sum() == 0
    assert (np.abs(found[3:] - 2000) < 5 * np.sqrt(2000)).all()


def test_the_middle_without_a_generator():
    assert dense(4, 2, 0, 17).tolist() == [5, 7, 9, 11]
    assert segments(4, 0, 40).tolist() == [5, 15, 25, 35]
    assert segments(8, 0, 4).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert dense(5, 2, 2, 6).tolist() == [2, 4, 5, 5, 5]


@pytest.mark.parametrize("call", [
    lambda: dense(0, 1, 0, 9), lambda: dense(4, 0, 0, 9), lambda: dense(4, 1, 5, 5),
    lambda: segments(0, 0, 9), lambda: segments(3, 9, 3), lambda: segments(3, -1, 3),
    lambda: views(4, 1, 0, 9, 0),
])  # fmt: skip
def test_what_makes_no_sense(call):
    with pytest.raises(SettingsError):
        call()


def test_views_of_segments():
    for count, start, stop in ((8, 0, 100), (16, 7, 30), (16, 3, 9), (1, 0, 1)):
        [one] = segment_views(count, start, stop, 1)
        np.testing.assert_array_equal(one, segments(count, start, stop))
        several = np.stack(segment_views(count, start, stop, 3))
        assert several.min() >= start
        assert several.max() < stop
        assert (np.diff(several, axis=0) >= 0).all()
        assert (np.diff(several, axis=1) >= 0).all()
    # Segments of 10 frames; views a quarter and three quarters into each.
    first, second = segment_views(3, 0, 30, 2)
    assert first.tolist() == [2, 12, 22]
    assert second.tolist() == [7, 17, 27]
    with pytest.raises(SettingsError, match="0 clips"):
        segment_views(4, 0, 10, 0)


@given(counts, st.floats(0.05, 20), st.lists(st.floats(1e-3, 2), min_size=1, max_size=80), seeds)
def test_timed(count, seconds, gaps, seed):
    """Steps of time, not of frames: the frame that is shown at each."""
    times_T = np.cumsum(gaps)
    found = timed(count, seconds, times_T, 7, generator(seed))
    assert found.dtype == np.int64
    assert (np.diff(found) >= 0).all()
    assert 7 <= found[0] <= found[-1] < 7 + len(times_T)
    step = seconds / count
    if (count - 1) * step > times_T[-1] - times_T[0]:
        assert found[0] == 7
        assert found[-1] == 6 + len(times_T)


@pytest.mark.parametrize("rate", [12.5, 25, 60])
def test_clips_of_any_rate_show_the_same_time(rate):
    times_T = np.arange(int(10 * rate)) / rate
    found = timed(8, 2.0, times_T)
    assert times_T[found] - times_T[found[0]] == pytest.approx(np.arange(8) * 0.25, abs=1 / rate)
    ends = [timed(8, 2.0, times_T, place=place) for place in (0, 1)]
    assert ends[0][0] == 0
    assert times_T[-1] - times_T[ends[1][-1]] < 2 / rate


def test_moving_parts_are_drawn_more_often():
    moving_F = np.zeros(100, bool)
    moving_F[60:80] = True
    stop_S = np.arange(91) + 10
    rng = np.random.default_rng(0)

    def share(weight):
        first = [moving_first(moving_F, stop_S, weight, rng) for _ in range(400)]
        return np.mean([moving_F[f : f + 10].any() for f in first])

    assert share(0) == pytest.approx(29 / 91, abs=0.07)
    assert share(1) == 1
    assert share(0.5) == pytest.approx(0.5 + 0.5 * 29 / 91, abs=0.07)
    still = [moving_first(np.zeros(100, bool), stop_S, 1, rng) for _ in range(400)]
    assert np.std(still) > 20
