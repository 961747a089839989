import csv
import dataclasses
import hashlib
import json
from collections import Counter

import numpy as np
import pytest

from mofo.datasets.catalog import read_catalog
from mofo.motion.store import AreaStore
from mofo.synth.actions.dataset_writer import ActionSetSettings, entries, write_action_set
from mofo.synth.actions.levels import LEVELS
from mofo.types import MofoError, SettingsError

SETTINGS = ActionSetSettings(level="hard", clips=21, seed=3, size=32, frames=8, masks=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "actions"
    seen = []
    report = write_action_set(folder, SETTINGS, workers=0, progress=seen.append)
    assert report.done == sum(seen) == 21
    assert report.skipped == 0
    return folder


def digests(folder):
    """Of every file, and of the store of motion areas, whose bytes are no promise."""
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_relative_to(folder / "areas")
    }
    return found | {"areas": AreaStore.open(folder / "areas").fingerprint()}


def test_files_and_catalog(made):
    catalog = read_catalog([made / "videos.csv"])
    assert not catalog.problems
    assert len(catalog.videos) == 21
    assert {video.split for video in catalog.videos} == {"train", "validation", "test"}
    assert all(video.label in LEVELS["hard"].classes and video.group for video in catalog.videos)
    store = AreaStore.open(made / "areas")
    assert set(store) == {video.key for video in catalog.videos}
    about = json.loads((made / "about.json").read_text())
    assert (about["recipe"], about["level"], about["seed"]) == ("motion-actions", "hard", 3)
    assert about["clips"] == 21


def test_areas_are_those_of_the_masks(made):
    store = AreaStore.open(made / "areas")
    for key in store:
        area = store[key]
        assert area.flow == "truth"
        assert (area.width, area.height, len(area)) == (32, 32, 8)
        name = key.removeprefix("videos/").removesuffix(".mp4")
        with np.load(made / "masks" / f"{name}.npz") as masks:
            label_THW, moving_TK = masks["label_THW"], masks["moving_TK"]
        for t in range(8):
            moving = np.isin(label_THW[t], np.flatnonzero(moving_TK[t]) + 1)
            rows, columns = np.flatnonzero(moving.any(1)), np.flatnonzero(moving.any(0))
            assert area.valid_T[t] == bool(len(rows))
            if len(rows):
                box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
                np.testing.assert_array_equal(area.box_T4[t], box)


@pytest.mark.slow
def test_processes_change_nothing(made, tmp_path):
    write_action_set(tmp_path / "again", SETTINGS, workers=2)
    assert digests(tmp_path / "again") == digests(made)
    one, other = (AreaStore.open(folder / "areas") for folder in (made, tmp_path / "again"))
    for key in one:
        np.testing.assert_array_equal(one[key].box_T4, other[key].box_T4)


def test_goes_on_after_a_stop_and_grows(made, tmp_path):
    folder = tmp_path / "actions"
    small = dataclasses.replace(SETTINGS, clips=10)

    class StopError(Exception):
        pass

    def stop(_):
        raise StopError

    with pytest.raises(StopError):
        write_action_set(folder, small, workers=0, progress=stop)
    assert len((folder / "videos.csv").read_text().splitlines()) == 2  # the header and one clip
    report = write_action_set(folder, small, workers=0)
    assert (report.done, report.skipped) == (9, 1)
    gone = folder / next(entries(small)).path
    gone.unlink()
    report = write_action_set(folder, SETTINGS, workers=0)
    assert (report.done, report.skipped) == (12, 9)
    assert digests(folder) == digests(made)


def test_other_settings_and_other_folders_are_refused(made, tmp_path):
    for change in ({"seed": 4}, {"level": "easy"}, {"size": 64}):
        with pytest.raises(MofoError, match="another " + next(iter(change))):
            write_action_set(made, dataclasses.replace(SETTINGS, **change), workers=0)
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(MofoError, match="something else"):
        write_action_set(tmp_path, SETTINGS, workers=0)
    with pytest.raises(SettingsError, match="workers"):
        write_action_set(tmp_path / "new", SETTINGS, workers=-1)


def test_splits_and_classes_are_balanced():
    every = list(entries(ActionSetSettings(level="easy", clips=800)))
    splits = Counter(one.recipe.split for one in every)
    assert splits == {"train": 560, "validation": 120, "test": 120}
    for split in splits:
        counts = Counter(one.recipe.label for one in every if one.recipe.split == split)
        assert len(counts) == 8
        assert max(counts.values()) == min(counts.values())
    # A larger set begins with the smaller one.
    assert list(entries(ActionSetSettings(level="easy", clips=1000)))[:800] == every


@pytest.mark.parametrize(
    "wrong", [{"clips": 0}, {"seed": -1}, {"size": 33}, {"frames": 4}, {"level": "no"}]
)
def test_impossible_settings(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ActionSetSettings(**wrong)


def test_catalog_has_the_columns_of_the_documentation(made):
    with (made / "videos.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "split", "group"]
