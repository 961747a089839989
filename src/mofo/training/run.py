"""A run: data, model and loop put together, gone on with where it stopped, whatever it trains."""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.utils import DistributedType, gather_object
from torch import nn
from tqdm import tqdm

from mofo.clips.batch import ClipBatch
from mofo.clips.loader import batches
from mofo.system.environment import make_accelerator, versions
from mofo.system.processes import StopRequest, usable_cpus
from mofo.training.average import WeightAverage
from mofo.training.checkpoint import Checkpoint, CheckpointFolder, fit_weights
from mofo.training.loop import Loop, NotANumber, StepLine
from mofo.training.metrics_log import Journal
from mofo.training.order import Division
from mofo.training.pretrain_settings import TrainingSettings
from mofo.training.replay import NotFiniteError, capture
from mofo.training.same_run import about_videos, check_same_run
from mofo.training.schedule import Schedule
from mofo.training.state import model_tensors, optimiser_tensors, restore
from mofo.training.task import RunReport, Task
from mofo.training.unreadable import Unreadable
from mofo.types import MofoError, SettingsError


class Run:
    """One run of a task.

    Args:
        task: what to train.
        progress: show a bar.

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        CheckpointError: a checkpoint cannot be read.
    """

    def __init__(self, task: Task, *, progress: bool) -> None:
        self.task, self._progress = task, progress
        self.settings: TrainingSettings = task.settings
        run, data, optim = self.settings.run, self.settings.data, self.settings.optim
        self.out = Path(run.out)
        self.accelerator = make_accelerator(run.precision, trackers=run.trackers, folder=run.out)
        self.main = self.accelerator.is_main_process
        self.videos = videos = len(task.dataset)
        if videos * data.clips_per_video < optim.batch:
            raise SettingsError(
                f"{videos} videos with data.clips_per_video {data.clips_per_video} are fewer clips "
                f"than optim.batch {optim.batch}: lower optim.batch or raise data.clips_per_video"
            )
        self.division = Division.of(
            batch=optim.batch,
            micro=run.micro_batch,
            repeats=data.clips_per_video,
            processes=self.accelerator.num_processes,
        )
        self.schedule = Schedule.of(optim, videos * data.clips_per_video)
        self.folder = CheckpointFolder(self.out / "checkpoints", run.keep_last)
        checkpoint = self.folder.last()
        self.start, self._loss_before = 0, float("nan")
        if checkpoint is not None:
            check_same_run(checkpoint, task, run.out)
            if self.main:  # a kill may have come between the checkpoint and the note
                self.folder.note_best(checkpoint.step, checkpoint.facts.get("error"))
            self.start = checkpoint.step
            self._loss_before = float(checkpoint.facts.get("loss", "nan"))
        model = task.build()
        if checkpoint is not None:
            fit_weights(model, checkpoint.model(), str(checkpoint.path))
        self._prepare(model, checkpoint)
        self._tried = _Tried(**(checkpoint.facts.get("tried", {}) if checkpoint else {}))
        self._recent: deque[float] = deque(maxlen=run.log_every)
        self._since_save: list[float] = []

    def _prepare(self, model: nn.Module, checkpoint: Checkpoint | None) -> None:
        self.bare = model
        built: Any = torch.compile(model) if self.settings.run.compile else model
        built = self.accelerator.prepare_model(built)
        # After wrapping: FSDP replaces the parameters.
        optimiser = self.accelerator.prepare_optimizer(self.task.optimiser(built))
        self.model, self.optimiser = built, optimiser
        self.average: WeightAverage | None = None
        decay = self.task.average
        if checkpoint is not None and decay:
            # The average goes through the model, which knows how its engine keeps tensors.
            restore(built, self._inner(), checkpoint.best_weights(), {})
        if decay:
            self.average = WeightAverage(built.parameters(), decay)
        if checkpoint is not None:
            restore(built, self._inner(), checkpoint.model(), checkpoint.optimiser())

    def _inner(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = getattr(self.optimiser, "optimizer", self.optimiser)
        return inner

    def go(self) -> RunReport:
        """Trains and saves.

        Raises:
            CheckpointError: a checkpoint cannot be written.
            NotFiniteError: the loss is no number; batch and state are in a file.
            TooManyUnreadableError: see ``data.max_unreadable``.
        """
        run = self.settings.run
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            self.settings.write(self.out / "settings.yaml")
            (self.out / "versions.json").write_text(json.dumps(versions(), indent=1))
        self.accelerator.wait_for_everyone()
        self.journal = Journal(self.out / "metrics.jsonl", self.start) if self.main else None
        self.unreadable = Unreadable(
            self.out / "unreadable.jsonl", self.videos, self.settings.data.max_unreadable
        )
        if self.main and self.start == 0:
            self.unreadable.forget()  # of an attempt that came to nothing: files may be mended
        if self.main:
            self.unreadable.add(self.task.problems)
        self._start_trackers()
        end = min(self.schedule.steps, run.stop_at or self.schedule.steps)
        done = self.start
        with self._bar() as self.bar, StopRequest() as stop:
            if self.main and self._progress:
                self._explain()
            if self.start < end and not self._given_up():
                found = self._batches(end)
                loop = Loop(
                    accelerator=self.accelerator,
                    model=self.model,
                    optimiser=self.optimiser,
                    one_pass=self.task.one_pass,
                    batches=found,
                    passes=self.division.passes,
                    clips=self.division.batch,
                    schedule=self.schedule,
                    run=run,
                    clip=self.settings.optim.clip_grad_norm,
                    on_batch=self._on_batch,
                    on_step=self._on_step,
                    on_save=self._on_save,
                    enough=self._given_up,
                    stop=stop,
                )
                try:
                    done = loop.go(self.start)
                except NotANumber as error:
                    self._give_up(error)
                finally:
                    found.close()  # ends the workers
                    if self.journal is not None:
                        self.journal.flush()
        if run.trackers:
            self.accelerator.end_training()
        return RunReport(
            main=self.main,
            steps=done,
            of=self.schedule.steps,
            finished=done >= self.schedule.steps or self._given_up(),
            loss=self._last_loss(),
            checkpoint=self.folder.path / f"step_{done:08d}",
            stopped_by=stop.name,
            unreadable=len(self.unreadable.reasons),
            unreadable_file=self.unreadable.path,
            validation=self._tried.last,
            best=self.folder.best() if self._tried.last else None,
        )

    def _batches(self, end: int) -> Generator[ClipBatch]:
        rank = self.accelerator.process_index
        order = self.task.order(self.division, rank, self.start, end)
        pin = self.accelerator.device.type == "cuda"
        workers = min(self.settings.run.workers, usable_cpus(), len(order))  # type: ignore[arg-type]
        together = self.task.together
        return batches(self.task.dataset, order, together, workers=workers, pin=pin)

    def _on_batch(self, step: int, batch: ClipBatch) -> None:
        failures: list[tuple[str, str]] = list(batch.failures)
        if self.accelerator.num_processes > 1:
            failures = gather_object(failures)
        if self.main:
            self.unreadable.add(failures)
        every = self.settings.run.pictures_every
        # Under FSDP no process has the whole model.
        is_whole = self.accelerator.distributed_type != DistributedType.FSDP
        if self.main and every and step % every == 0 and is_whole:
            self._draw(step, batch)

    def _on_step(self, line: StepLine) -> None:
        run = self.settings.run
        self._recent.append(line.loss)
        self._since_save.append(line.loss)
        if self.average is not None:
            self.average.update()
        if self.journal is not None:
            self.journal.add(line.plain())
        done = line.step + 1
        seconds = line.data_s + line.compute_s
        self.bar.update()
        self.bar.set_postfix_str(
            f"loss {line.loss:.4f}, {line.clips / seconds:.1f} clips/s, "
            f"waiting {line.data_s / seconds:.0%}",
            refresh=False,
        )
        if done % run.log_every == 0 or done == self.schedule.steps:
            if self.journal is not None:
                self.journal.flush()
            shown = {key: value for key, value in line.plain().items() if key != "step"}
            self.accelerator.log({f"train/{key}": value for key, value in shown.items()}, step=done)

    def _on_save(self, step: int, *, last: bool) -> None:
        """Saves, validates first unless somebody waits for the end; every process takes part."""
        found: dict[str, float] = {}
        failed: MofoError | None = None
        if last or step % self.settings.run.save_every == 0:
            try:
                found = self._validate(step)
            except MofoError as caught:  # what was learned is kept all the same
                failed = caught
        weights = model_tensors(self.model)
        moments = optimiser_tensors(self.model, self._inner())
        average = None
        if self.average is not None:
            with self.average.in_place():
                # On a CPU these are the model's own tensors, which are changed back.
                average = {name: t.clone() for name, t in model_tensors(self.model).items()}
        if self.main:
            if self.journal is not None:
                self.journal.flush()
            loss = sum(self._since_save) / max(1, len(self._since_save))
            facts = {
                **self.task.facts(),
                "kind": self.task.kind,
                "settings": self.settings.to_dict(),
                "videos": about_videos(self.task),
                "versions": versions(),
                "validation": found,
                "tried": asdict(self._tried),
            }
            # Without a result it is no candidate, where others have one.
            error = found.get("error", math.inf if self.task.validates else loss)
            self.folder.save(step, weights, moments, facts, loss, average=average, error=error)
        self._since_save.clear()
        if failed is not None:
            raise failed
        self.accelerator.wait_for_everyone()

    def _validate(self, step: int) -> dict[str, float]:
        was_training = self.model.training
        self.model.eval()
        try:
            if self.average is None:
                found = self.task.validate(self.model, self.accelerator)
            else:
                with self.average.in_place():
                    found = self.task.validate(self.model, self.accelerator)
        finally:
            self.model.train(was_training)
        if found:
            self._tried.note(found)
            shown = {f"validation/{key}": value for key, value in found.items()}
            self.accelerator.log(shown, step=step)
            if self.main:
                path = self.out / "validation.jsonl"
                Journal(path, step).append({"step": step, **found})
                if self._progress:
                    text = ", ".join(f"{key} {value:.4g}" for key, value in found.items())
                    self.bar.write(f"step {step:,}: validation {text}", file=sys.stderr)
        return found

    def _given_up(self) -> bool:
        """Whether enough validations in a row have not been better than the best."""
        patience = self.task.patience
        return bool(patience) and self._tried.since_best >= patience

    def _give_up(self, error: NotANumber) -> NoReturn:
        rank = self.accelerator.process_index
        path = self.out / "not_finite" / f"step_{error.step:08d}_process_{rank}.safetensors"
        facts = {
            "step": error.step,
            "what": error.what,
            "value": str(error.value),
            "precision": self.accelerator.mixed_precision,
            "task": self.task.kind,
            "case": self.task.case(error.batch),
        }
        weights = model_tensors(self.model, everywhere=True)
        capture(path, self.settings, error.batch, weights, facts)
        raise NotFiniteError(
            f"{error}: nothing was learned from it; the last checkpoint is of step "
            f"{(self.folder.steps() or [0])[-1]}. Look into it: mofo {self.task.kind} --replay "
            f"{path}"
        ) from None

    def _draw(self, step: int, batch: ClipBatch) -> None:
        path = self.out / "pictures" / f"step_{step:08d}.png"
        was_training = self.bare.training
        self.bare.eval()
        try:
            path.parent.mkdir(exist_ok=True)
            self.task.draw(self.bare, batch, path, f"{self.out.name}, step {step:,}")
        except (MofoError, OSError) as error:  # a picture is not worth a run
            self.bar.write(f"{path}: not drawn: {error}", file=sys.stderr)
        finally:
            self.bare.train(was_training)

    def _bar(self) -> tqdm[NoReturn]:
        return tqdm(
            total=self.schedule.steps,
            initial=self.start,
            unit="step",
            disable=not (self.main and self._progress),
            dynamic_ncols=True,
        )

    def _explain(self) -> None:
        """Says once what follows from the settings."""
        s, d = self.schedule, self.division
        parameters = sum(p.numel() for p in self.bare.parameters()) / 1e6
        lines = [
            f"{self.videos:,} videos, {s.steps:,} steps of {d.batch} clips: {d.processes} "
            f"process{'es' if d.processes > 1 else ''} x {d.passes} "
            f"pass{'es' if d.passes > 1 else ''} x {d.micro} clips",
            f"model {self.settings.model.size}: {parameters:.1f} M parameters; "
            f"{self.accelerator.device.type}, {self.accelerator.mixed_precision}",
            *self.task.explain(),
            f"learning rate {s.peak:.2e} after {s.warmup:,} steps, {s.last:.2e} at the end",
        ]
        if self.start:
            lines.append(f"going on from step {self.start:,}: {self.out}")
        for line in lines:
            tqdm.write(line, file=sys.stderr)

    def _start_trackers(self) -> None:
        run = self.settings.run
        if not run.trackers:
            return
        # Points of steps that are done again are not to appear twice.
        purge = {"tensorboard": {"purge_step": self.start + 1}} if self.start else {}
        self.accelerator.init_trackers("tensorboard", init_kwargs=purge)

    def _last_loss(self) -> float:
        return sum(self._recent) / len(self._recent) if self._recent else self._loss_before


@dataclass
class _Tried:
    """What validations have found so far; a part of the checkpoint."""

    best: float = math.inf
    since_best: int = 0
    last: dict[str, float] = field(default_factory=dict)

    def note(self, found: dict[str, float]) -> None:
        self.last = found
        if found["error"] < self.best:
            self.best, self.since_best = found["error"], 0
        else:
            self.since_best += 1
