"""``mofo data check`` finds what was planted, and nothing else."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from helpers import trees
from mofo.cli import main
from mofo.datasets import check as checking
from mofo.datasets.catalog import read_catalog
from mofo.datasets.check import check
from mofo.datasets.file_report import QUARANTINED, FileReport, FileTask
from mofo.datasets.inspect_file import inspect_file
from mofo.video.writer import VideoWriter


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return trees.maker(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def distinct(tiny):
    """Makes videos of which no two have the same content, though all have the same size."""
    number = iter(range(10**9))

    def make(path: Path) -> Path:
        with tiny(path).open("ab") as file:  # a box that players skip
            file.write((16).to_bytes(4, "big") + b"free" + next(number).to_bytes(8, "big"))
        return path

    return make


def drawn(path: Path, frames: int, *, colour: int | None = None) -> Path:
    rng = np.random.default_rng(0)
    with VideoWriter(path, fps=25, gop=10) as writer:
        for _ in range(frames):
            picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            writer.write(picture if colour is None else np.full_like(picture, colour))
    return path


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def plant(root: Path, distinct, tiny, good: int) -> tuple[Path, Counter[str]]:
    """A table of ``good`` files without fault and 20 faults; how many of each kind."""
    rows = []
    for number in range(good):
        name = f"videos/{number:04d}.mp4"
        distinct(root / name)
        split = "validation" if number % 5 == 4 else "train"
        rows.append([name, f"class {number % 3}", split, "", ""])

    def add(name: str, label="class 0", split="train", start="", end="") -> Path:
        rows.append([name, label, split, start, end])
        (root / name).parent.mkdir(exist_ok=True)
        return root / name

    # Unreadable: 5.
    add("bad/empty.mp4").touch()
    add("bad/text.mp4").write_text("no video at all\n" * 50)
    add("bad/page.mp4").write_text("<html>404</html>")
    # The index of an mp4 is at its end, unless it was moved to the front: without it, nothing.
    with av.open(str(add("bad/cut.mp4")), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(30):
            picture = np.full((48, 64, 3), 8 * value, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    cut(root / "bad/cut.mp4", 0.7)
    add("bad/noise.webm").write_bytes(np.random.default_rng(1).bytes(4000))
    # Truncated: 2.
    cut(drawn(add("bad/short.mp4"), 100), 0.5)
    cut(drawn(add("bad/short.webm"), 100), 0.5)
    # One frame: 1; blank: 1.
    drawn(add("bad/one.mp4"), 1)
    drawn(add("bad/black.mp4", start="0", end="0.4"), 12, colour=16)
    # Outside: 1, of a file that has a good row as well.
    rows.append(["videos/0000.mp4", "class 0", "train", "7", "9"])
    # Not there: 3.
    rows.append(["bad/gone.mp4", "class 1", "train", "", ""])
    rows.append(["videos/0001.mp4", "class 1", "train", "9", "8"])
    (root / "bad" / "folder.mp4").mkdir()
    rows.append(["bad/folder.mp4", "class 1", "train", "", ""])
    # Same content: 1 inside the training set, 1 across.
    add("bad/copy.mp4").write_bytes((root / "videos/0000.mp4").read_bytes())
    add("bad/leak.mp4", "class 1").write_bytes((root / "videos/0004.mp4").read_bytes())
    # Labels: 5.
    distinct(add("bad/rare.mp4", "rare"))
    distinct(add("bad/never.mp4", "never trained", "validation"))
    rows.append(["videos/0002.mp4", "class 1", "train", "", ""])
    distinct(add("bad/none.mp4", "", "train"))
    rows.append(["videos/0003.mp4", "class 0", "validation", "", ""])
    kinds = Counter(
        {
            "unreadable": 5, "truncated": 2, "one frame": 1, "blank": 1, "outside": 1,
            "not there": 3, "same content": 1, "same in two splits": 1, "class of one": 1,
            "class not trained": 1, "two labels": 1, "no label": 1, "two splits": 1,
        }
    )  # fmt: skip
    table = root / "all.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "start", "end"], *rows])
    return table, kinds


def test_finds_what_was_planted_and_nothing_else(tmp_path, distinct, tiny, capsys):
    table, kinds = plant(tmp_path, distinct, tiny, 30)
    out = tmp_path / "out"
    assert sum(kinds.values()) == 20
    words = ["data", "check", str(table), "--out", str(out), "--workers", "0", "--quiet"]
    assert main(words) == 1
    document = json.loads((out / "check.json").read_text())
    assert document["problems"] == dict(kinds)
    named = {(row["kind"], Path(row["what"]).name) for row in document["list"]}
    assert {
        ("unreadable", "empty.mp4"), ("unreadable", "noise.webm"), ("truncated", "short.webm"),
        ("one frame", "one.mp4"), ("blank", "black.mp4"), ("outside", "0000.mp4"),
        ("not there", "gone.mp4"), ("same content", "0000.mp4"), ("two labels", "0002.mp4"),
        ("same in two splits", "0004.mp4"), ("two splits", "0003.mp4"), ("no label", "none.mp4"),
        ("class of one", "label 'rare'"), ("class not trained", "label 'never trained'"),
    } <= named  # fmt: skip
    assert document["classes"]["label"]["rare"] == {"train": 1}
    assert document["classes"]["label"]["class 2"] == {"train": 8, "validation": 2}
    assert document["sizes"] == {"64x48": 39}
    assert document["lengths"] == {"0-1 s": 37, "1-2 s": 1, "2-5 s": 1}
    said = capsys.readouterr()
    assert "no frame from 7 s on: the last one is at 0.44 s" in said.err
    assert "20 problems, 6 in quarantine" in said.out
    assert f"exclude:{out / 'quarantine.csv'}" in said.out
    assert (out / "check.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_in_quarantine_is_left_out_by_others(tmp_path, distinct, tiny):
    table, _ = plant(tmp_path, distinct, tiny, 10)
    report = check(table, tmp_path / "out", workers=0, progress=False)
    bad = [video for video in read_catalog([table]) if "bad" in video.key]
    catalog = read_catalog([table, f"exclude:{tmp_path / 'out' / 'quarantine.csv'}"])
    left = {video.key for video in catalog}
    assert len(catalog.excluded) == len(report.quarantined) == 6
    assert {"bad/empty.mp4", "bad/text.mp4", "bad/cut.mp4"} & {v.key for v in bad}
    assert not {"bad/empty.mp4", "bad/text.mp4", "bad/page.mp4", "bad/cut.mp4"} & left
    # Truncated files are of use as far as they go; so is the file with one wrong stretch.
    assert {"bad/short.mp4", "bad/short.webm", "videos/0000.mp4"} <= left
    assert not any(video.start == 7 for video in catalog)


def test_files_with_other_endings_are_counted(tmp_path, tiny, capsys):
    tiny(tmp_path / "v/a.mp4")
    for name in ("b.xyz", "sub/c.XYZ", "d", ".hidden"):
        tiny(tmp_path / "v" / name)
    assert main(["data", "check", str(tmp_path / "v"), "--out", str(tmp_path / "o")]) == 0
    assert "3 files are no videos by their endings (.xyz 2, none 1)" in capsys.readouterr().out


def test_full_decodes_everything(tmp_path, tiny, monkeypatch):
    path = drawn(tmp_path / "a.mp4", 60)
    seen = inspect_file(FileTask(str(path), str(path), full=True))
    assert (seen.count, seen.frames, seen.faults) == (60, 60, ())
    assert inspect_file(FileTask(str(path), str(path))).frames == 3
    # Wrong bytes that hit neither the first, the middle nor the last frame.
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 4
    at = place + (len(data) - place) // 4
    data[at : at + 600] = bytes(600)
    path.write_bytes(data)
    seen = inspect_file(FileTask(str(path), str(path), full=True))
    assert {fault.kind for fault in seen.faults} == {"damaged"}


def test_goes_on_where_it_stopped(tmp_path, distinct, tiny, monkeypatch):
    table, kinds = plant(tmp_path, distinct, tiny, 10)
    opened: list[str] = []
    plain = checking.inspect_file

    def counting(task: FileTask, *more: object) -> FileReport:
        if len(opened) == 7:
            raise KeyboardInterrupt
        opened.append(task.path)
        return plain(task)

    monkeypatch.setattr(checking, "inspect_file", counting)
    with pytest.raises(KeyboardInterrupt, match="17 of 24 files are left; run the same"):
        check(table, tmp_path / "out", workers=0, progress=False)
    # What a killed process leaves behind: half a line.
    with (tmp_path / "out" / "files.jsonl").open("a") as file:
        file.write('{"path": "')
    first = list(opened)
    monkeypatch.setattr(
        checking, "inspect_file", lambda task, *m: (opened.append(task.path), plain(task))[1]
    )
    report = check(table, tmp_path / "out", workers=0, progress=False)
    assert (report.skipped, report.inspected) == (7, 17)
    assert not set(first) & set(opened[7:])
    assert Counter(str(row["kind"]) for row in report.problems()) == kinds
    # A third time nothing is opened, but for what has changed.
    touched = tmp_path / "videos" / "0005.mp4"
    os.utime(touched, (0, 0))
    again = check(table, tmp_path / "out", workers=0, progress=False)
    assert (again.skipped, again.inspected) == (23, 1)
    assert again.problems() == report.problems()
    # All frames are more than three.
    full = check(table, tmp_path / "out", workers=0, progress=False, full=True)
    assert full.inspected == 24
    assert check(table, tmp_path / "out", workers=0, progress=False).inspected == 0


def test_a_crash_takes_one_file_along(tmp_path, distinct, monkeypatch):
    for number in range(6):
        distinct(tmp_path / "videos" / f"{number}.mp4")
    monkeypatch.setattr(checking, "inspect_file", crash)
    report = check(tmp_path / "videos", tmp_path / "out", workers=2, progress=False)
    ((path, fault),) = report.faults
    assert (Path(path).name, fault.kind) == ("3.mp4", "stopped")
    assert "worker process died" in fault.reason
    assert report.inspected == 6
    assert report.frames == 5 * 12
    # It is tried again.
    monkeypatch.setattr(checking, "inspect_file", inspect_file)
    again = check(tmp_path / "videos", tmp_path / "out", workers=0, progress=False)
    assert (again.skipped, again.inspected, again.faults) == (5, 1, [])


def crash(task: FileTask, progress: object = None) -> FileReport:
    """A decoder that crashes on one file."""
    if task.path.endswith("3.mp4"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return inspect_file(task)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("Open  door", "open door", "differ in case or blanks"),
        ("caf\u00e9", "cafe\u0301", "the same in another Unicode form"),
        ("open\u200b", "open", "characters that are not seen"),
        ("op\u00a0en", "op en", "Unicode form"),
        ("1.0", "1", "the same number"),
        ("01", "1", "the same number"),
    ],
)
def test_classes_that_look_alike(tmp_path, distinct, one, other, reason):
    lines = ["path,labels"]
    for number, label in enumerate((one, other, other, one, "shut", "shut")):
        distinct(tmp_path / f"{number}.mp4")
        lines.append(f"{number}.mp4,{label};indoors")
    table = trees.write(tmp_path / "all.csv", "\n".join(lines))
    report = check(table, tmp_path / "out", workers=0, progress=False)
    (row,) = report.problems()
    assert row["kind"] == "classes alike"
    assert reason in row["reason"]
    assert main(["data", "check", str(table), "--out", str(tmp_path / "out"), "--quiet"]) == 0


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("interlaced", {"flags": "+ilme+ildct", "x264-params": "tff=1"}),
        ("HDR", {"x264-params": "transfer=smpte2084:colorprim=bt2020:colormatrix=bt2020nc"}),
        ("HDR", {"x264-params": "transfer=arib-std-b67"}),
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_pictures_of_other_kinds(tmp_path, kind, options, full):
    """They are of use, but whoever reads them should know."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(12):
            picture = np.tile(np.arange(64, dtype=np.uint8) * 3 + value, (48, 1))
            frame = av.VideoFrame.from_ndarray(np.dstack([picture] * 3), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    report = inspect_file(FileTask(str(path), str(path), full=full))
    assert [fault.kind for fault in report.faults] == [kind]
    assert kind not in QUARANTINED


@pytest.mark.parametrize("name", trees.TREES)
def test_data_sets_without_fault(tmp_path, distinct, name, capsys):
    def make(path: Path) -> Path:
        return distinct(path)

    root = trees.TREES[name](tmp_path / "data", make)
    words = ["data", "check", str(root), "--out", str(tmp_path / "out"), "--workers", "0"]
    assert main([*words, "--quiet"]) == 0
    said = capsys.readouterr()
    assert "0 in quarantine" in said.out
    document = json.loads((tmp_path / "out" / "check.json").read_text())
    # Of an EPIC action that is only in the validation list there is nothing to learn from.
    expected = {
        "epic": {"class not trained": 1},
        # So small are these trees.
        "charades": {"class of one": 1}, "activitynet": {"class of one": 1},
        "finegym": {"class of one": 1},
    }  # fmt: skip
    assert document["problems"] == expected.get(name, {})


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["none.mp4"], 1, "does not exist"),
        (["a.mp4", "--workers", "-1"], 2, "0 (this process) is the least"),
        (["a.mp4", "--out", "a.mp4"], 1, "is a file: give --out a folder"),
        ([], 2, "SOURCE"),
    ],
)
def test_wrong_usage(tmp_path, tiny, monkeypatch, capsys, words, code, expected):
    monkeypatch.chdir(tmp_path)
    tiny(tmp_path / "a.mp4")
    assert main(["data", "check", *words, "--quiet"]) == code
    said = capsys.readouterr()
    assert expected in said.err
    assert "Traceback" not in said.err


