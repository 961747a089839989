"""The trainer: data, model and optimiser of a task, step by step, continued where it stopped.

Trainer(PretrainTask(settings), callbacks=[...]).fit()
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from mofo.clips.batch import ClipBatch
from mofo.clips.loader import ReadingError, batches
from mofo.system.environment import make_accelerator, versions
from mofo.system.files import folder_lock, replaced
from mofo.system.group import doing
from mofo.system.processes import StopRequest
from mofo.training.callbacks import Callback, ProgressBar, RunReport, say
from mofo.training.checkpoint import Checkpoint, CheckpointFolder
from mofo.training.journal import Journal, Unreadable, motion_line
from mofo.training.metadata import ValidationHistory
from mofo.training.optim import Schedule, WeightAverage
from mofo.training.order import Division, SampleOrder
from mofo.training.pretrain_settings import TrainingSettings
from mofo.training.replay import NotFiniteError, capture
from mofo.training.same_run import about_videos, check_same_run
from mofo.training.saved_models import fit_weights
from mofo.training.sharding import model_tensors, optimiser_tensors, restore, shard
from mofo.training.step import NotFiniteStep, StepMetrics, StepRunner
from mofo.training.tasks import TASKS, Task
from mofo.types import MofoError


class Trainer:
    """One run of a task.

    Attributes:
        task, settings: as given; those of the task.
        out: folder of the run.
        accelerator: devices, precision, processes.
        model: as prepared for them; ``bare_model`` without wrappers.
        is_main: whether this is the process that writes and speaks.
        is_sharded: whether no process has all weights (FSDP).

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        CheckpointError: no checkpoint of the run can be read.
    """

    def __init__(
        self, task: Task, *, callbacks: Sequence[Callback] = (), progress: bool = False
    ) -> None:
        self.task, self.settings = task, task.settings
        self._callbacks = [*([ProgressBar()] if progress else []), *callbacks]
        run, data, optim = self.settings.run, self.settings.data, self.settings.optim
        self.out = Path(run.out)
        # What `accelerate launch --use_fsdp` says; else accelerate would do it in its own way.
        asked = os.environ.pop("ACCELERATE_USE_FSDP", "").lower() == "true" or run.shard
        self.accelerator = make_accelerator(
            run.precision, trackers=run.trackers, folder=run.out, patience=run.patience
        )
        self.is_sharded = asked and self.accelerator.num_processes > 1
        self.is_main = self.accelerator.is_main_process
        self.videos = len(task.dataset)
        clips = self.videos * data.clips_per_video
        self.division = Division.of(
            batch=optim.batch,
            micro=run.micro_batch,
            repeats=data.clips_per_video,
            processes=self.accelerator.num_processes,
            clips=clips,
        )
        self.schedule = Schedule.of(optim, clips, self.division.batch)
        self.save_every = run.save_every or max(1, round(self.schedule.steps / 20))
        self.folder = CheckpointFolder(self.out / "checkpoints", run.keep_last)
        self._steps_before = self.folder.steps()
        self.start, self.history = 0, ValidationHistory()
        self._stop, self._stopping, self._unvalidated = StopRequest(), False, False
        self._recent: deque[float] = deque(maxlen=run.log_every)
        self._since_due: list[float] = []
        with contextlib.ExitStack() as alone:
            if self._steps_before and self.accelerator.num_processes == 1:
                self._lock(alone)  # nobody may remove a checkpoint while it is read
            checkpoint, self._damaged = self.folder.last_whole()
            if checkpoint is not None:
                check_same_run(checkpoint, task, run.out)
                self.start, known = checkpoint.step, checkpoint.metadata
                self.history = known.history.model_copy(deep=True)
                self._recent.extend(known.recent_losses)
                self._since_due.extend(known.losses_since_due)
                owed = task.validates and not known.validation
                self._unvalidated = owed and self._is_due(self.start)
            self._prepare(checkpoint)

    def _prepare(self, checkpoint: Checkpoint | None) -> None:
        self.bare_model = model = self.task.build()
        weights: dict[str, Tensor] = {}
        if checkpoint is not None:
            weights = checkpoint.model()
            fit_weights(model, weights, str(checkpoint.path))
        if self.is_sharded:
            shard(model, self.accelerator.device)
        built: Any = torch.compile(model) if self.settings.run.compile else model
        self.model: nn.Module = built if self.is_sharded else self.accelerator.prepare_model(built)
        # After that: FSDP replaces the parameters.
        prepared = self.accelerator.prepare_optimizer(self.task.optimiser(self.model))
        self.optimiser: torch.optim.Optimizer = prepared
        self._inner: torch.optim.Optimizer = getattr(prepared, "optimizer", prepared)
        self.average: WeightAverage | None = None
        decay = self.task.ema_decay
        if checkpoint is not None and decay:
            # The average goes through the model, which knows how its engine keeps tensors.
            restore(self.model, self._inner, checkpoint.best_weights(), {})
        if decay:
            self.average = WeightAverage(self.model.parameters(), decay)
        if checkpoint is not None:
            restore(self.model, self._inner, weights, checkpoint.optimiser())

    def fit(self) -> RunReport:
        """Trains and saves.

        Raises:
            CheckpointError: a checkpoint cannot be written.
            NotFiniteError: the loss is not finite; batch and state are in a file.
            TooManyUnreadableError: see ``data.max_unreadable``.
            MofoError: another process trains into this folder; a reading process died.
        """
        end = min(self.schedule.steps, self.settings.run.stop_at or self.schedule.steps)
        step = self.start
        with contextlib.ExitStack() as stack:
            self._lock(stack)
            self._begin()
            if self.is_main:
                say(self._damaged)
            for callback in self._callbacks:
                stack.callback(callback.on_end, self)
                callback.on_start(self)
            stack.enter_context(self._stop)
            if self._unvalidated:  # a signal came in between
                self._save(step, validate=True)
            if step < end and not self._is_enough() and not self._stopping:
                step = self._loop(step, end)
            doing("")
        if self.settings.run.trackers:
            self.accelerator.end_training()
        return RunReport(
            main=self.is_main,
            steps=step,
            of=self.schedule.steps,
            finished=not self._unvalidated and (step == self.schedule.steps or self._is_enough()),
            loss=sum(self._recent) / len(self._recent) if self._recent else math.nan,
            checkpoint=self.folder.place(step),
            stopped_by=self._stop.name or ("a signal to another process" if self._stopping else ""),
            unreadable=len(self.unreadable.reasons),
            unreadable_file=self.unreadable.path,
            validation=self.history.last,
            best=self.folder.best() if self.history.last else None,
            next=self.task.next_command(),
            motion=motion_line(self.out / "metrics.jsonl") if self.is_main else "",
        )

    def _lock(self, stack: contextlib.ExitStack) -> None:
        """The folder of the run is this run's alone; every process learns when it is not."""
        problem = [""]
        if self.is_main:
            try:
                self.out.mkdir(parents=True, exist_ok=True)
                stack.enter_context(folder_lock(self.out))
                if self.folder.steps() != self._steps_before:
                    raise MofoError(f"{self.out}: trained on in the meantime: start again")
            except MofoError as error:
                problem = [str(error)]
            except OSError as error:
                reason = error.strerror or error
                problem = [f"{self.out}: cannot be written to ({reason}): name another run.out"]
        if self.accelerator.num_processes > 1:
            broadcast_object_list(problem)
        if problem[0]:
            raise MofoError(problem[0])

    def _begin(self) -> None:
        """Files and logs of the run, as they are before its next step."""
        run = self.settings.run
        self.accelerator.wait_for_everyone()  # all have read their checkpoint
        if self.is_main:
            self.folder.tidy(self.start)
            self.settings.write(self.out / "settings.yaml")
            with replaced(self.out / "versions.json") as half:
                half.write_text(json.dumps(versions(), indent=1))
        self.accelerator.wait_for_everyone()
        self.journal = Journal(self.out / "metrics.jsonl", self.start) if self.is_main else None
        self.unreadable = Unreadable(
            self.out / "unreadable.jsonl", self.videos, self.settings.data.max_unreadable
        )
        if self.is_main:
            if self.start == 0:
                self.unreadable.forget()  # of an attempt that came to nothing: files may be mended
            self.unreadable.add(self.task.problems)
        if run.trackers:
            # Points of steps that are done again are not to appear twice.
            purge = {"tensorboard": {"purge_step": self.start + 1}} if self.start else {}
            self.accelerator.init_trackers("tensorboard", init_kwargs=purge)

    def _loop(self, step: int, end: int) -> int:
        runner = StepRunner(
            accelerator=self.accelerator,
            model=self.model,
            optimiser=self.optimiser,
            forward_step=self.task.forward_step,
            passes=self.division.passes,
            clips=self.division.batch,
            schedule=self.schedule,
            seed=self.settings.run.seed,
            clip_grad_norm=self.settings.optim.clip_grad_norm,
            stop=lambda: bool(self._stop),
        )

        def on_batch(step: int, batch: ClipBatch) -> None:
            for callback in self._callbacks:
                callback.on_batch(self, step, batch)

        self.model.train()
        loaded = self._batches(step, end)
        try:
            while step < end:
                self._note(runner.run(step, loaded, on_batch))
                step += 1
                if self._is_due(step) or step == end or self._stopping:
                    self._save(step, validate=self._is_due(step))
                if self._stopping or self._is_enough():
                    break
        except NotFiniteStep as error:
            weights = model_tensors(self.model, everywhere=True)
            path = capture(error, self.task, self.out, weights, self.accelerator)
            raise NotFiniteError(
                f"{error}: nothing was learned from it; the last checkpoint is of step "
                f"{self._last_step()}. Look into it: mofo {self.task.verb} --replay {path}"
            ) from None
        except ReadingError as error:
            text = f"{error}; the last checkpoint is of step {self._last_step()}"
            raise ReadingError(f"{text}: the same command continues from it") from None
        finally:
            loaded.close()  # ends the workers
            if self.journal is not None:
                self.journal.flush()
        return step

    def _last_step(self) -> int:
        return max(self.folder.steps(), default=0)

    def _batches(self, start: int, end: int) -> Generator[ClipBatch]:
        order = SampleOrder(
            self.videos,
            seed=self.settings.run.seed,
            division=self.division,
            rank=self.accelerator.process_index,
            start=start,
            stop=end,
            share_V=self.task.share_V,
        )
        task, pin = self.task, self.accelerator.device.type == "cuda"
        workers = self.settings.run.workers
        return batches(task.dataset, order, task.collate_fn, workers=workers, pin=pin)

    def _note(self, metrics: StepMetrics) -> None:
        self._stopping = metrics.stopping
        if self.is_main:
            self.unreadable.add(metrics.failures)
        self._recent.append(metrics.loss)
        self._since_due.append(metrics.loss)
        if self.average is not None:
            self.average.update()
        line = metrics.to_dict()
        if self.journal is not None:
            self.journal.add(line)
        done = metrics.step + 1
        if done % self.settings.run.log_every == 0 or done == self.schedule.steps:
            if self.journal is not None:
                self.journal.flush()
            del line["step"]
            self.accelerator.log({f"train/{key}": value for key, value in line.items()}, step=done)
        for callback in self._callbacks:
            callback.on_step(self, metrics)

    def _must_stop(self) -> bool:
        """Whether a signal came to any process; every one takes part."""
        doing("agrees with the others whether to stop", waits=True)
        flag = torch.tensor([float(bool(self._stop))], device=self.accelerator.device)
        self._stopping |= bool(self.accelerator.reduce(flag, "sum").item() > 0)
        return self._stopping

    def _save(self, step: int, *, validate: bool) -> None:
        """Writes a checkpoint, after a validation; every process takes part.

        A run that is to stop has no time for a validation: it is done when the run goes on.
        """
        validation: dict[str, float] = {}
        failed: MofoError | None = None
        if validate and not self._stopping:
            try:
                validation = self._validate(step)
            except MofoError as caught:  # what was learned is kept all the same
                failed = caught
        self._unvalidated = validate and self.task.validates and not validation
        doing(f"saves step {step:,}", waits=not self.is_main)
        weights = model_tensors(self.model)
        moments = optimiser_tensors(self.model, self._inner)
        average = None
        if self.average is not None:
            with self.average.in_place():
                # On a CPU these are the model's own tensors, which are changed back.
                average = {name: t.clone() for name, t in model_tensors(self.model).items()}
        if self.is_main:
            if self.journal is not None:
                self.journal.flush()
            loss = sum(self._since_due) / max(1, len(self._since_due))
            # One that is not due, after a stop, is no candidate: the best is as without a stop.
            due = loss if validate else None
            error = validation.get("error") if self.task.validates else due
            metadata = {
                **self.task.metadata(),
                "task": self.task.name,
                "loss": loss,
                "error": error,
                "settings": self.settings.to_dict(),
                "videos": about_videos(self.task),
                "versions": versions(),
                "validation": validation,
                "history": self.history.model_dump(),
                "recent_losses": list(self._recent),
                "losses_since_due": [] if validate and not self._unvalidated else self._since_due,
            }
            self.folder.save(step, weights, moments, metadata, average=average)
        if validate and not self._unvalidated:
            self._since_due.clear()
        if failed is not None:
            raise failed
        self.accelerator.wait_for_everyone()
        for callback in self._callbacks:
            callback.on_checkpoint(self, self.folder.place(step))

    def _validate(self, step: int) -> dict[str, float]:
        with self.evaluating(), self.average.in_place() if self.average else nullcontext():
            metrics = self.task.validate(self.model, self.accelerator, self._must_stop)
        if metrics:
            self.history.note(metrics)
            self.accelerator.log({f"validation/{k}": v for k, v in metrics.items()}, step=step)
            if self.is_main:
                journal = Journal(self.out / "validation.jsonl", step)
                journal.add({"step": step, **metrics})
                journal.flush()
            for callback in self._callbacks:
                callback.on_validation(self, step, metrics)
        return metrics

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within, the model is in evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        try:
            yield
        finally:
            self.model.train(was_training)

    def _is_due(self, step: int) -> bool:
        """Whether a checkpoint of this step is validated."""
        return step % self.save_every == 0 or step == self.schedule.steps

    def _is_enough(self) -> bool:
        """Whether enough validations in a row have not been better than the best."""
        patience = self.task.early_stop_patience
        return bool(patience) and self.history.since_best >= patience


def train(
    settings: TrainingSettings, *, callbacks: Sequence[Callback] = (), progress: bool = False
) -> RunReport:
    """Trains, from the last checkpoint in ``settings.run.out`` if there is one.

    With the same settings, any interruption leaves the sequence of losses as it would have been:
    everything random is a function of the seed and the step.
    """
    task = TASKS[settings.task](settings)
    return Trainer(task, callbacks=callbacks, progress=progress).fit()
