"""``mofo pretrain`` and ``mofo finetune``: options are the keys of their settings."""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mofo.commands.verb import verb
from mofo.system import group
from mofo.system.processes import INTERRUPTED, TRY_AGAIN


@verb("pretrain", keys=True)
def pretrain(
    pairs: list[tuple[str, str]],
    *,
    config: str | None = None,
    task: str | None = None,
    keys: bool = False,
    replay: Path | None = None,
    progress: bool = True,
) -> int:
    """Motion-focused pre-training on videos without labels.

    The mask of the autoencoder is drawn with the motion area.
    A recipe (YAML) says everything; each of its keys can be changed as --section.key value. The
    same command continues after a stop, from the last checkpoint in run.out.

    Args:
        config: recipe: a file, or a name such as tiny.
        task: what is trained, in place of what the recipe says: {training.TASKS}.
        keys: print all settings with their defaults.
        replay: run a captured batch whose loss was no number again.

    Ctrl-C, SIGTERM and SIGUSR1 finish the step, save, and say how to continue.
    Several GPUs: accelerate launch -m mofo pretrain --config ... (or torchrun).

    example:
      mofo pretrain --config tiny \\
          --data.source videos/ --run.out runs/mine
    """
    if replay:
        return _replay(replay)
    _check_early(config, pairs)
    from mofo.training.tasks import TASKS, load_settings

    if keys:
        print(TASKS[task or "pretrain"].settings_type.explain())
        return 0
    from mofo.report.training_pictures import pretrain as train

    settings: Any = load_settings(config, pairs, verb="pretrain", task=task)
    return _ended(train(settings, progress=progress))


@verb("finetune", keys=True)
def finetune(
    pairs: list[tuple[str, str]],
    *,
    config: str | None = None,
    encoder: str | None = None,
    freeze: str | None = None,
    keys: bool = False,
    replay: Path | None = None,
    progress: bool = True,
) -> int:
    """Fine-tune a classifier that knows where things move.

    Its tokens inside the motion area attend to those outside.
    A recipe (YAML) says everything; each of its keys can be changed as --section.key value. The
    same command continues after a stop, from the last checkpoint in run.out.

    Args:
        config: recipe: a file, or a name such as tiny.
        encoder: checkpoint, run, or hf:PATH to begin with (model.init).
        freeze: encoder, or a number of blocks (model.freeze).
        keys: print all settings with their defaults.
        replay: run a captured batch whose loss was no number again.

    Labels: a CSV with the columns path,label[,split], folders named after classes, or a known data
    set. Ctrl-C, SIGTERM and SIGUSR1 finish the step, save, and say how to continue.
    Several GPUs: accelerate launch -m mofo finetune --config ... (or torchrun).

    example:
      mofo finetune --config tiny-finetune --encoder runs/tiny \\
          --data.source videos.csv --run.out runs/mine
    """
    if replay:
        return _replay(replay)
    _check_early(config, pairs)
    from mofo.training.tasks import TASKS, load_settings

    if keys:
        print(TASKS["finetune"].settings_type.explain())
        return 0
    from mofo.report.training_pictures import finetune as train

    short = {"model.init": json_format.dumps(encoder) if encoder else None, "model.freeze": freeze}
    given = [(key, value) for key, value in short.items() if value is not None]
    settings: Any = load_settings(config, [*given, *pairs], verb="finetune")
    return _ended(train(settings, progress=progress))


def _check_early(config: str | None, pairs: list[tuple[str, str]]) -> None:
    """Whether recipe and videos are there, before libraries are imported for seconds."""
    from mofo.datasets.catalog import check_sources
    from mofo.training.recipe import read_recipe, yaml_value

    data = read_recipe(config).content.get("data")
    sources = data.get("source", []) if isinstance(data, dict) else []
    for key, text in pairs:
        if key == "data.source":
            sources = yaml_value(text)
    if isinstance(sources, str | list) and all(isinstance(name, str) for name in sources):
        check_sources(sources)


@verb("plan", keys=True)
def plan(
    pairs: list[tuple[str, str]],
    recipe: str,
    *,
    gpus: str | None = None,
    json: Path | None = None,
) -> int:
    """What a training will need: memory, time, disk, cores for reading.

    Two small steps are run here, on clips of the recipe's own videos. For GPUs, memory is that of
    bf16, and time is worked out from operations, a third of the GPU's peak being reached.

    Args:
        recipe: of a pre-training or a fine-tuning: a file, or a name such as tiny.
        gpus: how many and which, such as 8xH100; without: this machine's CPU.
        json: write the numbers, too.

    example:
      mofo plan tiny --data.source videos/
      mofo plan tiny --data.source videos/ --gpus 1xH200
    """
    from mofo.training.budget import plan as work_out
    from mofo.training.tasks import load_settings

    _check_early(recipe, pairs)
    settings = load_settings(recipe, [("run.out", "plan"), *pairs])
    print("measuring some small steps here: a large model takes minutes", file=sys.stderr)
    report = work_out(settings, gpus)
    print("\n".join(report.lines()))
    if json:
        json.write_text(json_format.dumps(asdict(report), indent=1))
    return 0


def _replay(file: Path) -> int:
    from mofo.training.replay import replay

    print("\n".join(replay(file)))
    return 0


def _print_report(report: Any) -> None:
    if report.unreadable:
        print(f"{report.unreadable} videos cannot be read: {report.unreadable_file}")
    print(f"{report.steps:,} of {report.of:,} steps, loss {report.loss:.4f}: {report.checkpoint}")
    if report.motion:
        print(report.motion)
    if report.best is not None:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in report.validation.items())
        print(f"last validation: {metrics}; the best checkpoint is that of step {report.best:,}")


def _ended(report: Any) -> int:
    if report.finished:
        if report.main:
            _print_report(report)
            if report.steps < report.of:
                print("ended early: optim.early_stop_patience validations without a new best")
            print(f"next: {report.next}")
        return 0
    if report.main:
        _print_report(report)
        by = f"stopped by {report.stopped_by}" if report.stopped_by else "stopped at run.stop_at"
        print(f"{by}; the same command continues from here", file=sys.stderr)
    group.leave(together=True)  # before a launcher sees an exit code
    if not report.stopped_by:
        return 1
    return INTERRUPTED if report.stopped_by == "SIGINT" else TRY_AGAIN


@verb("advise", calls="mofo.training.advice:advise")
def advise(call: Callable[..., Any], sources: list[str]) -> int:
    """What to do with these videos: commands, with reasons and times.

    Looks at the list, at some of the files, and at a store of motion areas if one is named.

    Args:
        sources: videos, folders, lists or data sets.
        areas: store of motion areas.
        encoder: weights to begin with: checkpoint, run, or hf:PATH.

    example:
      mofo advise videos.csv --areas areas
    """
    advice = call(sources=sources)
    print("\n".join(advice.facts))
    for step in advice.steps:
        print(f"\n{step}")
    print(f"\nnext: {advice.steps[0].command}")
    return 0
