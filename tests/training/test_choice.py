import numpy as np
import pytest

from mofo.clips.labels import LabelTable
from mofo.datasets.video import Video
from mofo.training.order import Division, SampleOrder, balanced_shares, few_of_each

SIZES = {"rare": 2, "some": 10, "many": 48}


def table(rows, heads=("label",), **options):
    videos = [Video(f"{k}.mp4", f"{k}.mp4", tuple(labels)) for k, labels in enumerate(rows)]
    return LabelTable.of(videos, heads, **options)


def long_tail():
    return table([[("label", name)] for name, count in SIZES.items() for _ in range(count)])


def counted(labels, rows, head="label"):
    picked = [labels.classes[head][labels.numbers[head][row][0]] for row in rows]
    return {name: picked.count(name) for name in labels.classes[head]}


@pytest.mark.parametrize("count", [1, 2, 5, 100])
def test_so_many_of_each_class(count):
    labels = long_tail()
    rows = few_of_each(labels, "label", count, seed=0)
    assert rows == sorted(set(rows))
    assert counted(labels, rows) == {name: min(count, size) for name, size in SIZES.items()}


def test_more_labels_are_a_superset_and_seeds_differ():
    labels = long_tail()
    chosen = [set(few_of_each(labels, "label", count, seed=0)) for count in (1, 3, 8)]
    assert chosen[0] < chosen[1] < chosen[2]
    assert set(few_of_each(labels, "label", 3, seed=1)) != chosen[1]


def test_a_video_with_several_classes_counts_for_each():
    rows = [[("label", "a"), ("label", "b")], [("label", "a")], [("label", "b")]]
    labels = table(rows, several=True)
    for seed in range(8):
        chosen = few_of_each(labels, "label", 1, seed)
        have = {name for row in chosen for _, name in rows[row]}
        assert have == {"a", "b"}
        assert chosen in ([0], [0, 1], [0, 2], [1, 2])


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_shares_of_classes_over_epochs(balance):
    """Measured as a run sees them: by the order of its samples."""
    labels = long_tail()
    share_V = balanced_shares(labels, ["label"], balance)
    assert share_V.sum() == pytest.approx(1)
    videos, epochs = len(labels), 40
    division = Division.of(batch=videos, micro=videos, repeats=1, processes=1)
    order = SampleOrder(
        videos, seed=3, division=division, rank=0, start=0, stop=epochs, share_V=share_V
    )
    seen = counted(labels, [row for keys in order for _, row in keys])
    wanted = {name: size ** (1 - balance) for name, size in SIZES.items()}
    for name, value in wanted.items():
        share = value / sum(wanted.values())
        assert seen[name] / (videos * epochs) == pytest.approx(share, abs=0.01), name


def test_a_video_counts_by_the_rarest_of_its_classes():
    rows = [[("verb", "cut"), ("noun", noun)] for noun in ("knife", "onion", "onion", "onion")]
    share_V = balanced_shares(table(rows, ("verb", "noun")), ["verb", "noun"], 1.0)
    np.testing.assert_allclose(share_V, [1 / 2, 1 / 6, 1 / 6, 1 / 6])
