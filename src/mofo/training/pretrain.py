"""Pre-training from a recipe: puts data, model and loop together, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import deque
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate.utils import DistributedType, gather_object
from tqdm import tqdm

from mofo.data.batch import ClipBatch
from mofo.data.clips import ClipDataset, ClipSettings
from mofo.data.loader import clip_batches
from mofo.data.transforms import CropSettings
from mofo.models.mae import MaskedAutoencoder
from mofo.motion.cpus import usable_cpus
from mofo.motion.store import AreaStore
from mofo.training.checkpoint import Checkpoint, CheckpointFolder, fit_weights
from mofo.training.engine import engine, versions
from mofo.training.journal import Journal
from mofo.training.loop import Loop, NotANumber, StepLine
from mofo.training.optim import adamw
from mofo.training.order import Division, SampleOrder
from mofo.training.recipe import plain, write_settings
from mofo.training.replay import NotFiniteError, capture
from mofo.training.schedule import Schedule
from mofo.training.settings import AREAS_ON_THE_FLY, PretrainSettings
from mofo.training.state import model_tensors, optimiser_tensors, restore
from mofo.training.step import PretrainPass
from mofo.training.stop import StopRequest
from mofo.training.unreadable import Unreadable
from mofo.types import MofoError, SettingsError
from mofo.video.catalog import read_catalog


@dataclass(frozen=True, kw_only=True)
class PretrainReport:
    """How a run ended.

    Attributes:
        main: whether this is the process that speaks (the only one, or number 0).
        steps, of: steps done and in the whole run.
        finished: whether the run is complete.
        loss: mean over the last line of the log.
        checkpoint: the newest one.
        stopped_by: name of the signal that ended it early, or "".
        unreadable: how many videos cannot be read; they are named in ``unreadable_file``.
    """

    main: bool
    steps: int
    of: int
    finished: bool
    loss: float
    checkpoint: Path
    stopped_by: str
    unreadable: int
    unreadable_file: Path


def pretrain(settings: PretrainSettings, *, progress: bool = False) -> PretrainReport:
    """Trains, from the last checkpoint in ``settings.run.out`` if there is one.

    With the same settings, any interruption leaves the sequence of losses as it would have been:
    everything random is a function of the seed and the step.

    Args:
        settings: the recipe.
        progress: show a bar.

    Raises:
        SettingsError: settings that are impossible, or not those of the run in ``run.out``.
        CheckpointError: a checkpoint cannot be written or read.
        NotFiniteError: the loss is no number; batch and state are in a file.
        TooManyUnreadableError: see ``data.max_unreadable``.
    """
    return _Pretraining(settings, progress).go()


class _Pretraining:
    def __init__(self, settings: PretrainSettings, progress: bool) -> None:
        self.settings, self._progress = settings, progress
        run, data, optim = settings.run, settings.data, settings.optim
        self.one_pass = PretrainPass(settings)  # finds wrong settings before any work is done
        model = MaskedAutoencoder(
            settings.model_settings(), generator=torch.Generator().manual_seed(run.seed)
        )
        self.out = Path(run.out)
        self.accelerator = engine(settings.run)
        self.main = self.accelerator.is_main_process
        self.division = Division.of(
            batch=optim.batch,
            micro=run.micro_batch,
            repeats=data.repeats,
            processes=self.accelerator.num_processes,
        )
        self.dataset, problems = _dataset(settings)
        videos = len(self.dataset)
        if videos * data.repeats < optim.batch:
            raise SettingsError(
                f"{videos} videos with data.repeats {data.repeats} are fewer clips than "
                f"optim.batch {optim.batch}: lower optim.batch or raise data.repeats"
            )
        self.videos, self._problems = videos, problems
        self.schedule = Schedule.of(optim, videos * data.repeats)
        self.folder = CheckpointFolder(self.out / "checkpoints", run.keep)
        checkpoint = self.folder.last()
        self.start, self._loss_before = 0, float("nan")
        if checkpoint is not None:
            self._check_same(checkpoint)
            self.start = checkpoint.step
            self._loss_before = float(checkpoint.facts.get("loss", "nan"))
            fit_weights(model, checkpoint.model(), str(checkpoint.path))
        self._prepare(model, checkpoint)
        self._recent: deque[float] = deque(maxlen=run.log_every)
        self._since_save: list[float] = []

    def _prepare(self, model: MaskedAutoencoder, checkpoint: Checkpoint | None) -> None:
        self.bare = model
        built: Any = torch.compile(model) if self.settings.run.compile else model
        built = self.accelerator.prepare_model(built)
        # After wrapping: FSDP replaces the parameters.
        optimiser = self.accelerator.prepare_optimizer(adamw(built, self.settings.optim))
        self.model, self.optimiser = built, optimiser
        if checkpoint is not None:
            inner = getattr(optimiser, "optimizer", optimiser)
            restore(built, inner, checkpoint.model(), checkpoint.optimiser())

    def _check_same(self, checkpoint: Checkpoint) -> None:
        """Going on with other settings would be neither the old run nor a new one."""
        before = checkpoint.facts.get("settings", {})
        now = plain(self.settings)
        # Paths may differ between machines, and what is in run changes nothing but for the seed.
        free = {"data.source", "data.max_unreadable"}
        if not {before.get("data", {}).get("areas"), now["data"]["areas"]} & set(AREAS_ON_THE_FLY):
            free.add("data.areas")
        differing = [
            f"{section}.{key} {before.get(section, {}).get(key)!r}, now {value!r}"
            for section, part in now.items()
            for key, value in part.items()
            if (section != "run" or key == "seed")
            and f"{section}.{key}" not in free
            and before.get(section, {}).get(key) != value
        ]
        known = checkpoint.facts.get("videos", {})
        if known.get("count") != self.videos:
            differing.append(f"{known.get('count')} videos, now {self.videos}")
        elif known.get("names") != _digest(self.dataset):
            differing.append(f"other names of the {self.videos} videos")
        if differing:
            raise SettingsError(
                f"{self.out} holds a run with other settings ({'; '.join(differing)}): use them, "
                "or another --run.out"
            )

    def go(self) -> PretrainReport:
        """Trains and saves."""
        run = self.settings.run
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            write_settings(self.settings, self.out / "settings.yaml")
            (self.out / "versions.json").write_text(json.dumps(versions(), indent=1))
        self.accelerator.wait_for_everyone()
        self.journal = Journal(self.out / "metrics.jsonl", self.start) if self.main else None
        self.unreadable = Unreadable(
            self.out / "unreadable.jsonl", self.videos, self.settings.data.max_unreadable
        )
        if self.main and self.start == 0:
            self.unreadable.forget()  # of an attempt that came to nothing: files may be mended
        if self.main:
            self.unreadable.add(self._problems)
        self._start_trackers()
        end = min(self.schedule.steps, run.stop_at or self.schedule.steps)
        done = self.start
        with self._bar() as self.bar, StopRequest() as stop:
            if self.main and self._progress:
                self._explain()
            if self.start < end:
                batches = self._batches(end)
                loop = Loop(
                    accelerator=self.accelerator,
                    model=self.model,
                    optimiser=self.optimiser,
                    one_pass=self.one_pass,
                    batches=batches,
                    passes=self.division.passes,
                    clips=self.division.batch,
                    schedule=self.schedule,
                    run=run,
                    clip=self.settings.optim.clip,
                    on_batch=self._on_batch,
                    on_step=self._on_step,
                    on_save=self._on_save,
                    stop=stop,
                )
                try:
                    done = loop.go(self.start)
                except NotANumber as error:
                    self._give_up(error)
                finally:
                    batches.close()  # ends the workers
                    if self.journal is not None:
                        self.journal.flush()
        if run.trackers:
            self.accelerator.end_training()
        return PretrainReport(
            main=self.main,
            steps=done,
            of=self.schedule.steps,
            finished=done >= self.schedule.steps,
            loss=self._last_loss(),
            checkpoint=self.folder.path / f"step_{done:08d}",
            stopped_by=stop.name,
            unreadable=len(self.unreadable.reasons),
            unreadable_file=self.unreadable.path,
        )

    def _batches(self, end: int) -> Generator[ClipBatch]:
        order = SampleOrder(
            self.videos,
            seed=self.settings.run.seed,
            division=self.division,
            rank=self.accelerator.process_index,
            start=self.start,
            stop=end,
        )
        pin = self.accelerator.device.type == "cuda"
        workers = min(self.settings.run.workers, usable_cpus(), len(order))
        return clip_batches(self.dataset, order, workers=workers, pin=pin)

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
        if self.journal is not None:
            self.journal.add(asdict(line))
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
            shown = {key: value for key, value in asdict(line).items() if key != "step"}
            self.accelerator.log({f"train/{key}": value for key, value in shown.items()}, step=done)

    def _on_save(self, step: int) -> None:
        # Every process takes part: under FSDP each holds a piece.
        inner = getattr(self.optimiser, "optimizer", self.optimiser)
        weights, moments = model_tensors(self.model), optimiser_tensors(self.model, inner)
        if self.main:
            if self.journal is not None:
                self.journal.flush()
            loss = sum(self._since_save) / max(1, len(self._since_save))
            facts = {
                "kind": "pretrain",
                "settings": plain(self.settings),
                "videos": {"count": self.videos, "names": _digest(self.dataset)},
                "versions": versions(),
            }
            self.folder.save(step, weights, moments, facts, loss)
        self._since_save.clear()
        self.accelerator.wait_for_everyone()

    def _give_up(self, error: NotANumber) -> NoReturn:
        rank = self.accelerator.process_index
        path = self.out / "not_finite" / f"step_{error.step:08d}_process_{rank}.safetensors"
        facts = {
            "step": error.step,
            "what": error.what,
            "value": str(error.value),
            "precision": self.accelerator.mixed_precision,
        }
        weights = model_tensors(self.model, everywhere=True)
        capture(path, self.settings, error.batch, weights, facts)
        raise NotFiniteError(
            f"{error}: nothing was learned from it; the last checkpoint is of step "
            f"{(self.folder.steps() or [0])[-1]}. Look into it: mofo pretrain --replay {path}"
        ) from None

    def _draw(self, step: int, batch: ClipBatch) -> None:
        from mofo.report.reconstruction import write_reconstruction

        path = self.out / "pictures" / f"step_{step:08d}.png"
        was_training = self.bare.training
        self.bare.eval()
        try:
            path.parent.mkdir(exist_ok=True)
            write_reconstruction(
                self.bare, batch, self.one_pass, path, title=f"{self.out.name}, step {step:,}"
            )
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
            f"{self.one_pass.hidden} of {self.settings.grid().tokens} tokens hidden; "
            f"{self.accelerator.device.type}, {self.accelerator.mixed_precision}",
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


def _digest(dataset: ClipDataset) -> str:
    """Changes when the videos or their order do; where they lie does not matter."""
    rows = ((video.key, video.start, video.end) for video in dataset.videos)
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()


def _dataset(settings: PretrainSettings) -> tuple[ClipDataset, tuple[tuple[str, str], ...]]:
    """The clips, and the videos that cannot be used at all."""
    data = settings.data
    catalog = read_catalog(data.source)
    is_store = data.areas not in AREAS_ON_THE_FLY
    clips = ClipSettings(
        grid=settings.grid(),
        stride=data.stride,
        crop=CropSettings(flip=data.flip),
        areas="store" if is_store else data.areas,
        repeats=data.repeats,
    )
    store = AreaStore.open(data.areas) if is_store else None
    dataset = ClipDataset(catalog.videos, clips, seed=settings.run.seed, store=store)
    return dataset, catalog.problems
