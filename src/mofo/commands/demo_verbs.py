"""``mofo demo``: a script over the other verbs, each of which continues by itself after a stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import join

from mofo.commands.verb import VERBS, verb

MOFO, BASELINE = "mofo", "baseline"
MASKS = {MOFO: "motion", BASELINE: "tube"}
FUSIONS = {MOFO: "cross_attention", BASELINE: "mean"}
_SECONDS = 240.0  # of given video in all
_LINE_EVERY = 15.0  # seconds
_QUICK = {
    "data synth": ["--clips", "40", "--size", "32"],
    "pretrain": ["--data.size", "32", "--optim.batch", "8", "--run.stop_at", "2"],
    "finetune": ["--data.size", "32", "--optim.batch", "8", "--optim.epochs", ".2",
                 "--optim.warmup_epochs", "0"],
}  # fmt: skip


@verb("demo")
def demo(
    *,
    out: Path = Path("demo"),
    videos: list[str] | None = None,
    quick: bool = False,
    progress: bool = True,
) -> int:
    """All of this on real video, in ten minutes, with a report page.

    Motion areas, a generated set of labelled clips, pre-training, fine-tuning against a baseline,
    evaluation, prediction; for two processors. Nothing is downloaded. Each step is a command that
    is printed first. Stop it with Ctrl-C at any time: the same command continues from there.

    Args:
        out: folder for everything (demo).
        videos: videos of yours: folders, files.
        quick: a few steps on a few clips: to see that it runs, not what it learns.

    examples:
      mofo demo
      mofo demo --videos my_videos/ --out my_demo
    """
    from mofo.system.files import folder_lock
    from mofo.types import MofoError

    if out.exists() and not out.is_dir():
        raise MofoError(f"{out}: is a file: --out names a folder")
    real = _real_videos(videos or [])
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out):
        steps = Steps(out, quick, progress)
        failed = _areas(steps, real)
        _clips(steps)
        _trainings(steps)
        _evaluation(steps)
        _predictions(steps, real)
        steps.title("The report", "One page with all of it, to send to a colleague.")
        steps.always("report", out, "--out", out / "report.html", "--title", "mofo demo")
    print("next: mofo detect YOUR_VIDEOS --out areas --overlay")
    return failed


class Steps:
    """Commands, one after the other; finished ones are written down and not run again.

    Args:
        out: folder of the demonstration.
        quick: a few steps on a few clips.
        progress: show bars.
    """

    def __init__(self, out: Path, quick: bool, progress: bool) -> None:
        self.out, self._quick, self._progress = out, quick, progress
        self._file = out / "finished.json"
        self._finished: list[str] = []
        with contextlib.suppress(OSError, ValueError):
            self._finished = json.loads(self._file.read_text(encoding="utf-8"))
        self._began = time.monotonic()

    def title(self, title: str, *about: str) -> None:
        """Prints what comes next, for somebody who has never heard of it."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"\n== {title} ({minutes}:{seconds:02d})", *about, sep="\n   ", flush=True)

    def run(self, name: str, *words: object) -> int:
        """Runs a verb once."""
        command = self._words(name, words)
        if self._known(command):
            return 0
        code = self.always(name, *words)
        self._note(command)
        return code

    def always(self, name: str, *words: object) -> int:
        """Runs a verb whether it ran before or not; returns its exit code."""
        command = self._words(name, words)
        print(f"$ mofo {join(command)}", flush=True)
        quiet = [] if self._progress and sys.stderr.isatty() else ["--quiet"]
        takes = any(option.name == "progress" for option in VERBS[name].options())
        return VERBS[name](command[len(name.split()) :] + (quiet if takes else []))

    def side_by_side(self, name: str, runs: Sequence[tuple[Path, Sequence[object]]]) -> None:
        """Trainings, a process each: a small model gains little by a second thread.

        Raises:
            MofoError: one of them failed; its log is named.
            KeyboardInterrupt: stopped; each has saved what it learned.
        """
        commands = [(run, self._words(name, words)) for run, words in runs]
        commands = [(run, command) for run, command in commands if not self._known(command)]
        with contextlib.ExitStack() as stack:
            children = [stack.enter_context(_training(run, command)) for run, command in commands]
            told = time.monotonic()
            while any(child.poll() is None for child in children):
                time.sleep(0.2)
                if time.monotonic() - told > _LINE_EVERY:
                    told = time.monotonic()
                    print("  " + "; ".join(_position(run) for run, _ in commands), flush=True)
            for (run, command), child in zip(commands, children, strict=True):
                _check_ended(run, child.returncode, self._quick)
                self._note(command)
        for run, _ in runs:
            print(f"  {_position(run)}")

    def _words(self, name: str, words: Sequence[object]) -> list[str]:
        extra = _QUICK.get(name, []) if self._quick else []
        return [*name.split(), *map(str, words), *extra]

    def _known(self, command: list[str]) -> bool:
        if join(command) in self._finished:
            print(f"  done before: mofo {join(command)}", flush=True)
            return True
        return False

    def _note(self, command: list[str]) -> None:
        from mofo.system.files import replaced

        self._finished.append(join(command))
        with replaced(self._file) as part:
            part.write_text(json.dumps(self._finished, indent=1) + "\n", encoding="utf-8")


