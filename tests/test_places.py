"""Hostile places: closed and full streams, names, folders; one line each, and no work is lost."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.runs import wait_for
from mofo import cli
from mofo.motion.store import AreaStore
from mofo.system.files import csv_cell, csv_text, folder_lock, remove_temporaries, replaced
from mofo.system.processes import Terminated, terminable

STUB = Path(__file__).parent / "motion/stub"
FULL = Path("/dev/full")


def run(words, *, cwd, shell="", **env):
    """``mofo`` in a process of its own; ``shell`` changes its streams."""
    path = os.pathsep.join([str(STUB), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "mofo", *words],
        cwd=cwd, capture_output=True, timeout=100,
        env=os.environ | {"STUB_DETECTION": "1", "PYTHONPATH": path} | env,
    )  # fmt: skip


def videos(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Path(folder, name).write_text(json.dumps({"frames": 6}))
    return folder


@pytest.mark.parametrize(
    ("shell", "workers"),
    [
        ("<&- >&- 2>&-", "2"),
        (">/dev/full", "0"),
        *(pytest.param(shell, workers, marks=pytest.mark.slow) for shell, workers in
          (("<&- >&- 2>&-", "0"), (">/dev/full", "2"), (">&-", "2"), ("2>&-", "0"),
           ("2>/dev/full", "2"))),
    ],
)  # fmt: skip
def test_closed_and_full_streams_cost_no_work(tmp_path, shell, workers):
    if "full" in shell and not FULL.exists():
        pytest.skip("no /dev/full")
    videos(tmp_path / "v", "a.mp4", "b.mp4")
    (tmp_path / "v/bad.mp4").write_text("no video")
    words = ["detect", "v", "--out", "areas", "--workers", workers]
    done = run(words, cwd=tmp_path, shell=shell)
    assert len(AreaStore.open(tmp_path / "areas")) == 2
    assert done.returncode == 1, "a video failed"
    assert b"Traceback" not in done.stderr
    if shell == ">/dev/full":
        assert b"No space left" in done.stderr


def test_help_into_a_full_file_is_a_failure(tmp_path):
    done = run(["--help"], cwd=tmp_path, shell=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode() == "mofo: output: No space left on device\n"


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("file/sub", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("loop/sub", "Too many levels of symbolic links"),
        ("/proc/sub", "No such file or directory"),
    ],
)
@pytest.mark.parametrize("verb", [["detect"], ["data", "check"]])
def test_places_that_cannot_be_written_are_named(tmp_path, capsys, monkeypatch, verb, out, reason):
    monkeypatch.chdir(videos(tmp_path, "a.mp4"))
    Path("file").write_text("precious")
    Path("loop").symlink_to("loop")
    assert cli.main([*verb, "a.mp4", "--out", out, "--quiet"]) in (1, 2)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert out[:40] in told
    assert reason in told
    assert Path("file").read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="limits as Linux has them")
@pytest.mark.parametrize(
    ("limit", "words", "reason"),
    [
        ("-f 1", ["data", "synth", "--clips", "24", "--out", "o"], "o/about.json: File too large"),
        ("-f 1", ["detect", "a.mp4", "--out", "o", "--workers", "0"], "free some space"),
        ("-n 12", ["detect", "a.mp4", "--out", "o"], "Too many open files: raise `ulimit -n`"),
    ],
)
def test_full_disks_and_few_descriptors_are_one_line(tmp_path, limit, words, reason):
    videos(tmp_path, "a.mp4")
    path = os.pathsep.join([str(STUB), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["sh", "-c", f'ulimit {limit}; exec "$@"', "sh", sys.executable, "-m", "mofo", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env=os.environ | {"STUB_DETECTION": "1", "PYTHONPATH": path},
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert last.startswith("mofo d")
    assert reason in last


def test_a_working_folder_that_is_gone(tmp_path):
    videos(tmp_path, "a.mp4")
    script = (
        "import os, sys; os.mkdir('d'); os.chdir('d'); os.rmdir('../d')\n"
        "from mofo.cli import main\n"
        f"sys.exit(main(['detect', {str(tmp_path / 'a.mp4')!r}, '--out', 'x']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "working folder is gone" in done.stderr


def test_names_that_cannot_be_printed_or_would_be_obeyed(tmp_path):
    names = ["\u00fc.mp4", "\x1b[2Jgone.mp4", os.fsdecode(b"caf\xe9.mp4")]
    folder = videos(tmp_path / "v")
    for name in names:
        (folder / name).write_text("no video")
    done = run(["detect", "v", "--out", "areas", "--workers", "0"], cwd=tmp_path,
               PYTHONIOENCODING="ascii")  # fmt: skip
    told = done.stderr.decode("ascii")
    assert done.returncode == 1
    assert "Traceback" not in told
    assert "\x1b" not in told
    assert "\\x1b[2Jgone.mp4: not a video" in told
    assert "failed (3)" in told
    assert told.count(".mp4: ") == 3


def test_temporaries_of_killed_processes_go_at_the_next_start(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from mofo.system.files import replaced\n"
        "for name in sys.argv[1:]:\n"
        "    replaced(Path(name)).__enter__().write_text('half')\n"
        "Path(replaced(Path('embedding')).__enter__()).mkdir()\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, "a.csv", "b.json"], cwd=tmp_path, check=False)
    assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / ".mine.tmp").write_text("not ours")
    with replaced(tmp_path / "living") as living:
        living.write_text("half")
        remove_temporaries(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [living.name, ".mine.tmp"]
        )
    assert (tmp_path / "living").read_text() == "half"


def test_temporary_folders_of_killed_processes_go_with_the_next_one(tmp_path):
    script = (
        "import os, sys; from mofo.system.files import temporary_folder\n"
        "with temporary_folder() as folder:\n"
        "    (folder / 'a').write_text('half'); sys.argv[1:] and os._exit(9)"
    )
    for word, left in ((["die"], 1), ([], 0)):
        words, env = [sys.executable, "-c", script, *word], os.environ | {"TMPDIR": str(tmp_path)}
        subprocess.run(words, env=env, check=False)
        assert len(list(tmp_path.iterdir())) == left


def test_the_next_writer_into_a_folder_removes_them(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from mofo.system.files import replaced\n"
        "with replaced(Path('a.csv')) as file:\n"
        "    file.write_text('text'); sys.argv[1:] and os._exit(9)"
    )
    for word in (["die"], []):
        subprocess.run([sys.executable, "-c", script, *word], cwd=tmp_path, check=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.csv").symlink_to(tmp_path / "precious")
    (folder / ".lock").symlink_to(tmp_path / "made")
    with replaced(folder / "a.csv") as file:
        file.write_text("new")
    assert (tmp_path / "precious").read_text() == "precious"
    with pytest.raises(OSError, match="symbolic") as error, folder_lock(folder):
        pass
    assert error.value.errno == errno.ELOOP
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("text", ["=1+1", "+x1", "-x.mp4", "@a", "'q", "plain", "", "a=b"])
def test_cells_are_no_formulas(text):
    assert csv_cell(text)[:1] not in ("=", "+", "-", "@")
    assert csv_text(csv_cell(text)) == text


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux lists them")
def test_a_killed_data_synth_leaves_no_process_and_goes_on(tmp_path):
    (tmp_path / "set").mkdir()
    script = (
        "import os; from pathlib import Path; from mofo.system.files import replaced\n"
        "replaced(Path('set/about.json')).__enter__().write_text('half'); os._exit(9)"
    )  # killed in its first moment
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    (tmp_path / "set/.about.json-00000000-1-00000000.tmp").write_text("of another machine")
    words = ["data", "synth", "--out", "set", "--clips", "24", "--size", "64", "--workers", "2"]
    main = subprocess.Popen(
        [sys.executable, "-m", "mofo", *words], cwd=tmp_path, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    children = f"/proc/{main.pid}/task/{main.pid}/children"
    wait_for(lambda: len(Path(children).read_text().split()) >= 3)  # with multiprocessing's tracker
    workers = [int(pid) for pid in Path(children).read_text().split()]
    main.send_signal(signal.SIGKILL)
    main.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    done = subprocess.run(
        [sys.executable, "-m", "mofo", *words], cwd=tmp_path, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(AreaStore.open(tmp_path / "set/areas")) == 24
    assert not list((tmp_path / "set").glob(".*.tmp"))


@pytest.mark.parametrize("kind", [KeyboardInterrupt(), Terminated("SIGTERM")])
def test_a_request_to_stop_is_not_lost_where_python_ignores_errors(kind):
    class Deaf:
        def __del__(self):
            raise kind

    with pytest.raises(KeyboardInterrupt) as caught, terminable():  # noqa: PT012
        Deaf()
        time.sleep(300)
    assert caught.type is type(kind)
