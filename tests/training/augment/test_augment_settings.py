import pytest

from mofo.training.augment import AugmentSettings
from mofo.types import SettingsError


def test_all_mistakes_are_told_at_once():
    with pytest.raises(SettingsError) as error:
        AugmentSettings(
            randaugment=-1, magnitude=11, magnitude_std=-0.1, erasing=1.5, mixup=-1,
            cutmix=float("inf"), mixing="often", switch=float("nan"),
        )  # fmt: skip
    text = str(error.value)
    assert text.startswith("augment: ")
    assert "\n" not in text
    for name in (
        "randaugment -1", "magnitude 11", "magnitude_std -0.1", "erasing 1.5", "mixup -1",
        "cutmix inf", "mixing 'often'", "switch nan",
    ):  # fmt: skip
        assert name in text


@pytest.mark.parametrize("count", [1.5, True, "4", None])
def test_operations_are_counted_in_whole_numbers(count):
    with pytest.raises(SettingsError, match="randaugment"):
        AugmentSettings(randaugment=count)


@pytest.mark.parametrize(
    ("changes", "mixes"),
    [
        ({}, True),
        ({"mixing": 0}, False),
        ({"mixup": 0}, True),
        ({"cutmix": 0}, True),
        ({"mixup": 0, "cutmix": 0}, False),
    ],
)
def test_whether_anything_is_mixed(changes, mixes):
    assert AugmentSettings(**changes).mixes is mixes