def _areas(steps: Steps, real: list[str]) -> int:
    from mofo.datasets.sample_videos import INSTALL

    steps.title(
        "Motion areas of real videos",
        "Where do things move, whatever the camera does? Optical flow, minus the camera's own",
        "motion, says it for each frame; no labels and no training are needed.",
    )
    if not real:
        print(f"no real video is here: {INSTALL}; or give some with --videos")
        return 0
    pictures = steps.out / "pictures"
    failed = steps.run("detect", *real, "--out", steps.out / "areas", "--overlay")
    steps.run("show motion", real[0], "--out", pictures / "motion.png")
    steps.run("show mask", real[0], "--all", "--out", pictures / "masks.png")
    return failed


def _clips(steps: Steps) -> None:
    clips = steps.out / "clips"
    steps.title(
        "A labelled set of generated clips",
        "Things move over real footage, and the label is how: left, right, up, down, towards,",
        "away, clockwise, counterclockwise. No single frame gives the class away.",
    )
    steps.run("data synth", "--level", "easy", "--clips", 1600, "--size", 64, "--out", clips)
    steps.run("detect", clips / "videos.csv", "--out", clips / "detected")


def _trainings(steps: Steps) -> None:
    out, clips = steps.out, steps.out / "clips"
    data = ("--data.source", clips / "videos.csv", "--data.areas", clips / "detected")
    steps.title(
        "Pre-training without labels",
        "A small model sees a tenth of each clip and has to paint the rest. Twice: MOFO's motion",
        "masks show it more of what moves than VideoMAE's tube masks do, which fall anywhere.",
    )
    steps.side_by_side(
        "pretrain",
        [
            (run, ("--config", "demo", *data, "--data.split", "train", "--mask.strategy", mask,
                   "--run.out", run))
            for mask in MASKS.values()
            for run in [out / "pretrain" / mask]
        ],
    )  # fmt: skip
    unseen = _one_of_each(clips / "videos.csv")[:4]
    picture = out / "pictures" / "reconstruction.png"
    steps.run("show reconstruction", out / "pretrain" / MASKS[MOFO], *unseen, "--out", picture)
    steps.title(
        "Fine-tuning with labels",
        "Both models learn the classes. In MOFO's, tokens inside the motion area attend to what is",
        "around it (cross-attention); the baseline takes the mean of everything. All else is the",
        "same: clips, steps, learning rate, seed.",
    )
    steps.side_by_side(
        "finetune",
        [
            (run, ("--config", "demo-finetune", "--init", out / "pretrain" / MASKS[name], *data,
                   "--model.fusion", fusion, "--run.out", run))
            for name, fusion in FUSIONS.items()
            for run in [out / "finetune" / name]
        ],
    )  # fmt: skip


def _evaluation(steps: Steps) -> None:
    from mofo.evaluation.recognition import compare
    from mofo.evaluation.results import read_results

    steps.title(
        "Evaluation on clips that neither has seen",
        "Accuracy with its 95 % interval: where it would fall with other test clips of the same",
        "kind. Only one training of each: another seed would give other numbers.",
    )
    clips, heads = steps.out / "clips", {}
    for name in FUSIONS:
        folder = steps.out / "evaluation" / name
        steps.run(
            "evaluate", steps.out / "finetune" / name, clips / "videos.csv", "--split", "test",
            "--views", "1x1", "--store", clips / "detected", "--workers", 0, "--out", folder,
        )  # fmt: skip
        heads[name] = read_results(folder / "results.json").heads["label"]
    difference = compare(heads[BASELINE], heads[MOFO])["top1"]
    top1 = {name: tuple(head.measures["top1"]) for name, head in heads.items()}
    print(*verdict(top1, tuple(difference), 1 / len(heads[MOFO].classes)), sep="\n")


def _predictions(steps: Steps, real: list[str]) -> None:
    out, clips = steps.out, steps.out / "clips"
    model, unseen = out / "finetune" / MOFO, _one_of_each(clips / "videos.csv")
    steps.title(
        "Prediction",
        "The model names what it sees, with probabilities. It only knows the classes of the",
        "generated set, and answers with one of them, whatever it sees: read what it says about",
        "real video as a picture of how it works, not as recognition.",
    )
    common = ("--top", 3, "--views", "1x1")
    folder = out / "predictions"
    steps.run(
        "predict", model, *unseen, *common, "--areas", clips / "detected", "--annotate",
        folder / "unseen", "--json", folder / "unseen.json",
    )  # fmt: skip
    if real:
        steps.run(
            "predict", model, *real, *common, "--areas", out / "areas", "--window", 2, "--hop", 2,
            "--annotate", folder / "real", "--json", folder / "real.json",
        )  # fmt: skip
    picture = out / "pictures" / "attention.png"
    steps.run(
        "show attention", model, unseen[0], "--areas", clips / "detected", "--out", picture
    )  # fmt: skip


