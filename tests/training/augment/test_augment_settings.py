import pytest
from pydantic import ValidationError

from mofo.training.augment import AugmentSettings


def test_what_mixes():
    assert AugmentSettings().mixes
    assert not AugmentSettings(mixing=0).mixes
    assert not AugmentSettings(mixup=0, cutmix=0).mixes
    assert AugmentSettings(mixup=0).mixes


def test_all_impossible_values_are_told():
    with pytest.raises(ValidationError) as caught:
        AugmentSettings(randaugment=-1, magnitude=11, erasing=1.5, mixup=float("nan"), switch="x")
    wrong = {problem["loc"][0] for problem in caught.value.errors()}
    assert wrong == {"randaugment", "magnitude", "erasing", "mixup", "switch"}
