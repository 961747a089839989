import itertools

import numpy as np
import pytest

from mofo.training.order import Division, SampleOrder
from mofo.types import SettingsError


def keys_of_steps(videos, division, *, start=0, stop, seed=3, share_V=None):
    """Keys of each step, from all processes and passes."""
    given = {"seed": seed, "division": division, "start": start, "stop": stop, "share_V": share_V}
    ranks = [list(SampleOrder(videos, rank=r, **given)) for r in range(division.processes)]
    steps = []
    for step in range(stop - start):
        passes = range(step * division.passes, (step + 1) * division.passes)
        steps.append([key for p in passes for rank in ranks for key in rank[p]])
    return steps


def divide(batch=12, micro=12, repeats=1, processes=1):
    return Division.of(batch=batch, micro=micro, repeats=repeats, processes=processes)


@pytest.mark.parametrize(("micro", "processes"), [(12, 1), (4, 1), (3, 2), (2, 3), (1, 12), (5, 2)])
def test_a_step_does_not_depend_on_how_it_is_divided(micro, processes):
    whole = keys_of_steps(20, divide(), stop=7)
    assert keys_of_steps(20, divide(micro=micro, processes=processes), stop=7) == whole


@pytest.mark.parametrize(
    ("clips", "repeats", "processes", "batch"), [(8, 1, 1, 8), (8, 2, 2, 8), (99, 1, 1, 12)]
)
def test_a_step_takes_no_more_clips_than_an_epoch_has(clips, repeats, processes, batch):
    given = {"micro": 12, "repeats": repeats, "processes": processes, "clips": clips}
    assert Division.of(batch=12, **given).batch == batch


@pytest.mark.parametrize(
    ("clips", "processes", "texts"),
    [
        (4, 3, ("4 clips a step", "use 1, 2 processes", "optim.batch 6")),
        (99, 5, ("12 clips a step", "use 1, 2, 3, 6 processes", "optim.batch 10")),
    ],
)
def test_a_step_that_cannot_be_divided_is_not_another_step(clips, processes, texts):
    with pytest.raises(SettingsError) as caught:
        Division.of(batch=12, micro=12, repeats=2, processes=processes, clips=clips)
    assert all(text in str(caught.value) for text in texts), caught.value


def test_every_video_comes_once_an_epoch_and_none_is_left_over():
    keys = list(itertools.chain(*keys_of_steps(20, divide(), stop=10)))
    assert len(keys) == 120
    for epoch in range(6):
        rows = [row for e, row in keys if e == epoch]
        assert sorted(rows) == list(range(20))
    orders = [[row for e, row in keys if e == epoch] for epoch in range(6)]
    assert len({tuple(order) for order in orders}) == 6


def test_any_step_can_be_gone_on_from():
    whole = keys_of_steps(7, divide(batch=5, micro=5), stop=30)
    for start in (1, 13, 29):
        part = keys_of_steps(7, divide(batch=5, micro=5), start=start, stop=30)
        assert part == whole[start:]


def test_seeds_give_other_orders_and_global_generators_do_not_matter():
    first = keys_of_steps(50, divide(), stop=4)
    np.random.seed(1)  # noqa: NPY002
    assert keys_of_steps(50, divide(), stop=4) == first
    assert keys_of_steps(50, divide(), stop=4, seed=4) != first


def test_shares_hold_in_each_epoch_up_to_one():
    share_V = np.array([0.5, 0.25, *[0.25 / 18] * 18])
    keys = list(itertools.chain(*keys_of_steps(20, divide(), stop=25, share_V=share_V)))
    for epoch in range(15):
        counts = np.bincount([row for e, row in keys if e == epoch], minlength=20)
        assert counts.sum() == 20
        assert (np.abs(counts - 20 * share_V) < 1).all()
    total = np.bincount([row for _, row in keys], minlength=20)
    assert (total > 0).all()  # the rare ones come in some epochs
    np.testing.assert_allclose(total[2:].sum() / total.sum(), 0.25, atol=0.01)


def test_shares_do_not_change_how_an_order_is_divided_or_gone_on_with():
    share_V = np.linspace(1, 3, 20) / np.linspace(1, 3, 20).sum()
    whole = keys_of_steps(20, divide(), stop=7, share_V=share_V)
    divided = divide(micro=3, processes=2)
    assert keys_of_steps(20, divided, stop=7, share_V=share_V) == whole
    assert keys_of_steps(20, divide(), start=4, stop=7, share_V=share_V) == whole[4:]
    orders = [[row for step in whole for e, row in step if e == epoch] for epoch in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders[0] != sorted(orders[0])


def test_even_shares_are_once_an_epoch():
    keys = list(itertools.chain(*keys_of_steps(20, divide(), stop=5, share_V=np.full(20, 1 / 20))))
    for epoch in range(3):
        assert sorted(row for e, row in keys if e == epoch) == list(range(20))


def test_repeats_count_as_clips():
    division = divide(batch=12, micro=6, repeats=3)
    assert division.passes == 2
    assert all(len(step) == 4 for step in keys_of_steps(20, division, stop=3))
    assert len(SampleOrder(20, seed=0, division=division, rank=0, start=0, stop=3)) == 6


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"processes": 5}, "5 processes"),
        ({"repeats": 5}, "optim.batch 10"),
        ({"repeats": 4, "micro": 2}, "run.micro_batch is smaller"),
    ],
)
def test_impossible_divisions(options, part):
    with pytest.raises(SettingsError, match=part):
        divide(**options)
