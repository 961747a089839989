import errno
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mofo
from mofo import cli
from mofo.commands.options import Option, described, read_options
from mofo.commands.verb import GROUPS, VERBS, Verb
from mofo.types import MofoError

STUB = Path(__file__).parent / "motion/stub"
HEAVY = ("torch", "cv2", "av", "pyarrow", "matplotlib", "sklearn", "pydantic", "tqdm")


def mofo_command(*words, **more):
    env = os.environ | {
        "STUB_DETECTION": "1",
        "PYTHONPATH": os.pathsep.join([str(STUB), os.environ.get("PYTHONPATH", "")]),
        "COLUMNS": "80",
    }
    return subprocess.run(
        [sys.executable, "-m", "mofo", *map(str, words)],
        capture_output=True,
        text=True,
        env=env,
        timeout=300,
        **more,
    )


def loaded(code: str) -> set[str]:
    """Heavy modules that are imported after ``code`` has run in a fresh interpreter."""
    text = f"import sys\n{code}\nprint('\\nloaded', *[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=True, timeout=300
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_help_is_quick_because_it_imports_nothing():
    assert loaded("import mofo.cli; mofo.cli.main(['--help'])") == set()
    assert loaded("import mofo; mofo.__version__; dir(mofo)") == set()
    assert loaded("import mofo.cli; mofo.cli.main(['evaluate', '--help'])") == set()
    assert loaded("import mofo.cli; mofo.cli.main(['evaluate', '--bath', '3'])") == set()


