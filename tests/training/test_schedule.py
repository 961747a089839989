import itertools
import math

import pytest

from mofo.training.optim import Schedule
from mofo.training.pretrain_settings import OptimSettings


def test_rates_scale_with_the_batch_and_go_up_and_down():
    optim = OptimSettings(batch=512, epochs=10, warmup_epochs=2, lr=1e-3, min_lr=1e-5)
    schedule = Schedule.of(optim, clips=5120)
    assert (schedule.steps, schedule.warmup) == (100, 20)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[19] == pytest.approx(2e-3)
    assert rates[0] == pytest.approx(2e-3 / 20)
    assert rates[-1] == pytest.approx(2e-5)
    assert all(a < b for a, b in itertools.pairwise(rates[:20]))
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    half = 20 + 79 / 2
    between = 2e-5 + (2e-3 - 2e-5) * 0.5 * (1 + math.cos(math.pi * (60 - 20) / 79))
    assert rates[60] == pytest.approx(between)
    assert abs(schedule.rate(round(half)) - 1e-3) < 5e-5


@pytest.mark.parametrize("epochs", [0.01, 1, 1.5])
def test_short_runs_have_at_least_a_step(epochs):
    schedule = Schedule.of(OptimSettings(batch=8, epochs=epochs, warmup_epochs=0), clips=12)
    assert schedule.steps == max(1, round(1.5 * epochs))
    assert 0 < schedule.rate(0) <= schedule.peak
