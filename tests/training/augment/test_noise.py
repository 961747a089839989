import numpy as np
import pytest
import torch

from mofo.training.augment.augmentation import SampleNoise


def drawn(noise_BN, purpose="mixing"):
    own = SampleNoise(torch.as_tensor(noise_BN))
    return np.stack([generator.random(50) for generator in own.generators(purpose)])


def noise(count=4, tokens=64, seed=0):
    return np.random.default_rng(seed).random((count, tokens), np.float32)


def test_a_sample_has_the_same_numbers_in_any_batch():
    found = noise()
    assert len(SampleNoise(torch.as_tensor(found))) == 4
    np.testing.assert_array_equal(drawn(found[[2, 0]]), drawn(found)[[2, 0]])


def test_the_numbers_are_fresh_each_time_and_differ_between_samples_and_purposes():
    found = noise()
    assert len(np.unique(drawn(found))) == 4 * 50
    assert not np.intersect1d(drawn(found, "mixing"), drawn(found, "erasing")).size
    own = SampleNoise(torch.as_tensor(found))
    first, again = (own.generators("erasing")[1].random() for _ in range(2))
    assert first == again


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_tiny_grid_gives_as_many_numbers_as_wanted(tokens):
    found = drawn(noise(count=300, tokens=tokens))
    assert len(np.unique(found)) == found.size
    assert abs(found.mean() - 0.5) < 0.01


def test_numbers_of_many_samples_are_uniform():
    """The first number of each sample, which is what decides most."""
    first = drawn(noise(count=4000))[:, 0]
    counts = np.histogram(first, 20, (0, 1))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees, 0.1 %


def test_every_bit_counts():
    found = noise(count=1)
    other = found.copy()
    other[0, 7] = np.nextafter(other[0, 7], np.float32(1))
    assert not np.array_equal(drawn(found), drawn(other))


def test_global_seeds_play_no_part():
    found = noise()
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    first = drawn(found)
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    np.testing.assert_array_equal(first, drawn(found))
