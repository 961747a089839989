"""Writing the motion-actions set: videos, a catalog, exact motion areas and, if wanted, masks.

Clip number i is a function of (level, seed, size, frames, i) and the installed pictures alone:
another number of processes, a stop in between, or a larger set later change no clip. A clip counts
as finished when its part of the store of motion areas is there, which is written last.
"""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mofo.motion.merge import merge, scan
from mofo.motion.parts import write_part
from mofo.synth.actions.classes import CLASSES
from mofo.synth.actions.levels import level_named
from mofo.synth.actions.materials import SPLITS, pictures
from mofo.synth.actions.scene import FRAMES, ActionClip, ActionRecipe, make_action_clip
from mofo.system.files import folder_lock, is_temporary, remove_temporaries, replaced
from mofo.system.pool import ENGINES, InProcess
from mofo.system.processes import usable_cpus
from mofo.types import MofoError, MotionArea, SettingsError, hull
from mofo.video.writer import VideoWriter

RECIPE = "motion-actions"
VERSION = 1
"""Rises whenever the same settings give other clips."""

# Of 20 clips in a row: 14 for training, 3 for validation, 3 for the test.
_TURN = tuple(
    "validation" if i in (4, 11, 17) else "test" if i in (8, 14, 19) else "train" for i in range(20)
)


@dataclass(frozen=True, kw_only=True)
class ActionSetSettings:
    """What a set holds.

    Attributes:
        level: "easy", "medium" or "hard".
        clips: number of clips over all splits (70 % train, 15 % validation, 15 % test).
        seed: 0 or more.
        size: height and width, pixels: an even number from 32 to 1024.
        frames: of a clip, 8 to 256; all clips last 4/3 of a second.
        masks: also write exact masks.

    Raises:
        SettingsError: a value is impossible.
    """

    level: str = "easy"
    clips: int = 1000
    seed: int = 0
    size: int = 112
    frames: int = FRAMES
    masks: bool = False

    def __post_init__(self) -> None:
        level_named(self.level)
        if self.clips < 1:
            raise SettingsError(f"clips is {self.clips}, expected 1 or more")
        if self.seed < 0:
            raise SettingsError(f"seed is {self.seed}, expected 0 or more")
        if not 32 <= self.size <= 1024 or self.size % 2:
            raise SettingsError(f"size is {self.size}, expected an even number from 32 to 1024")
        if not 8 <= self.frames <= 256:
            raise SettingsError(f"frames is {self.frames}, expected 8 to 256")

    def identity(self) -> dict[str, Any]:
        """What has to be the same for a set to be continued."""
        return {
            "recipe": RECIPE,
            "version": VERSION,
            "level": self.level,
            "seed": self.seed,
            "size": self.size,
            "frames": self.frames,
            "pictures": {split: list(pictures(split)) for split in SPLITS},
        }


class Entry(NamedTuple):
    """One clip of a set: its number, and what it shows. ``path`` is relative to the set."""

    path: str
    recipe: ActionRecipe

    @property
    def mask_path(self) -> str:
        """Where its masks lie, relative to the set."""
        return f"masks/{self.path.removeprefix('videos/').removesuffix('.mp4')}.npz"


@dataclass(frozen=True)
class SetReport:
    """What a run did."""

    folder: Path
    table: Path
    done: int
    skipped: int
    counts: dict[str, int]


def entries(settings: ActionSetSettings) -> Iterator[Entry]:
    """The clips of a set, in the order of their numbers."""
    classes = level_named(settings.level).classes
    orders: dict[str, list[str]] = {split: [] for split in SPLITS}
    number_of = dict.fromkeys(SPLITS, 0)
    for number in range(settings.clips):
        split = _TURN[number % len(_TURN)]
        if not orders[split]:  # every class once, in a random order, then again
            block = number_of[split] = number_of[split] + 1
            rng = np.random.default_rng([settings.seed, 77, SPLITS.index(split), block])
            orders[split] = [classes[i] for i in rng.permutation(len(classes))]
        recipe = ActionRecipe(
            label=orders[split].pop(),
            level=settings.level,
            split=split,
            seed=(settings.seed, 4, number),
            size=settings.size,
            frames=settings.frames,
        )
        yield Entry(f"videos/{split}/{number:06d}.mp4", recipe)


def true_area(clip: ActionClip) -> MotionArea:
    """The exact motion area of a clip."""
    movers = clip.boxes()
    hulls = [hull(boxes_K4) for boxes_K4 in movers]
    frames, height, width = clip.label_THW.shape
    return MotionArea(
        width=width,
        height=height,
        frame_T=np.arange(frames, dtype=np.int64),
        time_T=np.arange(frames) / clip.recipe.fps,
        box_T4=np.stack([one.box_4 for one in hulls]),
        valid_T=np.array([one.valid for one in hulls]),
        movers=movers,
        flow="truth",
    )


