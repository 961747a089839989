import csv
import json
from pathlib import Path

import pytest

from helpers.runs import CODEC, NAMES, content, make, run
from helpers.stored import rows
from mofo import cli
from mofo.motion.detect import detect, merge_shards
from mofo.motion.parts import digest, parts
from mofo.motion.store import AreaStore
from mofo.types import MofoError, SettingsError, StoreError


def test_detect_is_one_video_in_memory(tmp_path, log):
    video = make(tmp_path) / "a.mp4"
    assert len(detect(video)) == 4
    assert detect(str(video), flow="codec").flow == "codec"
    with pytest.raises(SettingsError, match="did you mean 'codec'"):
        detect(video, flow="codek")


def test_a_run_makes_a_store_and_a_report(tmp_path, log):
    out = tmp_path / "out"
    report = run(make(tmp_path / "v"), out)
    assert (report.total, report.done, report.skipped, report.failed) == (6, 6, 0, 0)
    assert report.frames == sum(range(4, 10))
    assert report.paths == (out / "areas", out / "videos")
    assert len(content(out)) == 2
    store = AreaStore.open(out)
    assert list(store) == sorted(NAMES)
    assert len(store["b/c.webm"]) == 5
    assert store.videos()["path"][0].as_py() == str(tmp_path / "v/a.mp4")
    assert sorted(log()) == sorted(Path(name).name for name in NAMES)


