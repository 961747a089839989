"""Advice: what to do with some videos, as commands with reasons and times.

Nothing here needs torch: it answers within seconds, from the list of videos, some of the files, and
a store of motion areas if there is one.
"""

from __future__ import annotations

import shlex
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mofo.datasets.catalog import Catalog, read_catalog
from mofo.datasets.inspect_file import FileMetadata, probe
from mofo.datasets.splits import TRAIN, held_out_splits
from mofo.motion.store import AreaStore
from mofo.motion.summary import MotionSummary
from mofo.system.processes import usable_cpus
from mofo.system.progress import clock
from mofo.types import MofoError, VideoError

_OPENED = 48  # files, spread over the list
_DETECTED = 200  # frames a second and processor by optical flow; see docs/speed.md
_SHARE = 0.4  # of the speed of a matrix product that a training gets
_GPU = 50e12  # operations a second that a training gets out of one
# Size, multiplications of a clip's forward pass, clip's pixels: what a machine is fit for.
_CPU_SIZE, _GPU_SIZE = ("tiny", 1e9, 96), ("small", 56e9, 224)


@dataclass(frozen=True)
class Step:
    """One command. ``seconds``: how long it takes, about; None: moments, or not known."""

    command: str
    reason: str
    seconds: float | None = None

    def __str__(self) -> str:
        about = f" (about {clock(self.seconds)})" if self.seconds else ""
        return f"# {self.reason}{about}\n{self.command}"


@dataclass(frozen=True)
class Advice:
    """What is known about videos, a line each, and what to do with them."""

    facts: tuple[str, ...]
    steps: tuple[Step, ...]


def advise(
    sources: str | Path | Sequence[str | Path],
    *,
    areas: str | Path | None = None,
    encoder: str | None = None,
) -> Advice:
    """What to do with some videos.

    Args:
        sources: see ``read_catalog``.
        areas: store of motion areas, if there is one.
        encoder: weights to begin with: a checkpoint, a run, or hf:PATH.

    Raises:
        MofoError: a source does not exist, or not one file can be read.
        StoreError: ``areas`` is no store.
    """
    names = [str(s) for s in ([sources] if isinstance(sources, str | Path) else sources)]
    catalog = read_catalog(names)
    about = _Videos.of(catalog)
    facts, store = [*about.facts()], None
    if areas is not None:
        with AreaStore.open(areas) as opened:
            store = MotionSummary.of(opened)
        facts.append(str(store))
    return Advice(tuple(facts), tuple(_Plan(about, names, areas, store, encoder).steps()))


@dataclass(frozen=True)
class _Videos:
    """Facts of a list; sizes, lengths and rates from some of its files."""

    rows: int
    files: tuple[FileMetadata, ...]
    seconds_V: np.ndarray
    classes: Counter[str]
    splits: Counter[str]
    held_out: tuple[str, ...]
    unreadable: int

    @classmethod
    def of(cls, catalog: Catalog) -> _Videos:
        paths = list(dict.fromkeys(video.path for video in catalog))
        places = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _OPENED)).astype(int))
        found = [result for _, result in probe([paths[k] for k in places], usable_cpus())]
        files = tuple(file for file in found if not isinstance(file, VideoError))
        if not files:
            problems = [*catalog.problems, *((e.path, e.reason) for e in found)]  # type: ignore[union-attr]
            path, reason = problems[0]
            raise MofoError(f"{path}: {reason}; no other video can be read")
        named = [v.end - (v.start or 0.0) for v in catalog if v.end is not None]
        seconds = named or [file.frames / (file.fps or 25.0) for file in files]
        return cls(
            rows=len(catalog),
            files=files,
            seconds_V=np.array(seconds),
            classes=Counter(video.labels[0][1] for video in catalog if video.labels),
            splits=Counter(video.split for video in catalog if video.split),
            held_out=tuple(held_out_splits(catalog)),
            unreadable=len(catalog.problems) + len(found) - len(files),
        )

    @property
    def rates(self) -> tuple[float, float]:
        rates = [file.fps for file in self.files if file.fps] or [25.0]
        return min(rates), max(rates)

    @property
    def shape(self) -> float:
        """Long side by short side, of the middle file."""
        sides = [max(f.width, f.height) / min(f.width, f.height) for f in self.files]
        return float(np.median(sides))

    def facts(self) -> list[str]:
        low, mid, high = (float(np.quantile(self.seconds_V, q)) for q in (0, 0.5, 1))
        sizes = Counter(f"{file.width}x{file.height}" for file in self.files)
        shown = [size for size, _ in sizes.most_common(3)] + ["others"] * (len(sizes) > 3)
        slow, fast = self.rates
        rate = f"{slow:g}" if slow == fast else f"{slow:g} to {fast:g}"
        lines = [
            f"{self.rows:,} videos ({len(self.files)} looked at): {low:.1f} to {high:.1f} s, half "
            f"up to {mid:.1f} s; {', '.join(shown)}; {rate} frames a second"
        ]
        if self.unreadable:
            lines.append(f"{self.unreadable} of them cannot be read")
        if self.classes:
            least, most = min(self.classes.values()), max(self.classes.values())
            splits = [f"{count:,} {name}" for name, count in self.splits.items()] or ["no splits"]
            lines.append(
                f"{len(self.classes)} classes of {least:,} to {most:,} videos; {', '.join(splits)}"
            )
        return lines