# Prints the largest memory of this process and of any process below it, in KiB. Not by getrusage:
# there a process begins with what its parent had when it was made.
RUN = """
import sys, threading, time
from pathlib import Path
from mofo.cli import main

peaks = {}

def look(place):
    for line in (place / "status").read_text().splitlines():
        if line.startswith("VmHWM"):
            peaks[place.name] = int(line.split()[1])
    for children in place.glob("task/*/children"):
        for child in children.read_text().split():
            look(Path("/proc") / child)

def watch():
    while True:
        try:
            look(Path("/proc/self"))
        except OSError:  # a process that has just ended
            pass
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
code = main(["data", "check", *sys.argv[1:], "--workers", "2"])
look(Path("/proc/self"))
print(peaks.pop("self"), max(peaks.values()))
sys.exit(code)
"""


def checked(table: Path, out: Path) -> tuple[str, list[int]]:
    """What the command says, and bytes of memory."""
    words = [sys.executable, "-c", RUN, str(table), "--out", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, done.stderr
    told, _, peaks = done.stdout.strip().rpartition("\n")
    return told, [int(peak) * 1024 for peak in peaks.split()]


@pytest.mark.slow
def test_two_thousand_files(tmp_path, distinct, tiny):
    """20 faults among 2,000 files, by two processes that are killed on the way."""
    table, kinds = plant(tmp_path, distinct, tiny, 1986)
    out = tmp_path / "out"
    words = [sys.executable, "-m", "mofo", "data", "check", str(table), "--out", str(out)]
    running = subprocess.Popen([*words, "--workers", "2", "--quiet"], stderr=subprocess.DEVNULL)
    journal = out / "files.jsonl"
    end = time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 200):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    running.kill()
    running.wait()
    known = journal.read_bytes().count(b"\n")
    told, peaks = checked(table, out)
    assert f"({known:,} known from before)" in told
    document = json.loads((out / "check.json").read_text())
    assert document["files"] == 2000
    assert document["problems"] == dict(kinds)
    # Not more memory for a file than its line in the catalog takes, however many there are.
    few, _ = plant(tmp_path / "few", distinct, tiny, 86)
    # Twice: of a process that lives so shortly, the last look at it may come before its peak.
    before = [checked(few, tmp_path / "few" / out)[1] for out in ("out", "again")]
    for peak, less in zip(peaks, map(max, *before), strict=True):
        assert peak - less < 1900 * 20_000