def test_a_dry_run_says_how_long_it_will_take_and_writes_nothing(tmp_path, log, capsys):
    videos = tmp_path / "v"
    videos.mkdir()
    for number in range(80):
        content = {
            "frames": 4,
            "seed": number,
            "fill": "x" * number,
        }
        (videos / f"{number}.mp4").write_text(json.dumps(content))
    dry = run(videos, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    assert 12 <= len(log()) == dry.estimate.tried < 80
    report = run(videos, tmp_path / "out")
    assert report.seconds / 20 < dry.estimate.seconds < report.seconds * 20
    assert (dry.estimate.videos, dry.skipped) == (80, 0)
    assert run(videos, tmp_path / "out", dry_run=True).estimate.videos == 0
    words = ["detect", str(videos), "--out", str(tmp_path / "new"), "--workers", "0", "--dry-run"]
    assert cli.main(words) == 0
    assert "80 videos" in capsys.readouterr().out


def test_finished_videos_are_skipped(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    before = rows(out)
    log()
    report = run(videos, out)
    assert (report.done, report.skipped, report.frames) == (0, 6, 0)
    assert log() == []
    assert rows(out) == before
    make(videos, ["new.mp4"])
    (videos / "a.mp4").write_text(json.dumps({"frames": 40, "seed": 0}))  # another size
    assert (run(videos, out).done, log()) == (2, ["a.mp4", "new.mp4"])
    run(videos, tmp_path / "fresh")
    assert rows(out) == rows(tmp_path / "fresh")


def test_changed_settings_are_told_and_done_again(tmp_path, log, capsys):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    log()
    # Also the videos that are not asked for this time: a store has one setting.
    report = run(videos / "a.mp4", out, settings=CODEC, progress=True)
    assert "settings changed (flow: dis -> codec): 6 videos are detected again" in (
        capsys.readouterr().err
    )
    assert report.done == 6
    assert AreaStore.open(out).settings == CODEC
    run(videos, tmp_path / "fresh", settings=CODEC)
    assert rows(out) == rows(tmp_path / "fresh")


def test_changed_settings_never_cost_videos_that_are_gone(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    (videos / "a.mp4").unlink()
    before = rows(out)
    with pytest.raises(StoreError, match=r"1 of its videos are gone, such as .*a.mp4"):
        run(videos, out, settings=CODEC)
    assert rows(out) == before


def test_a_moved_data_set_is_finished_and_a_namesake_is_not(tmp_path, log):
    out = tmp_path / "out"
    run(make(tmp_path / "v"), out)
    (tmp_path / "v").rename(tmp_path / "w")
    assert run(tmp_path / "w", out).skipped == 6
    make(tmp_path / "v", ["a.mp4"])  # the old place is taken again, by another file
    report = run(tmp_path / "w/a.mp4", out)
    old = tmp_path / "v/a.mp4"
    assert report.failures == (
        ("a.mp4", f"another video of this name is in the store already ({old})"),
    )


def test_failures_are_listed_and_the_file_holds_the_current_truth(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    (videos / "bad.mp4").write_text("text")
    make(videos, ["bug.mp4"], do="bug")
    make(videos, ["warned.mp4"], warnings=["truncated after frame 3: end"])
    (videos / "gone.mp4").symlink_to("nowhere")
    report = run(videos, out)
    assert [name for name, _ in report.failures] == [
        str(videos / "gone.mp4"), "bad.mp4", "bug.mp4",
    ]  # fmt: skip
    assert dict(report.failures)["bad.mp4"] == "not a video"
    assert dict(report.failures)["bug.mp4"] == "internal error: ZeroDivisionError: a bug"
    assert report.warnings == (("warned.mp4", "truncated after frame 3: end"),)
    assert (report.total, report.done, report.failed) == (10, 7, 3)
    with (out / "failures.csv").open() as lines:
        rows = list(csv.reader(lines))
    assert rows == [["name", "reason"], *map(list, report.failures)]
    assert out / "failures.csv" in report.paths
    assert AreaStore.open(out)["warned.mp4"].warnings == ("truncated after frame 3: end",)
    for name in ("bad.mp4", "gone.mp4", "bug.mp4"):
        (videos / name).unlink()
    report = run(videos, out)
    assert (report.done, report.skipped, report.failed) == (0, 7, 0)
    assert not (out / "failures.csv").exists()


def test_a_bug_shows_its_traceback(tmp_path, log, capsys):
    run(make(tmp_path / "v", ["bug.mp4"], do="bug"), tmp_path / "out", progress=True)
    told = capsys.readouterr().err
    assert "bug.mp4: a bug in mofo, please report it:\nTraceback" in told
    assert "ZeroDivisionError: a bug" in told


def test_a_full_disk_stops_the_run(tmp_path, log):
    videos = make(tmp_path / "v", ["a.mp4"])
    make(videos, ["b.mp4"], do="full")
    with pytest.raises(StoreError, match="No space left on device: 1 videos were finished"):
        run(videos, tmp_path / "out")
    assert len(parts(tmp_path / "out")) == 1


def test_shards_and_a_merge_are_the_same_as_one_run(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    (videos / "bad.mp4").write_text("text")
    (videos / "gone.mp4").symlink_to("nowhere")
    reports = [run(videos, out, shard=(at, 3)) for at in (1, 2, 3)]
    assert sum(report.done for report in reports) == 6
    assert sum(report.failed for report in reports) == 2
    assert run(videos, out, shard=(1, 3)).done == 0
    log()
    assert merge_shards(out).folder == out
    assert len(parts(out)) == 1
    run(videos, tmp_path / "one")
    assert rows(out) == rows(tmp_path / "one")
    log()
    assert run(videos, out, shard=(2, 5)).done == 0
    assert set(log()) <= {"bad.mp4"}


def test_shards_left_behind_are_brought_in_by_a_whole_run(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    done = run(videos, out, shard=(1, 2)).done
    assert run(videos, out).skipped == done
    run(videos, tmp_path / "one")
    assert rows(out) == rows(tmp_path / "one")


def test_shards_with_changed_settings(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    run(videos, out, settings=CODEC, shard=(1, 2))
    with pytest.raises(StoreError, match="videos are of other settings"):
        merge_shards(out)
    run(videos, out, settings=CODEC, shard=(2, 2))
    merge_shards(out)
    run(videos, tmp_path / "one", settings=CODEC)
    assert rows(out) == rows(tmp_path / "one")


def draw_nothing(path, area, target):
    """Says which detection it shows."""
    target.write_text(f"{Path(path).name} {area.flow} {len(area)} {area.box_T4.sum()}")


DRAW = {".mp4": draw_nothing, ".png": draw_nothing}


def test_overlays_are_drawn_without_detecting_again(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    report = run(videos, out, draw=DRAW)
    assert out / "overlays" in report.paths
    drawn = content(out / "overlays")
    assert sorted(drawn)[:4] == ["a.mp4", "a.png", "b/c.webm.mp4", "b/c.webm.png"]
    assert len(drawn) == 12
    (out / "overlays/a.png").unlink()
    log()
    report = run(videos, out, draw=DRAW)
    assert (report.done, report.skipped, log()) == (1, 5, [])
    assert content(out / "overlays") == drawn
    run(videos, out, settings=CODEC)  # without overlays: the old ones would be wrong
    assert content(out / "overlays") == {}


def test_a_store_inside_the_folder_of_videos_does_not_eat_its_overlays(tmp_path, log):
    videos = make(tmp_path / "v")
    run(videos, videos / "areas", draw=DRAW)
    assert run(videos, videos / "areas", draw=DRAW).total == 6


def test_wrong_use_is_told(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    cases = [
        (MofoError, "no video", lambda: run(tmp_path / "empty", out)),
        (MofoError, "does not exist", lambda: run(tmp_path / "x", out)),
        (StoreError, "is a file", lambda: run(videos, videos / "a.mp4")),
        (MofoError, "shard 3/2", lambda: run(videos, out, shard=(3, 2))),
        (MofoError, "engine 'dask' is unknown", lambda: run(videos, out, engine="dask")),
        (MofoError, "workers is -1", lambda: run(videos, out, workers=-1)),
        (MofoError, "timeout is 0", lambda: run(videos, out, timeout=0)),
        (StoreError, "no such folder", lambda: merge_shards(out)),
    ]
    for kind, message, act in cases:
        with pytest.raises(kind, match=message):
            act()
    assert not out.exists()
    out.mkdir()
    with pytest.raises(StoreError, match="nothing to merge"):
        merge_shards(out)


def test_stopping_in_the_middle_of_new_settings_keeps_both(tmp_path, log, monkeypatch):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    before = content(out)
    from mofo.system import pool as module

    class Stopping(module.InProcess):
        def run(self, tasks):
            for number, outcome in enumerate(super().run(tasks)):
                if number == 3:
                    raise KeyboardInterrupt
                yield outcome

    with monkeypatch.context() as patch:
        patch.setattr(module, "InProcess", Stopping)
        with pytest.raises(KeyboardInterrupt, match="stopped: 3 of 6 videos"):
            run(videos, out, settings=CODEC)
    after = content(out)
    assert {name: after[name] for name in before} == before
    with pytest.raises(StoreError, match="two settings"):
        AreaStore.open(out)
    assert run(videos, out, settings=CODEC).skipped >= 3
    run(videos, tmp_path / "fresh", settings=CODEC)
    assert rows(out) == rows(tmp_path / "fresh")


def test_shard_of_a_key_is_stable():
    assert [digest(name) % 4 + 1 for name in ("a.mp4", "b/c.webm")] == [1, 3]