@dataclass(frozen=True)
class _Plan:
    about: _Videos
    names: list[str]
    areas: str | Path | None
    store: MotionSummary | None
    encoder: str | None

    def steps(self) -> list[Step]:
        about, steps = self.about, []
        if about.unreadable:
            reason = "names every file that is of no use, and why"
            steps.append(Step(f"mofo data check {self._given} --out check", reason))
        source = self._given
        if about.classes and not about.held_out:
            source = "labelled.csv"
            command = f"mofo data convert {self._given} --to {source} --hold-out 0.25"
            steps.append(Step(command, "a quarter of each class is kept for the test"))
        frames = float(about.seconds_V.mean()) * about.rows * float(np.mean(about.rates))
        areas = str(self.areas or "areas")
        if self.areas is None:
            seconds = frames / _DETECTED / usable_cpus()
            command = f"mofo detect {source} --out {areas}"
            steps.append(Step(command, "where things move: done once, used by all", seconds))
        more = self._labelled if len(about.classes) > 1 else self._unlabelled
        return [*steps, *more(source, shlex.quote(areas))]

    @property
    def _given(self) -> str:
        return shlex.join(self.names)

    def _labelled(self, source: str, areas: str) -> list[Step]:
        about, encoder = self.about, self.encoder and shlex.quote(self.encoder)
        train = about.splits[TRAIN] or round(0.75 * sum(about.classes.values()))
        known = [
            Step(
                f"mofo probe areas {source} --areas {areas}",
                "how much the place of the motion alone gives away: what a model has to beat",
            )
        ]
        if encoder:
            reason = "a frozen encoder and a plain classifier: the answer with fewest labels"
            command = f"mofo probe linear --encoder {encoder} {source} --pool both --areas {areas}"
            known.append(Step(command, reason, self._training(train * 1.3, 1 / 3, given=True)))
        few = train <= 1000
        config = "few" if few else "small-finetune"
        words = [f"mofo finetune --config {config} --data.source {source} --data.areas {areas}"]
        words.append(f"--encoder {encoder}" if encoder else f"--model.size {self._size[0]}")
        words += [f"--data.size {self._size[2]}"] * (not encoder and self._size[2] != 224)
        words += self._clips()
        reason = f"{train:,} videos to learn from: recipe {config}" + (
            ""
            if encoder
            else "; nothing to begin with, so a small encoder (better: mofo weights "
            "import, or hf:PATH, as --encoder)"
        )
        clips = train * (60 if few else 80)
        out = "--run.out runs/classes"
        return [
            *known,
            Step(" ".join([*words, out]), reason, self._training(clips, given=bool(encoder))),
            Step(
                f"mofo evaluate --encoder runs/classes {source} --store {areas} --out results "
                "--predictions predictions.csv",
                "the answer, with intervals, on videos that were held out",
            ),
            Step(f"mofo report runs/classes results {areas} --out report.html", "to send around"),
        ]

    def _unlabelled(self, source: str, areas: str) -> list[Step]:
        if self.encoder:
            encoder = shlex.quote(self.encoder)
            command = f"mofo embed --encoder {encoder} {source} --window 4 --out features.parquet"
            windows = float((self.about.seconds_V / 2).mean()) * self.about.rows
            seconds = self._training(windows, 1 / 3, given=True)
            return [
                Step(command, "a feature for each moment", seconds),
                Step("mofo search CLIP.mp4 features.parquet", "moments that look alike"),
            ]
        size = self._size[0]
        words = [f"mofo pretrain --config {size} --data.source {source} --data.areas {areas}"]
        words += self._clips(fine=False)
        still = 1 - self.store.moving if self.store else 0.0
        reason = "no labels and no weights: learn from the videos themselves"
        if still > 0.2:
            words.append("--data.moving 0.5")
            reason += f"; nothing moves in {still:.0%} of the frames, so clips prefer the others"
        if self.about.rows < 500:
            reason += f"; {self.about.rows:,} videos are few for it: weights of others serve better"
        epochs = 20 if size == "tiny" else 100
        seconds = self._training(self.about.rows * epochs, 0.5)
        return [Step(" ".join([*words, "--run.out runs/first"]), reason, seconds)]

    def _clips(self, fine: bool = True) -> list[str]:
        """How clips are cut, where the defaults do not fit."""
        about, words = self.about, []
        (slow, fast), seconds = about.rates, float(np.median(about.seconds_V))
        if seconds > 10 or (not fine and fast > 1.2 * slow):
            words.append(f"--data.seconds {min(2.5, seconds):.2g}")  # else all of it, or a stride
        if about.shape > 1.9:
            words.append("--data.fit pad")
        return words

    @property
    def _size(self) -> tuple[str, float, int]:
        return _GPU_SIZE if _has_gpu() else _CPU_SIZE

    def _training(self, clips: float, share: float = 1.0, *, given: bool = False) -> float:
        """Seconds of a training on so many clips; of ``share`` of its operations."""
        size = _GPU_SIZE if given else self._size
        return clips * 3 * share * size[1] / (_GPU if _has_gpu() else _speed())


def _has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None


def _speed() -> float:
    """Multiplications a second of this machine, as a training gets them out of it."""
    side, times = 96, []  # small enough for one thread, and for no other program to get in between
    matrix = np.ones((side, side), np.float32)
    for _ in range(300):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return _SHARE * usable_cpus() * side**3 / max(min(times), 1e-7)