def verdict(
    top1: dict[str, tuple[float, ...]], difference: tuple[float, ...], chance: float
) -> list[str]:
    """What the numbers say, in plain words, and no more than that.

    Args:
        top1: of both: accuracy, low and high end of its interval, as shares.
        difference: of MOFO minus the baseline, likewise.
        chance: accuracy of guessing.
    """
    lines = [f"{name:20} {_interval(values)}" for name, values in top1.items()]
    lines += [f"{'chance':20} {100 * chance:4.1f} %"]
    lines += [f"{'mofo minus baseline':20} {_interval(difference, sign='+')}"]
    if poor := [name for name, (_, low, _) in top1.items() if low <= chance]:
        lines.append(f"Not better than guessing, as far as can be told: {', '.join(poor)}.")
    else:
        lines.append("Both have learned something: their intervals are above chance.")
    _, low, high = difference
    if low > 0:
        text = "The motion-focused model is better than the baseline: the interval is above 0."
    elif high < 0:
        text = "The motion-focused model is worse than the baseline: the interval is below 0."
    else:
        text = "No difference between them can be told: the interval holds 0."
    return [*lines, text, "A demonstration of minutes proves nothing about the method itself."]


def _interval(values: tuple[float, ...], sign: str = "") -> str:
    mean, low, high = (100 * value for value in values)
    return f"{mean:{sign}4.1f} %  [{low:{sign}.1f}, {high:{sign}.1f}]"


def _one_of_each(table: Path) -> list[str]:
    """The first test clip of each class: chosen before anything is known about the answer."""
    from mofo.datasets.catalog import read_catalog

    first: dict[str | None, str] = {}
    for video in read_catalog([table]):
        if video.split == "test":
            first.setdefault(video.label, video.path)
    return list(first.values())


def _real_videos(given: list[str]) -> list[str]:
    """Given videos that can be used, and the real clips that are installed.

    Raises:
        MofoError: something given is not there, or nothing that is given can be used: then nobody
            should wait ten minutes to learn so.
    """
    from mofo.datasets.catalog import read_catalog
    from mofo.datasets.sample_videos import real_clips
    from mofo.types import MofoError, VideoError
    from mofo.video.reader import VideoReader

    usable, problems, left = [], [], _SECONDS
    catalog = read_catalog(given) if given else None
    for path in dict.fromkeys(video.path for video in catalog or ()):
        try:
            with VideoReader(path, colour=None) as reader:
                info = reader.info
                if next(iter(reader), None) is None:
                    raise VideoError(path, "holds no frame that can be decoded")
        except VideoError as error:
            problems.append((path, error.reason))
            continue
        length = info.duration or (info.frames or 0) / (info.fps or 25.0)
        if length > left:
            problems.append((path, f"{length:.0f} s: the demo takes {_SECONDS:.0f} s in all"))
            continue
        left -= length
        usable.append(path)
    problems = [*(catalog.problems if catalog else ()), *problems]
    if given and not usable:
        name, reason = problems[0]
        raise MofoError(
            f"{', '.join(given)}: none of {len(problems)} files can be used ({Path(name).name}: "
            f"{reason} ...): give other videos, or leave --videos out"
        )
    for name, reason in problems:
        print(f"left out: {name}: {reason}")
    return usable + [str(path) for path in real_clips().values()]


@contextlib.contextmanager
def _training(run: Path, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A training in a process of its own; whatever ends this one, it saves and ends, too."""
    from mofo.system.processes import usable_cpus

    print(f"$ mofo {join(command)}", flush=True)
    run.mkdir(parents=True, exist_ok=True)
    threads = {"OMP_NUM_THREADS": str(max(1, usable_cpus() // 2))}
    with (run / "demo.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "mofo", *command, "--quiet"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | threads,
        )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            with contextlib.suppress(KeyboardInterrupt):  # pressed twice: it saves all the same
                child.wait()
        child.wait()


def _check_ended(run: Path, code: int, quick: bool) -> None:
    from mofo.types import MofoError

    if code != 0 and not quick:  # stopped at run.stop_at, a quick one ends with 1
        lines = (run / "demo.log").read_text(encoding="utf-8", errors="replace").splitlines()
        raise MofoError(f"{run}: its training ended with {code}: {(lines or ['no output'])[-1]}")


def _position(run: Path) -> str:
    from mofo.training.journal import read_journal

    journal = run / "metrics.jsonl"
    lines = read_journal(journal) if journal.is_file() else []
    if not lines:
        return f"{run.name}: starting"
    return f"{run.name}: step {lines[-1]['step']:,}, loss {lines[-1]['loss']:.3f}"
