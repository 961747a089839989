"""Index tensors of a mask."""

import pytest
import torch

from mofo.masking import Mask
from mofo.types import SettingsError

HIDDEN = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 1, 0, 1]], dtype=torch.bool)
PART = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 0, 0, 1]], dtype=torch.bool)


def test_numbers_of_visible_and_predicted_tokens():
    mask = Mask.of(HIDDEN)
    assert mask.visible_BV.tolist() == [[1, 4], [0, 3]]
    assert mask.target_BM.tolist() == [[0, 2, 3], [1, 2, 4]]
    assert torch.equal(mask.hidden_BN, HIDDEN)
    part = Mask.of(HIDDEN, PART)
    assert part.visible_BV.tolist() == mask.visible_BV.tolist()
    assert part.target_BM.tolist() == [[2, 3], [1, 4]]
    known = Mask.counted(HIDDEN, 3, PART, 2)
    assert all(map(torch.equal, known, part))


@pytest.mark.parametrize(
    ("hidden", "target", "words"),
    [
        (HIDDEN.float(), None, "torch.float32"),
        (HIDDEN[0], None, r"\(5,\), not bool"),
        (HIDDEN & torch.tensor([[True], [False]]), None, "0, 3 hidden"),
        (HIDDEN ^ HIDDEN, None, "0 hidden"),
        (HIDDEN | ~HIDDEN, None, "none is visible"),
        (HIDDEN, HIDDEN ^ HIDDEN, "0 predicted"),
        (HIDDEN, ~HIDDEN, "some are visible"),
    ],
)
def test_impossible_masks_are_said_in_one_line(hidden, target, words):
    with pytest.raises(SettingsError, match=words) as error:
        Mask.of(hidden, target)
    assert "\n" not in str(error.value)
