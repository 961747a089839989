"""``mofo demo``: a script over the other verbs, each of which continues by itself after a stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from shlex import join

from mofo.commands.verb import VERBS, verb

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
    """All of this on real video, in five minutes, with a report page.

    Motion of real videos, a generated set of labelled clips, pre-training, fine-tuning against a
    baseline, evaluation, prediction; for two processors. Nothing is downloaded. Each step is a
    command that is printed first. Stop it with Ctrl-C at any time: the same command continues from
    there.

    Args:
        out: folder for everything (demo).
        videos: videos of yours: folders, files.
        quick: a few steps on a few clips: to see that it runs, not what it learns.

    examples:
      mofo demo
      mofo demo --videos my_videos/ --out my_demo
    """
    from mofo.datasets.sample_videos import INSTALL
    from mofo.system.files import folder_lock
    from mofo.types import MofoError

    if out.exists() and not out.is_dir():
        raise MofoError(f"{out}: is a file: --out names a folder")
    real = _real_videos(videos or [])
    out.mkdir(parents=True, exist_ok=True)
    with folder_lock(out):
        run, failed = Steps(quick, progress), 0
        pictures, areas, clips = out / "pictures", out / "areas", out / "clips"
        table, found = clips / "videos.csv", clips / "detected"

        run.title(
            "Motion of real videos",
            "Where do things move, whatever the camera does? Optical flow, minus the camera's own",
            "motion, says it for each frame: as a field, and as a box. No labels, no training.",
        )
        if real:
            failed = run("detect", *real, "--out", areas, "--overlay")
            run.once("show motion", real[0], "--out", pictures / "motion.png")
            run.once("show mask", real[-1], "--all", "--shape", "field", "--areas", areas,
                     "--out", pictures / "masks.png")  # fmt: skip
        else:
            print(f"no real video is here: {INSTALL}; or give some with --videos")

        run.title(
            "A labelled set of generated clips",
            "Things move over real footage, and the label is how: left, right, up, down, towards,",
            "away, clockwise, counterclockwise. No single frame gives the class away.",
        )
        if not table.is_file():
            run("data synth", "--level", "easy", "--clips", 800, "--size", 64, "--out", clips)
        run("detect", table, "--out", found)
        unseen = _one_of_each(table)

        run.title(
            "Pre-training without labels",
            "A small model sees a tenth of each clip and has to paint the rest. Twice: with MOFO's",
            "mask half of that tenth is where things move, which is a fifth of the clip; tubes",
            "(VideoMAE's mask) fall anywhere.",
        )
        data = ("--data.source", table, "--data.areas", found)
        run.side_by_side("pretrain", {
            out / "pretrain" / mask: ("--config", "demo", *data, "--data.split", "train",
                                      "--mask.strategy", mask)
            for mask in ("motion", "tube")
        })  # fmt: skip
        run.once("show reconstruction", out / "pretrain/motion", *unseen[:4],
                 "--out", pictures / "reconstruction.png")  # fmt: skip

        run.title(
            "Fine-tuning with labels",
            "Both models learn the classes. MOFO's computes half of the tokens, those that move",
            "most and a thin grid of the others, and tokens inside the motion area attend to those",
            "around it (cross-attention). The baseline computes all and takes their mean: twice",
            "the work. All else is the same: clips, steps, learning rate, seed.",
        )
        mofo = ("--model.fusion", "cross_attention", "--tokens.keep", 0.5)
        models = {"mofo": ("motion", mofo), "baseline": ("tube", ("--model.fusion", "mean"))}
        run.side_by_side("finetune", {
            out / "finetune" / name: ("--config", "demo-finetune", *data, *options,
                                      "--encoder", out / "pretrain" / mask)
            for name, (mask, options) in models.items()
        })  # fmt: skip

        run.title(
            "Evaluation on clips that neither has seen",
            "Accuracy with its 95 % interval: where it would fall with other test clips of the",
            "same kind. One short training of each, 120 clips: another seed can turn a difference",
            "of five points around. Longer trainings are in docs/does-motion-help.md.",
        )
        for name in models:
            run.once("evaluate", "--encoder", out / "finetune" / name, table, "--split", "test",
                     "--views", "1x1", "--store", found, "--workers", 0,
                     "--out", out / "evaluation" / name)  # fmt: skip

        run.title(
            "Prediction",
            "The model names what it sees, with probabilities. It only knows the classes of the",
            "generated set, and answers with one of them, whatever it sees: read what it says",
            "about real video as a picture of how it works, not as recognition.",
        )
        model, seen = out / "finetune/mofo", out / "predictions"
        common = ("--top", 3, "--views", "1x1")
        run.once("predict", "--encoder", model, *unseen, *common, "--areas", found,
                 "--annotate", seen / "unseen", "--json", seen / "unseen.json")  # fmt: skip
        if real:
            run.once("predict", "--encoder", model, *real, *common, "--areas", areas,
                     "--window", 2, "--hop", 2,
                     "--annotate", seen / "real", "--json", seen / "real.json")  # fmt: skip
        run.once("show attention", "--encoder", model, unseen[0], "--areas", found,
                 "--out", pictures / "attention.png")  # fmt: skip

        run.title("The report", "One page with all of it, to send to a colleague.")
        note = (
            "A demonstration of minutes, one training of each: it shows how things work. After so"
            " few steps a difference says which of the two learns faster at first, not which is"
            " better."
        )
        run("report", out, "--out", out / "report.html", "--title", "mofo demo", "--note", note)
    print("next: mofo detect YOUR_VIDEOS --out areas --overlay")
    return failed


class Steps:
    """Runs verbs, each printed first.

    Args:
        quick: a few steps on a few clips.
        progress: show bars.
    """

    def __init__(self, quick: bool, progress: bool) -> None:
        self._quick, self._progress, self._began = quick, progress, time.monotonic()

    def title(self, title: str, *about: str) -> None:
        """Prints what comes next, for somebody who has never heard of it."""
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"\n== {title} ({minutes}:{seconds:02d})", *about, sep="\n   ", flush=True)

    def __call__(self, name: str, *words: object) -> int:
        """Runs a verb; returns its exit code."""
        command = self._words(name, *words)
        print(f"$ mofo {join(command)}", flush=True)
        quiet = [] if self._progress and sys.stderr.isatty() else ["--quiet"]
        takes = any(option.name == "progress" for option in VERBS[name].options())
        return VERBS[name](command[len(name.split()) :] + (quiet if takes else []))

    def once(self, name: str, *words: object) -> None:
        """Runs a verb, if what its last word names is not there."""
        if Path(str(words[-1])).exists():
            print(f"  done before: mofo {join(self._words(name, *words))}", flush=True)
        else:
            self(name, *words)

    def side_by_side(self, name: str, runs: dict[Path, Sequence[object]]) -> None:
        """Trainings, a process each: a small model gains little by a second thread.

        Raises:
            MofoError: one of them failed; its log is named.
            KeyboardInterrupt: stopped; each has saved what it learned.
        """
        from mofo.system.processes import usable_cpus
        from mofo.types import MofoError

        children: dict[Path, subprocess.Popen[bytes]] = {}
        threads = {"OMP_NUM_THREADS": str(max(1, usable_cpus() // 2))}
        try:
            for run, words in runs.items():
                command = self._words(name, *words, "--run.out", run)
                print(f"$ mofo {join(command)}", flush=True)
                run.mkdir(parents=True, exist_ok=True)
                with (run / "demo.log").open("ab") as log:
                    children[run] = subprocess.Popen(
                        [sys.executable, "-m", "mofo", *command, "--quiet"],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | threads,
                    )  # fmt: skip
            told = time.monotonic()
            while any(child.poll() is None for child in children.values()):
                time.sleep(0.2)
                if time.monotonic() - told > _LINE_EVERY:
                    told = time.monotonic()
                    print("  " + "; ".join(map(_position, runs)), flush=True)
        finally:
            for child in children.values():
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)
            for child in children.values():
                with contextlib.suppress(KeyboardInterrupt):  # pressed twice: it saves all the same
                    child.wait()
                child.wait()
        for run, child in children.items():
            if child.returncode != 0 and not self._quick:  # stopped at run.stop_at, it ends with 1
                log_lines = (run / "demo.log").read_text("utf-8", "replace").splitlines()
                why = (log_lines or ["no output"])[-1]
                raise MofoError(f"{run}: its training ended with {child.returncode}: {why}")
            print(f"  {_position(run)}")

    def _words(self, name: str, *words: object) -> list[str]:
        return [*name.split(), *map(str, words), *(_QUICK.get(name, []) if self._quick else [])]


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
        MofoError: nothing that is given can be used: nobody should wait for minutes to learn so.
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
                length = reader.info.duration or (reader.info.frames or 0) / 25.0
                if next(iter(reader), None) is None:
                    raise VideoError(path, "holds no frame that can be decoded")
                if length > left:
                    raise VideoError(
                        path, f"{length:.0f} s: the demo takes {_SECONDS:.0f} s in all"
                    )
        except VideoError as error:
            problems.append((path, error.reason))
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


def _position(run: Path) -> str:
    from mofo.training.journal import read_journal

    journal = run / "metrics.jsonl"
    lines = read_journal(journal) if journal.is_file() else []
    if not lines:
        return f"{run.name}: starting"
    return f"{run.name}: step {lines[-1]['step']:,}, loss {lines[-1]['loss']:.3f}"
