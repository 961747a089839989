"""The whole demonstration: seven stages, a folder, nothing done twice."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mofo.demo.judging import judging_stage
from mofo.demo.labelled_stage import clip_stage
from mofo.demo.motion_stage import area_stage
from mofo.demo.prediction_stage import prediction_stage
from mofo.demo.report_stage import page_stage
from mofo.demo.scale import DemoScale
from mofo.demo.stage import Stages, Timing
from mofo.demo.training_stage import finetune_stage, pretrain_stage
from mofo.demo.video_sources import find_sources
from mofo.system.files import folder_lock
from mofo.system.progress import clock
from mofo.types import MofoError

_STAGES = 7


@dataclass(frozen=True)
class DemoReport:
    """What a demonstration has left behind.

    Attributes:
        out: its folder.
        page: the report.
        timings: of the stages, in order.
        found: what each stage has found, by name.
    """

    out: Path
    page: Path
    timings: tuple[Timing, ...]
    found: dict[str, dict[str, object]]


def demo(
    out: str | Path = "demo",
    videos: Sequence[str | Path] = (),
    *,
    scale: DemoScale | None = None,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> DemoReport:
    """Motion areas, generated clips, two trainings, evaluation, prediction, report.

    Goes on where an earlier call with the same folder stopped.

    Args:
        out: folder for everything; made if need be.
        videos: videos of one's own to look at besides the real clips that are installed: files,
            folders, patterns, lists.
        scale: how much to do; None: what fits into ten minutes on two processors.
        progress: show bars on stderr.
        say: prints a line.

    Raises:
        MofoError: a folder or video that cannot be used, said before any work; or an error of one
            of the stages.
        KeyboardInterrupt: stopped; what is finished is kept.
    """
    scale = scale or DemoScale()
    folder = Path(out).absolute()
    if folder.exists() and not folder.is_dir():
        raise MofoError(f"{folder}: is a file: --out names a folder")
    sources = find_sources(videos, scale.seconds)
    folder.mkdir(parents=True, exist_ok=True)
    bars = progress and sys.stderr.isatty()  # in a log file a bar is a page of noise
    with folder_lock(folder):
        stages = Stages(folder, _STAGES, say)
        say(f"Everything goes into {folder}; stop with Ctrl-C, go on with the same command.")
        found = {"areas": stages.do(area_stage(folder, sources, progress))}
        # Other videos do not change what is learned from the generated clips.
        stages.forget()
        found["clips"] = stages.do(clip_stage(folder, scale, progress))
        clips = int(found["clips"]["counts"]["train"])
        found["pretrain"] = stages.do(pretrain_stage(folder, scale, clips, progress))
        found["finetune"] = stages.do(finetune_stage(folder, scale, clips, progress))
        found["evaluation"] = stages.do(judging_stage(folder, scale, bars))
        found["predictions"] = stages.do(prediction_stage(folder, sources))
        found["report"] = stages.do(page_stage(folder, sources, bars))
    report = DemoReport(folder, folder / "report.html", tuple(stages.timings), found)
    for line in summary(report):
        say(line)
    return report


def summary(report: DemoReport) -> list[str]:
    """The table of timings, and where to look first."""
    width = max(len(one.title) for one in report.timings)
    lines = ["", f"{'stage':{width}}  {'took':>12}  processor time"]
    for one in report.timings:
        before = "  made before" if one.before else ""
        lines.append(f"{one.title:{width}}  {clock(one.seconds):>12}  {clock(one.cpu):>14}{before}")
    seconds = sum(one.seconds for one in report.timings)
    cpu = sum(one.cpu for one in report.timings)
    lines.append(f"{'together':{width}}  {clock(seconds):>12}  {clock(cpu):>14}")
    return [*lines, "", f"report: {report.page}"]
