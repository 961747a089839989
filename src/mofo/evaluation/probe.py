"""Probes on files: frozen features of labelled videos, a probe, and its results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mofo.clips.labels import LabelError, LabelTable, labelled
from mofo.datasets.catalog import read_catalog
from mofo.datasets.video import LABEL, Video
from mofo.evaluation.attentive_probe import AttentiveSettings, LabelledTokens, attentive_probe
from mofo.evaluation.embed import cache_folder, chosen
from mofo.evaluation.feature_settings import BOXES, FeatureSettings, Work
from mofo.evaluation.features import Features, extract, readable
from mofo.evaluation.frozen import FrozenEncoder, open_encoder, random_encoder
from mofo.evaluation.measures import EvaluationError, Sample
from mofo.evaluation.probes import (
    LabelledFeatures,
    ProbeResult,
    area_probe,
    knn_probe,
    linear_probe,
)
from mofo.evaluation.recognition import recognise
from mofo.evaluation.results import Recognition, Results, write_results
from mofo.types import SettingsError, TokenGrid

PROBES = ("knn", "linear", "attentive", "areas")
_KNOWS_AREA = ("cross_attention", "weighted_mean")
RESULTS = "results.json"


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What needs no picture at all.

    Attributes:
        top1: of always saying the class that most training videos have.
        answer: that class.
        mean_class_accuracy: of always saying the same class.
    """

    top1: float
    answer: str
    mean_class_accuracy: float


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What a probe found.

    Attributes:
        main: whether this is the process that speaks; the others have no results.
        results: as of an evaluation, with measures and intervals; None elsewhere than on main.
        chance: see ``Chance``; None as ``results``.
        chosen: what was chosen on held-out training videos.
        train: training videos.
        notes: one line each: what a reader should know.
        file: results.json, if a folder for it was named.
    """

    main: bool
    results: Results | None = None
    chance: Chance | None = None
    chosen: str = ""
    train: int = 0
    notes: tuple[str, ...] = ()
    file: Path | None = None


def probe(
    kind: str,
    checkpoint: str | Path | None,
    sources: str | Path | Sequence[str | Path],
    *,
    config: str | Path | None = None,
    grid: TokenGrid | None = None,
    head: str = LABEL,
    train_split: str = "train",
    test_split: str = "validation",
    out: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 0,
    k: int = 20,
    temperature: float = 0.07,
    attentive: AttentiveSettings | None = None,
    batch: int = 16,
    workers: int = 4,
    precision: str = "auto",
    progress: bool = False,
    **settings: Any,
) -> ProbeReport:
    """How well a plain classifier tells the classes apart by what a frozen encoder makes of them.

    Under several processes features are computed by all, the probe by one.

    Args:
        kind: "knn", "linear", "attentive" (see ``probes``, ``attentive_probe``), or "areas", the
            control on where the motion area is over time, without an encoder.
        checkpoint: of a pre-training or a fine-tuning, or a run. None: random weights (``config``);
            none for "areas".
        sources: labelled videos that say their split, see ``read_catalog``.
        config: recipe or checkpoint with the sizes of an encoder with random weights.
        grid: frames and size of a clip for "areas"; None: 16 frames of 224x224.
        head: kind of labels.
        train_split, test_split: which videos are for what.
        out: folder for ``results.json``.
        cache: folder that keeps features for the next probe.
        seed: of what is held out, of random weights, and of intervals.
        k, temperature: of "knn".
        attentive: of "attentive".
        batch, workers, precision, progress: see ``Work``.
        settings: ``layer``, ``pool``, ``clips``, ``sampling``, ``stride``, ``areas``, see
            ``FeatureSettings``.

    Raises:
        CheckpointError, SettingsError, StoreError, LabelError, MofoError: in one line.
        EvaluationError: an empty split; one class; a share to hold out that cannot be had.
    """
    attentive = attentive or AttentiveSettings()
    wanted = _settings(kind, settings, attentive)
    encoder = _encoder(kind, checkpoint, config, seed)
    work = Work(batch=batch, workers=workers, precision=precision, progress=progress)
    names = [sources] if isinstance(sources, str | Path) else list(sources)
    catalog = read_catalog(names)
    if train_split == test_split:
        raise SettingsError(f"split {test_split!r}: a probe is not tested on what it learned from")
    parts: list[tuple[Video, ...]] = []
    unlabelled: list[tuple[str, str]] = []
    for split in (train_split, test_split):
        videos, others = labelled(chosen(catalog, split), (head,))
        unlabelled += others
        if not videos:
            raise LabelError(_no_labels(others, split, head))
        parts.append(videos)
    table = LabelTable.of([*parts[0], *parts[1]], (head,), catalog.classes)
    classes, number_V = table.classes[head], table.number_V(head)
    if len(np.unique(number_V[: len(parts[0])])) < 2:
        raise EvaluationError("a probe needs training videos of two classes at least")
    number = dict(zip([*parts[0], *parts[1]], number_V.tolist(), strict=True))
    accelerator = work.engine()
    with cache_folder(cache, accelerator) as folder:
        train, test = (
            readable(
                extract(encoder, videos, wanted, cache=folder, work=work, grid=grid, title=split)
            )
            for videos, split in zip(parts, (train_split, test_split), strict=True)
        )
        # The others have done their share; waiting for the probe could take longer than they may.
        if not accelerator.is_main_process:
            return ProbeReport(main=False)
        label_V, label_W = (
            np.array([number[video] for video in part.videos], np.int64) for part in (train, test)
        )
        if kind == "attentive":
            found = attentive_probe(
                _tokens(train, label_V),
                _tokens(test, label_W),
                attentive,
                seed=seed,
                device=accelerator.device,
                progress=progress,
            )
        else:
            found = _pooled(kind, k, temperature, seed)(
                _labelled(train, label_V), _labelled(test, label_W)
            )
    score_VC = np.zeros((len(test), len(classes)))
    score_VC[:, : found.score_VC.shape[1]] = found.score_VC
    sample = Sample(_names(test.videos), [_group(video) for video in test.videos], seed)
    recognition = recognise(score_VC, label_W, classes, sample)
    chance = _chance(label_V, label_W, classes)
    results = Results(
        {head: recognition},
        wanted.clips,
        about=_about(
            kind, encoder, names, train, test, (train_split, test_split), found, chance, attentive
        ),
        left_out=(*catalog.problems, *train.failures, *test.failures),
    )
    file = Path(out) / RESULTS if out is not None else None
    if file is not None:
        try:
            write_results(results, file)
        except OSError as error:
            raise SettingsError(f"{file}: cannot be written: {error.strerror}") from None
    return ProbeReport(
        main=True,
        results=results,
        chance=chance,
        chosen=found.chosen,
        train=len(train),
        notes=_notes(unlabelled, recognition, label_V, found),
        file=file,
    )


def _settings(kind: str, options: dict[str, Any], attentive: AttentiveSettings) -> FeatureSettings:
    if kind not in PROBES:
        raise SettingsError(f"probe {kind!r} is unknown: choose from {', '.join(PROBES)}")
    if kind in ("attentive", "areas"):
        if options.get("pool") is not None:
            raise SettingsError(f"probe {kind}: takes no pool")
        options = options | {"pool": "tokens" if kind == "attentive" else BOXES}
    elif options.get("pool") == "tokens":
        raise SettingsError(f"probe {kind}: takes pooled features; `attentive` takes tokens")
    if options.get("pool") is None:
        options = options | {"pool": "mean"}
    if kind == "attentive":
        if attentive.fusion not in _KNOWS_AREA:
            options = options | {"areas": "none"}
        elif options.get("areas") == "none":
            raise SettingsError(
                f"fusion {attentive.fusion} needs motion areas: codec, dis or a store"
            )
        elif options.get("areas") is None:
            options = options | {"areas": "codec"}
    try:
        return FeatureSettings(**options)
    except TypeError as error:
        raise SettingsError(f"probe: {error}") from None


def _encoder(
    kind: str, checkpoint: str | Path | None, config: str | Path | None, seed: int
) -> FrozenEncoder | None:
    given = [each for each in (checkpoint, config) if each is not None]
    if kind == "areas":
        if given:
            raise SettingsError("probe areas: takes no encoder, only videos")
        return None
    if len(given) != 1:
        raise SettingsError(
            f"probe {kind}: give a checkpoint, or a recipe for random weights (the checkpoint "
            "`random` and --config RECIPE)"
        )
    return open_encoder(given[0]) if config is None else random_encoder(given[0], seed)


def _pooled(
    kind: str, k: int, temperature: float, seed: int
) -> Callable[[LabelledFeatures, LabelledFeatures], ProbeResult]:
    if kind == "knn":
        return lambda train, test: knn_probe(train, test, k=k, temperature=temperature)
    rng = np.random.default_rng(seed)
    if kind == "linear":
        return lambda train, test: linear_probe(train, test, rng)
    return lambda train, test: area_probe(train, test, rng)


def _labelled(features: Features, label_V: np.ndarray) -> LabelledFeatures:
    return LabelledFeatures(features.all(), label_V, _groups(features))


def _tokens(features: Features, label_V: np.ndarray) -> LabelledTokens:
    return LabelledTokens(features.take, label_V, _groups(features))


def _groups(features: Features) -> np.ndarray:
    return np.array([_group(video) for video in features.videos])


def _group(video: Video) -> str:
    return video.group or video.path


def _names(videos: Sequence[Video]) -> list[str]:
    """A name for each video, all different, also where several are stretches of one file."""
    found: list[str] = []
    seen: Counter[str] = Counter()
    for video in videos:
        name = video.key
        if video.start is not None or video.end is not None:
            end = "end" if video.end is None else f"{video.end:g}"
            name = f"{name} {video.start or 0:g}-{end} s"
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _chance(label_V: np.ndarray, label_W: np.ndarray, classes: Sequence[str]) -> Chance:
    commonest = int(np.bincount(label_V).argmax())
    return Chance(
        top1=float((label_W == commonest).mean()),
        answer=classes[commonest],
        mean_class_accuracy=1 / len(np.unique(label_W)),
    )


def _about(
    kind: str,
    encoder: FrozenEncoder | None,
    sources: Sequence[str | Path],
    train: Features,
    test: Features,
    splits: tuple[str, str],
    found: ProbeResult,
    chance: Chance,
    attentive: AttentiveSettings,
) -> dict[str, str]:
    made = test.about
    frames, height, width, *_ = made["frames"]
    clip = f"{frames} frames of {width}x{height}, {made['sampling']}"
    if made["stride"]:
        clip += f", stride {made['stride']}"
    about = {
        "test": f"probe {kind}",
        "encoder": encoder.name if encoder is not None else "none: areas' coordinates alone",
        "data": ", ".join(str(source) for source in sources),
        "split": f"{splits[0]}, {len(train):,} videos, to learn; {splits[1]}, {len(test):,}, to "
        "test",
        "clips": f"{made['clips']} of each video; {clip}",
        "areas": str(made["areas"]),
        "chosen": found.chosen,
        "chance": f"top-1 {chance.top1:.4f} (always {chance.answer!r}), mean class accuracy "
        f"{chance.mean_class_accuracy:.4f}",
    }
    if encoder is not None:
        about["features"] = f"layer {made['layer']} of {encoder.settings.depth}, {made['pool']}"
    if kind == "attentive":
        about["fusion"] = attentive.fusion
    return {name: text for name, text in about.items() if text}


def _no_labels(others: Sequence[tuple[str, str]], split: str, head: str) -> str:
    path, reason = others[0]
    return (
        f"{path} and {len(others) - 1} more: {reason}; no video of the split {split!r} has one: "
        f"name another kind of label than {head!r}, or give a CSV list with it"
    )


def _notes(
    unlabelled: Sequence[tuple[str, str]],
    recognition: Recognition,
    label_V: np.ndarray,
    found: ProbeResult,
) -> tuple[str, ...]:
    notes = []
    if unlabelled:
        path, reason = unlabelled[0]
        notes.append(f"{len(unlabelled)} videos left out, the first {path}: {reason}")
    known = set(label_V.tolist())
    rows = [row.name for number, row in enumerate(recognition.classes)
            if row.count and number not in known]  # fmt: skip
    if rows:
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        notes.append(f"no training video of {rows[0]!r}{more}: these can only be missed")
    if not found.converged:
        notes.append("the solver stopped before its end: results could still change a little")
    return tuple(notes)