def write_action_set(
    out: str | Path,
    settings: ActionSetSettings,
    *,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> SetReport:
    """Make a set in the folder ``out``, or finish or enlarge the one that is there.

    Args:
        out: the folder.
        settings: what the set holds.
        workers: processes; 0 works in this one; None takes all processors.
        progress: called with 1 for each clip that is finished.

    Raises:
        MofoError: the folder holds something else, or a set of other settings; a worker died.
        VideoError: a video cannot be written.
    """
    if workers is not None and workers < 0:
        raise SettingsError(f"workers is {workers}, expected 0 or more")
    folder = Path(out).absolute()
    _claim(folder, settings)
    areas = folder / "areas"
    areas.mkdir(parents=True, exist_ok=True)
    with folder_lock(areas):
        remove_temporaries(folder, alone=True)
        every = list(entries(settings))
        held = scan(areas, None).held
        todo = [one for one in every if not _finished(folder, one, held, settings.masks)]
        for split in SPLITS:
            (folder / "videos" / split).mkdir(parents=True, exist_ok=True)
            if settings.masks:
                (folder / "masks" / split).mkdir(parents=True, exist_ok=True)
        groups = _groups(folder / "videos.csv")
        try:
            for path, group in _made(folder, todo, settings.masks, workers):
                groups[path] = group
                if progress is not None:
                    progress(1)
        finally:
            _write_table(folder / "videos.csv", every, groups)
        merge(scan(areas, None))
        _write_about(folder, settings, every)
    counts = Counter(one.recipe.split for one in every)
    return SetReport(folder, folder / "videos.csv", len(todo), len(every) - len(todo), dict(counts))


def _claim(folder: Path, settings: ActionSetSettings) -> None:
    """Make sure that the folder is empty or holds this set."""
    about = folder / "about.json"
    identity = settings.identity()
    if not about.is_file():
        # A run that was killed in its first moment, perhaps on another machine, left no more.
        empty = not folder.exists() or (
            folder.is_dir() and all(map(is_temporary, folder.iterdir()))
        )
        if not empty:
            raise MofoError(f"{folder}: holds something else: choose a new or an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        _write_about(folder, settings, [])
        return
    try:
        found = json.loads(about.read_text(encoding="utf-8"))
        different = [key for key in identity if found.get(key) != identity[key]]
    except (ValueError, AttributeError):
        raise MofoError(f"{about}: damaged: delete the folder and make the set again") from None
    if different:
        key = different[0]
        raise MofoError(
            f"{folder}: holds a set with another {key}: choose another folder, or the same settings"
        )


def _finished(folder: Path, one: Entry, held: dict[str, Any], masks: bool) -> bool:
    files = [one.path, one.mask_path] if masks else [one.path]
    return one.path in held and all((folder / file).is_file() for file in files)


def _made(
    folder: Path, todo: list[Entry], masks: bool, workers: int | None
) -> Iterator[tuple[str, str]]:
    """Makes the clips; path and group of each, as they come."""
    count = min(usable_cpus() if workers is None else workers, len(todo))
    engine = (ENGINES["local"] if count > 1 else InProcess)(_make_task, count)
    tasks = iter([(folder, entry, masks) for entry in todo])
    with contextlib.closing(engine.run(tasks)) as results:
        for result in results:
            if result is not None and result.failure:
                raise MofoError(
                    f"{result.failure}: run the same command again (finished clips are kept)"
                )
            if result is not None:
                if isinstance(result.value, MofoError):
                    raise result.value
                yield result.value


def _make_task(task: tuple[Path, Entry, bool], progress: object) -> Any:
    """What a worker does: the clip's path and group, or the error."""
    try:
        return _make(*task)
    except MofoError as error:
        return error


def _make(folder: Path, one: Entry, masks: bool) -> tuple[str, str]:
    clip = make_action_clip(one.recipe)
    path = folder / one.path
    with VideoWriter(path, fps=one.recipe.fps, crf=clip.crf) as writer:
        for frame_HW3 in clip.video_THW3:
            writer.write(frame_HW3)
    if masks:
        with (
            replaced(folder / one.mask_path) as temporary,
            temporary.open("wb") as file,
        ):
            np.savez_compressed(file, label_THW=clip.label_THW, moving_TK=clip.moving_TK)
    size = path.stat().st_size
    write_part(folder / "areas", one.path, str(path), size, true_area(clip), None)
    return one.path, clip.group


def _groups(table: Path) -> dict[str, str]:
    """Path -> group of an earlier run."""
    with contextlib.suppress(FileNotFoundError), table.open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["group"] for row in csv.DictReader(file) if row.get("group")}
    return {}


def _write_table(table: Path, every: list[Entry], groups: dict[str, str]) -> None:
    """The catalog of what is there; groups of clips left over from a killed run are made anew."""
    with (
        replaced(table) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "split", "group"))
        for one in every:
            if (table.parent / one.path).is_file():
                if one.path not in groups:
                    groups[one.path] = make_action_clip(one.recipe).group
                writer.writerow((one.path, one.recipe.label, one.recipe.split, groups[one.path]))


def _write_about(folder: Path, settings: ActionSetSettings, every: list[Entry]) -> None:
    import importlib.metadata

    names = level_named(settings.level).classes
    content = {
        **settings.identity(),
        "clips": len(every),
        "mofo": importlib.metadata.version("mofo"),
        "splits": dict(Counter(one.recipe.split for one in every)),
        "classes": {name: CLASSES[name].template for name in names},
    }
    with replaced(folder / "about.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
