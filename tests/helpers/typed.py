"""Commands as readers type them: checked without being run, or run on something small.

Nothing in a page is changed to make it cheap. The rules are here: ``SMALL`` is appended to what
trains, ``QUICK`` to what has an option of that name, and ``NOT_RUN`` is only checked.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path

import mofo.cli
from mofo.commands.verb import GROUPS, VERBS, Verb
from mofo.training.finetune_settings import FinetuneSettings
from mofo.training.pretrain_settings import PretrainSettings

SETTINGS = {"pretrain": PretrainSettings, "finetune": FinetuneSettings}
_SMALL = {
    "data.frames": "4", "data.size": "32", "model.size": "nano", "optim.batch": "4",
    "optim.epochs": "1", "optim.warmup_epochs": "0", "run.micro_batch": "4", "run.workers": "0",
    "run.compile": "false", "run.pictures_every": "0", "run.trackers": "[]",
    "data.clips_per_video": "1",
}  # fmt: skip
SMALL = {"pretrain": _SMALL | {"loss.normalise": "false"}, "finetune": _SMALL}
# Option -> value, where a verb has it: no processes beside this one, few and small clips.
QUICK = {"--workers": "0", "--clips": "24", "--size": "32"}
_QUICK_ONLY = {"--clips": ("data synth",), "--size": ("data synth",)}
# What a command begins with -> why it is not run.
NOT_RUN = {
    "data convert something": "a published data set, not here",
    "data convert ucf101": "a published data set, not here",
    "data convert train.csv": "tests/video/formats/test_formats.py reads such lists",
    "detect --flow tvl1": "a second a frame",
    "weights export": "tests/weights runs it; the exporters take half a minute to import",
    "weights import": "tests/weights runs it on files in each published layout",
    "weights show": "tests/weights runs it on files in each published layout",
    "pretrain --replay": "tests/training/test_not_finite.py runs it",
    "probe attentive": "tests/evaluation/test_attentive_probe.py runs it; some seconds each",
    "app": "it serves until Ctrl-C; it has tests of its own",
    "demo": "it has a test of its own",
    "evaluate --encoder runs/ek100": "a published data set, not here",
}
# The store here holds more videos than are named; those that are not are told, with exit code 1.
MAY_LEAVE_OUT = "areas import"


def words_of_mofo(words: list[str]) -> list[str] | None:
    """The words after ``mofo``, also behind a launcher; None: another program."""
    if words[0] in ("mofo", ".venv/bin/mofo"):
        return words[1:]
    if words[0] in ("torchrun", "accelerate") and "-m" in words:
        return words[words.index("-m") + 2 :]
    return None


def check(words: list[str], root: Path, whole: bool) -> None:
    """Raises AssertionError if a command cannot be right; runs nothing.

    ``whole``: it stands by itself; in a sentence, what has to be given may be left out.
    """
    while re.match("[A-Z]+=", words[0]):  # the environment
        words = words[1:]
    typed = words_of_mofo(words)
    if typed is not None:
        check_mofo(typed, whole)
    elif words[0] in ("torchrun", "accelerate"):
        assert words[1:] == ["config"] or len(words) == 1, words
    elif words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE)
        wanted = [word for word in words[1:] if "=" not in word]
        assert set(wanted) <= set(targets), f"make: no target {wanted}"
    elif words[0] == "python":
        check_script(words[1:], root)
    elif words[0] == "pip":
        extras = re.findall(r"^(\w+) = \[", (root / "pyproject.toml").read_text(), re.MULTILINE)
        for asked in re.findall(r"\[([\w,]+)\]", " ".join(words)):
            assert set(asked.split(",")) <= set(extras), f"pip: no extra {asked}"
    else:
        assert (root / words[0]).is_file(), (
            f"{words[0]}: who runs this? Give the block a marker with a reason"
        )


def check_script(words: list[str], root: Path) -> None:
    """A script is there, and the options it is given stand in it."""
    text = (root / words[0]).read_text()
    for word in words[1:]:
        if word.startswith("--"):
            assert f'"{word.partition("=")[0]}"' in text, f"{words[0]} has no {word}"


def check_mofo(words: list[str], whole: bool) -> None:
    """The real parser takes it, and a recipe with these keys is a valid one."""
    open_end = not whole or "..." in words
    words = [word.removesuffix("...") for word in words if word != "..."]
    if len(words) == 1 and words[0].startswith("--"):
        assert mofo.cli.main(words) == 0
        return
    if words[0].isupper():
        return  # mofo VERB --help
    verb, rest = find(words)
    if verb is None or len(words) == 1:  # the name of a verb or group
        return
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            values = verb.parse(rest)
    except SystemExit as stop:
        unfinished = re.search("arguments are required|expected one argument", printed.getvalue())
        if stop.code == 0 or (open_end and unfinished):
            return
        raise AssertionError(f"mofo {words}: {printed.getvalue()}") from None
    kind = SETTINGS.get(verb.name)
    if kind is None or values.get("keys") or values.get("replay"):
        return
    needed = {"data.source": "videos", "run.out": "out"} if open_end else {}
    kind.from_yaml(values.get("config"), [*(needed | dict(values["pairs"])).items()])


def find(words: list[str]) -> tuple[Verb | None, list[str]]:
    """The verb that ``words`` begin with, and the other words; None: only a group's name."""
    name = " ".join(words[:2])
    if name in VERBS:
        return VERBS[name], words[2:]
    if words[0] in GROUPS:
        assert words[1:] in ([], ["--help"]), words
        return None, []
    return VERBS[words[0]], words[1:]


def run(words: list[str]) -> str | None:
    """Runs a command of mofo with small settings; a text: why it was not run."""
    for start, reason in NOT_RUN.items():
        if " ".join(words).startswith(start):
            return reason
    if "..." in words or words[-1] == "--help":
        return "says only how it begins"
    more: list[str] = []
    if words[0] == "plan":
        more = ["--model.size", "nano", "--data.size", "32", "--data.frames", "4"]
    elif words[0] in SMALL and not {"--keys", "--replay"} & set(words):
        for key, value in SMALL[words[0]].items():
            more += [f"--{key}", value]
        shutil.rmtree(_option(words, "--run.out"), ignore_errors=True)  # made before, otherwise
    elif words[0] not in SETTINGS:
        verb, _ = find(words)
        names = {f"--{option.name.replace('_', '-')}" for option in verb.options()}
        for option, value in QUICK.items():
            only = _QUICK_ONLY.get(option)
            if option in names and (only is None or " ".join(words[:2]) in only):
                more += [option, value]
    code = mofo.cli.main([*words, *more])
    allowed = (0, 1) if " ".join(words).startswith(MAY_LEAVE_OUT) else (0,)
    assert code in allowed, f"mofo {' '.join(words)}: exit code {code}"
    return None


def _option(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]
