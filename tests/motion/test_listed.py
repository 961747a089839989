"""Lists with segments: only these and a little around them are looked at."""

import numpy as np
import pytest

from helpers.clipsets import settings, write_painted
from helpers.painted import walk
from mofo.clips.dataset import ClipDataset
from mofo.datasets.catalog import read_catalog
from mofo.motion.detect import detect, detect_many
from mofo.motion.listed import covers, joined, wanted_spans
from mofo.motion.presets import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MofoError

CODEC = DetectSettings(flow="codec")


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Six seconds at 25 frames a second, in which something moves all the time."""
    folder = tmp_path_factory.mktemp("listed")
    boxes_T4 = np.concatenate([walk(50, 128, 96, seed) for seed in range(3)])
    return write_painted(folder / "long.mp4", boxes_T4, 128, 96)


def listed(video, *segments):
    table = video.parent / "list.csv"
    rows = [f"{video.name},{start},{end}" for start, end in segments]
    table.write_text("\n".join(["path,start,end", *rows]) + "\n")
    return table


def run(table, out, **how):
    return detect_many(table, out, settings=CODEC, workers=0, progress=False, **how)


def test_only_the_listed_segments_are_looked_at(video, tmp_path):
    table = listed(video, (1, 2), (1.5, 2.2), (4, 4.5))
    report = run(table, tmp_path, margin=0.2)
    assert (report.done, report.frames, report.warnings) == (1, 63, ())
    with AreaStore.open(tmp_path) as store:
        area, [about] = store["long.mp4"], store.videos().to_pylist()
    assert len(area) == 150  # a row a frame, as ever
    looked = np.zeros(150, bool)
    looked[20:60] = looked[95:118] = True
    assert not area.valid_T[~looked].any()
    assert area.spans == ((0.8, 2.4), (3.8, 4.7))
    assert about["looked_at"] == 63
    assert about["moving"] == pytest.approx(area.valid_T.sum() / 63)
    assert area.valid_T[looked].mean() > 0.5
    whole = detect(video, flow="codec")
    both = area.valid_T & whole.valid_T
    both[[*range(20, 24), *range(95, 99)]] = False  # what the ends of a segment see is less
    assert np.median(np.abs(area.box_T4 - whole.box_T4)[both]) < 4
    # Nothing is done twice; what is new in the list is.
    assert run(table, tmp_path, margin=0.2).skipped == 1
    assert run(listed(video, (1, 2)), tmp_path, margin=0.1).skipped == 1
    assert run(listed(video, (5, 5.5)), tmp_path, margin=0.1).done == 1
    assert run(listed(video, (1, 2), (5, 5.5)), tmp_path, margin=0.1).skipped == 1
    assert run(table, tmp_path, whole_files=True).done == 1
    assert run(table, tmp_path, margin=0.2).skipped == 1  # whole files hold every segment


def test_clips_elsewhere_are_refused_rather_than_still(video, tmp_path):
    run(listed(video, (1, 2)), tmp_path / "areas", margin=0.1)
    chosen = settings(motion=str(tmp_path / "areas"), tries=1)
    data = ClipDataset(read_catalog([listed(video, (1, 2))]).videos, chosen, seed=0)
    assert data[0, 0].valid_T.any()
    other = ClipDataset(read_catalog([listed(video, (4, 5))]).videos, chosen, seed=0)
    with pytest.raises(MofoError, match=r"no motion from .*--whole-files"):
        other[0, 0]


def test_spans():
    assert joined([(3, 4), (0, 1), (1, 2)]) == ((0, 2), (3, 4))
    assert covers((), ((1, 2),))
    assert covers(((0, 5),), ((1, 2), (3, 5)))
    assert not covers(((0, 5),), ((1, 2), (3, 6)))
    assert not covers(((0, 5),), ())
    assert wanted_spans([], 2) == ()
