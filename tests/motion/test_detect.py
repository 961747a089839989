import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mofo.motion import progress as progress_module
from mofo.motion.cpus import usable_cpus
from mofo.motion.detect import detect, detect_many, merge_shards
from mofo.motion.parts import digest, part_files
from mofo.motion.progress import Progress, clock
from mofo.motion.settings import DetectSettings
from mofo.motion.store import AreaStore
from mofo.types import MofoError, SettingsError, StoreError

STUB = Path(__file__).parent / "stub"
NAMES = ["a.mp4", "b/c.webm", "b/d e 視.mp4", "e.mkv", "f.mp4", "g.mp4"]
CODEC = DetectSettings(flow="codec")


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Use the stand-in detection, here and in worker processes; names what was really detected."""
    monkeypatch.setenv("STUB_DETECTION", "1")
    monkeypatch.setenv("STUB_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("PYTHONPATH", str(STUB))
    before = {
        name: sys.modules.get(name) for name in ("mofo.motion.analyse", "mofo.report.figures")
    }
    spec = importlib.util.spec_from_file_location("stub", STUB / "sitecustomize.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))

    def read() -> list[str]:
        """What was detected since the last look, in order."""
        lines = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        (tmp_path / "log").unlink(missing_ok=True)
        return [line.rpartition(" ")[0] for line in lines]

    yield read
    for name, module in before.items():
        sys.modules.pop(name)
        if module is not None:
            sys.modules[name] = module


def make(folder: Path, names=NAMES, **content) -> Path:
    for number, name in enumerate(names):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"frames": 4 + number, "seed": number} | content))
    return folder


def run(folder: Path, out: Path, **more):
    return detect_many(folder, out, **({"workers": 0, "progress": False} | more))


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and ".lock" not in file.name)
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "mofo.cli", "detect", str(folder), "--out", str(out), *more]


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return value


def test_detect_is_one_video_in_memory(tmp_path, log):
    video = make(tmp_path) / "a.mp4"
    assert len(detect(video)) == 4
    assert detect(str(video), flow="codec").flow == "codec"
    with pytest.raises(SettingsError, match="did you mean 'codec'"):
        detect(video, flow="codek")


def test_a_run_makes_a_store_and_a_report(tmp_path, log):
    out = tmp_path / "out"
    report = run(make(tmp_path / "v"), out)
    assert (report.found, report.done, report.skipped, report.failed) == (6, 6, 0, 0)
    assert report.frames == sum(range(4, 10))
    assert report.paths == (out / "areas.parquet", out / "videos.parquet")
    assert sorted(content(out)) == ["areas.parquet", "videos.parquet"]
    store = AreaStore.open(out)
    assert list(store) == sorted(NAMES)
    assert len(store["b/c.webm"]) == 5
    assert store.videos()["path"][0].as_py() == str(tmp_path / "v/a.mp4")
    assert sorted(log()) == sorted(Path(name).name for name in NAMES)


def test_finished_videos_are_skipped(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    before = content(out)
    log()
    report = run(videos, out)
    assert (report.done, report.skipped, report.frames) == (0, 6, 0)
    assert log() == []
    assert content(out) == before
    make(videos, ["new.mp4"])
    (videos / "a.mp4").write_text(json.dumps({"frames": 40, "seed": 0}))  # another size
    assert (run(videos, out).done, log()) == (2, ["a.mp4", "new.mp4"])
    run(videos, tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


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
    assert content(out) == content(tmp_path / "fresh")


def test_changed_settings_never_cost_videos_that_are_gone(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    (videos / "a.mp4").unlink()
    before = content(out)
    with pytest.raises(StoreError, match=r"1 of its videos are gone, such as .*a.mp4"):
        run(videos, out, settings=CODEC)
    assert content(out) == before


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
    assert (report.found, report.done, report.failed) == (10, 7, 3)
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
    assert len(list(part_files(tmp_path / "out"))) == 1


def test_shards_and_a_merge_are_the_same_as_one_run(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    (videos / "bad.mp4").write_text("text")
    (videos / "gone.mp4").symlink_to("nowhere")
    reports = [run(videos, out, shard=(at, 3)) for at in (1, 2, 3)]
    assert sum(report.done for report in reports) == 6
    assert sum(report.failed for report in reports) == 2
    assert run(videos, out, shard=(1, 3)).done == 0
    log()
    pair = merge_shards(out)
    run(videos, tmp_path / "one")
    assert content(out) == content(tmp_path / "one")
    assert pair.areas == out / "areas.parquet"
    log()
    assert run(videos, out, shard=(2, 5)).done == 0
    assert set(log()) <= {"bad.mp4"}


def test_shards_left_behind_are_brought_in_by_a_whole_run(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    done = run(videos, out, shard=(1, 2)).done
    assert run(videos, out).skipped == done
    run(videos, tmp_path / "one")
    assert content(out) == content(tmp_path / "one")


def test_shards_with_changed_settings(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    run(videos, out, settings=CODEC, shard=(1, 2))
    with pytest.raises(StoreError, match="videos are of other settings"):
        merge_shards(out)
    run(videos, out, settings=CODEC, shard=(2, 2))
    merge_shards(out)
    run(videos, tmp_path / "one", settings=CODEC)
    assert content(out) == content(tmp_path / "one")


def test_overlays_are_drawn_without_detecting_again(tmp_path, log):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    report = run(videos, out, overlay=True)
    assert out / "overlays" in report.paths
    drawn = content(out / "overlays")
    assert sorted(drawn)[:4] == ["a.mp4", "a.png", "b/c.webm.mp4", "b/c.webm.png"]
    assert len(drawn) == 12
    (out / "overlays/a.png").unlink()
    log()
    report = run(videos, out, overlay=True)
    assert (report.done, report.skipped, log()) == (1, 5, [])
    assert content(out / "overlays") == drawn
    run(videos, out, settings=CODEC)  # without overlays: the old ones would be wrong
    assert content(out / "overlays") == {}


def test_a_store_inside_the_folder_of_videos_does_not_eat_its_overlays(tmp_path, log):
    videos = make(tmp_path / "v")
    run(videos, videos / "areas", overlay=True)
    assert run(videos, videos / "areas", overlay=True).found == 6


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


def test_workers_that_die_or_hang_cost_one_video_each(tmp_path, log):
    videos = make(tmp_path / "v")
    for name in ("die", "segv", "hang", "bug", "memory"):
        make(videos, [f"{name}.mp4"], do=name)
    report = run(videos, tmp_path / "out", workers=2, timeout=1.5)
    assert report.failures == (
        ("bug.mp4", "internal error: ZeroDivisionError: a bug"),
        ("die.mp4", "the worker process died (exit code -9: out of memory?)"),
        ("hang.mp4", "gave up: no progress for 1.5 seconds"),
        ("memory.mp4", "out of memory"),
        ("segv.mp4", "the worker process died (exit code -11: a crash in a decoder?)"),
    )
    assert report.done == 6
    for name in ("die", "segv", "hang", "bug", "memory"):
        (videos / f"{name}.mp4").unlink()
    run(videos, tmp_path / "alone")
    for name in ("areas.parquet", "videos.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


def test_slow_videos_that_move_on_are_not_given_up(tmp_path, log):
    videos = make(tmp_path / "v", ["a.mp4"], frames=12, sleep=0.2)
    assert run(videos, tmp_path / "out", workers=1, timeout=1.2).done == 1


@pytest.mark.parametrize("flow", ["dis", "codec"])
def test_a_killed_run_goes_on_and_repeats_nothing(tmp_path, log, flow):
    names = [f"{number:02}.mp4" for number in range(16)]
    videos, out = make(tmp_path / "v", names), tmp_path / "out"
    if flow == "codec":  # the same in the middle of a change of settings
        run(videos, out)
        log()
    main = subprocess.Popen(
        command(videos, out, "--workers", "2", "--flow", flow),
        stderr=subprocess.DEVNULL,
        env=os.environ | {"STUB_SLEEP": "0.01"},
    )
    wait_for(lambda: len(list(part_files(out))) >= 5)
    main.kill()
    main.wait()
    workers = {int(line.split()[-1]) for line in (tmp_path / "log").read_text().splitlines()}
    assert len(workers) == 2
    # The workers end by themselves.
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)
    log()
    finished = len(list(part_files(out)))
    assert 5 <= finished < 16
    report = run(videos, out, settings=DetectSettings(flow=flow))
    assert (report.skipped, report.done) == (finished, 16 - finished)
    assert len(log()) == 16 - finished
    run(videos, tmp_path / "fresh", settings=DetectSettings(flow=flow))
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1)])
def test_a_stopped_run_keeps_what_is_finished(tmp_path, log, number, code):
    names = [f"{number:02}.mp4" for number in range(16)]
    videos, out = make(tmp_path / "v", names), tmp_path / "out"
    main = subprocess.Popen(
        command(videos, out, "--workers", "2"),
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"STUB_SLEEP": "0.01"},
    )
    wait_for(lambda: len(list(part_files(out))) >= 3)
    main.send_signal(number)
    told = main.communicate(timeout=30)[1]
    assert main.returncode == code
    last = told.splitlines()[-1]
    assert last.startswith("mofo detect: stopped: ")
    assert "run the same command to go on from here" in last
    assert "Traceback" not in told
    kept = len(AreaStore.open(out))
    assert 3 <= kept < 16
    assert not (out / "parts").exists()
    log()
    assert run(videos, out).done == 16 - kept
    assert len(log()) == 16 - kept


def test_stopping_in_the_middle_of_new_settings_keeps_both(tmp_path, log, monkeypatch):
    videos, out = make(tmp_path / "v"), tmp_path / "out"
    run(videos, out)
    before = content(out)
    from mofo.motion import detect as module

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
    assert {name: content(out)[name] for name in before} == before
    assert list(AreaStore.open(out)) == sorted(NAMES)
    assert run(videos, out, settings=CODEC).skipped >= 3
    run(videos, tmp_path / "fresh", settings=CODEC)
    assert content(out) == content(tmp_path / "fresh")


def test_a_script_without_main_guard_is_told(tmp_path, log):
    make(tmp_path / "v")
    script = tmp_path / "script.py"
    script.write_text(f"import mofo\nmofo.detect_many({str(tmp_path / 'v')!r}, 'o', workers=2)\n")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 1
    assert "needs `if __name__ == '__main__':`" in done.stderr


def test_ray_does_the_same(tmp_path, log):
    videos = make(tmp_path / "v")
    if importlib.util.find_spec("ray") is None:
        with pytest.raises(MofoError, match=r"pip install 'mofo\[ray\]'"):
            run(videos, tmp_path / "out", engine="ray")
        pytest.skip("Ray is not installed")
    make(videos, ["die.mp4"], do="die")
    report = run(videos, tmp_path / "out", engine="ray", workers=2)
    assert (report.done, report.failed) == (6, 1)
    assert "worker process died" in report.failures[0][1]
    run(videos / "b", tmp_path / "fresh")
    assert len(AreaStore.open(tmp_path / "out")) == 6


def test_usable_cpus_respects_limits(tmp_path):
    group = tmp_path / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/job\n")
    here = usable_cpus(tmp_path, {})
    assert here == len(os.sched_getaffinity(0))
    assert usable_cpus(tmp_path, {"SLURM_CPUS_PER_TASK": "1"}) == 1
    (group / "cpu.max").write_text("max 100000\n")
    assert usable_cpus(tmp_path, {}) == here
    (group / "cpu.max").write_text("100000 100000\n")
    assert usable_cpus(tmp_path, {}) == 1
    (group / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path, {}) == 1


def test_progress_in_a_file_is_a_line_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = Progress(10, stream=stream)
    for _ in range(4):
        now[0] += 10
        progress.finished(50)
        progress.beat(frames_running=20)
    progress.close()
    assert stream.getvalue() == (
        "detect: 3 of 10 videos, 0.10 videos/s, 6 frames/s, 1 min 10 s left\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (61, "1 min 01 s"), (7800, "2 h 10 min")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_shard_of_a_key_is_stable():
    assert [digest(name) % 4 + 1 for name in ("a.mp4", "b/c.webm")] == [1, 3]