def test_public_names_come_when_they_are_used():
    assert loaded("import mofo; mofo.MotionArea") == set()
    assert set(mofo.__all__) <= set(dir(mofo))
    for name in set(mofo.__all__):
        assert getattr(mofo, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'detcet'"):
        mofo.detcet  # noqa: B018


def test_overview_and_version(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 80
    assert all(f"  {verb.split()[0]} " in text for verb in VERBS)
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"mofo {mofo.__version__}\n"
    assert cli.main([]) == 2


@pytest.mark.parametrize("group", GROUPS)
def test_groups_list_their_verbs(group, capsys):
    assert cli.main([group, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb.split()[1]} " in text for verb in VERBS if verb.split()[0] == group)
    assert cli.main([group]) == cli.main([group, "none"]) == 2


@pytest.mark.parametrize("name", VERBS)
def test_help_fits_a_screen_and_ends_with_an_example(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*name.split(), "--help"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.rstrip().splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80
    examples = printed.out.rpartition("\nexample")[2]
    assert f"mofo {name} " in f"{examples} "
    assert not printed.err


@pytest.mark.parametrize("name", VERBS)
def test_every_option_is_explained_and_every_explanation_is_of_an_option(name):
    verb = VERBS[name]
    options = verb.options()
    assert [
        option.name for option in options if not option.help and option.name != "progress"
    ] == []
    explained = described(inspect.cleandoc(verb.run.__doc__))
    assert explained.keys() <= {option.name for option in options}


def test_options_come_from_signatures_and_settings():
    """An option that is not given is not passed on: each default is written in one place."""
    calls = []

    def run(call: object, *, out: str = "here", many_words: tuple[int, int] = (1, 2)) -> int:
        """A verb.

        Args:
            out: where.
            many_words: a pair.
        """
        calls.append((call, out, many_words))
        return 0

    run.__module__ = __name__
    verb = Verb("try", run, calls="mofo.motion.presets:DetectSettings")
    verb.options = lambda: [
        *read_options("mofo.motion.presets:DetectSettings"),
        Option("many_words", "tuple[int, int]", True, False, (1, 2), ""),
    ]
    assert verb(["--short-side", "64", "--many-words", "3x4"]) == 0
    [(call, out, many_words)] = calls
    assert (out, many_words) == ("here", (3, 4))
    assert (call().preset, call().flow, call().short_side) == ("default", "dis", 64)
    assert call(preset="paper").flow == "tvl1"


def test_wrong_usage_exits_with_2(capsys):
    cases = {
        ("detcet",): "did you mean 'detect'?",
        ("areas", "merg"): "did you mean 'merge'?",
        ("xyz",): "'xyz' is unknown: choose from ",
        ("--hlep",): "option '--hlep'",
        ("detect", "."): "the following arguments are required: --out",
        ("detect", ".", "--out", "o", "--worker", "2"): "did you mean '--workers'?",
        ("detect", ".", "--out", "o", "--shard", "5/4"): "5/4",
        ("detect", ".", "--out", "o", "--flow", "diss"): "flow",
        ("detect", ".", "--out", "o", "--short-side", "8"): "short_side",
        ("areas", "merge"): "the following arguments are required: FOLDER",
    }
    for words, message in cases.items():
        assert cli.main(words) == 2
        told = capsys.readouterr()
        assert message in told.err
        assert told.err.count("\n") == 1
        assert told.out == ""


@pytest.fixture
def verb(monkeypatch):
    """A verb ``try`` that does what the test says."""

    def set_error(error: BaseException):
        def run(words: list[str]) -> int:
            raise error

        monkeypatch.setattr(cli, "VERBS", {**VERBS, "try": run})

    return set_error


def test_users_mistakes_are_one_line(verb, capsys):
    cases = [
        (MofoError("a.mp4: is\nempty"), 1, "mofo try: a.mp4: is empty\n"),
        (KeyboardInterrupt(), 130, "mofo try: stopped\n"),
        (KeyboardInterrupt("stopped: 3 left"), 130, "mofo try: stopped: 3 left\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 1,
         "mofo try: /x/y: No space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1,
         "mofo try: /x: Permission denied\n"),
    ]  # fmt: skip
    for error, code, text in cases:
        verb(error)
        assert cli.main(["try"]) == code
        assert capsys.readouterr().err == text


def test_a_bug_keeps_its_traceback(verb):
    for error in (ZeroDivisionError("x"), OSError(errno.EBADF, "Bad file descriptor")):
        verb(error)
        with pytest.raises(type(error)):
            cli.main(["try"])


def test_a_closed_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -m mofo --help | true",
        shell=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stderr == ""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "mofo", "--help"],
            stdout=closed, stderr=subprocess.PIPE, text=True, timeout=300,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


def test_detect_from_end_to_end(tmp_path):
    videos = tmp_path / "v"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (videos / name).write_text(json.dumps({"frames": 6}))
    good = mofo_command("detect", videos, "--out", "areas", "--workers", "2", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert good.stderr == ""
    lines = good.stdout.splitlines()
    assert lines[0].startswith("2 videos: 2 done; 12 frames, ")
    assert lines[1].strip() == str(tmp_path / "areas/areas")
    assert lines[-1].startswith("next: ")
    (videos / "bad.mp4").write_text("text")
    bad = mofo_command("detect", videos, "--out", "areas", "--workers", "0", cwd=tmp_path)
    assert bad.returncode == 1
    assert bad.stderr == "failed (1):\n  bad.mp4: not a video\n"
    assert "3 videos: 0 done, 2 finished before, 1 failed" in bad.stdout
    none = mofo_command("detect", "nowhere", "--out", "areas", cwd=tmp_path)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr.startswith("mofo detect: nowhere: does not exist")
    assert none.stderr.count("\n") == 1


@pytest.mark.slow
def test_shards_merge_and_json_from_end_to_end(tmp_path):
    videos = tmp_path / "v"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (videos / name).write_text(json.dumps({"frames": 6}))
    for shard in ("1/2", "2/2"):
        words = ("detect", ".", "--out", "areas", "--workers", "0", "--shard", shard)
        done = mofo_command(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "when all 2 shards are done, the store is complete" in done.stdout
    done = mofo_command("areas", "merge", "areas", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 videos" in done.stdout
    done = mofo_command("areas", "export", "areas", "--to", "boxes.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "boxes.json").read_text())) == 3
    done = mofo_command(
        "areas", "import", "boxes.json", "--videos", "v", "--out", "back", cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("left out (3):\n  a.mp4: ")
