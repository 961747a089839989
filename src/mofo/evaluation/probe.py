"""Probes on files: frozen features of labelled videos, a probe, and its results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mofo.clips.labels import LabelError, LabelTable, labelled
from mofo.datasets.catalog import read_catalog
from mofo.datasets.video import LABEL, Video
from mofo.evaluation.attentive_probe import AttentiveSettings
from mofo.evaluation.embed import cache_folder, feature_settings
from mofo.evaluation.feature_settings import Work
from mofo.evaluation.features import Features, extract
from mofo.evaluation.measures import EvaluationError, Sample
from mofo.evaluation.pools import POOLS
from mofo.evaluation.probes import PROBES, ProbeResult, check_classes
from mofo.evaluation.recognition import recognise
from mofo.evaluation.results import Recognition, Results, write_results
from mofo.evaluation.videos import ALL, group_of, held_out, read_split, video_names
from mofo.models.inference import Engine
from mofo.training.frozen import FrozenEncoder, open_encoder, random_encoder
from mofo.types import SettingsError, TokenGrid

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
    test_split: str | None = None,
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
        train_split, test_split: which videos are for what; None: validation, else test.
        out: folder for ``results.json``.
        cache: folder that keeps features for the next probe.
        seed: of what is held out, of random weights, and of intervals.
        k: neighbours that vote, of "knn".
        temperature: of their votes.
        attentive: of "attentive".
        batch: clips at once.
        workers: processes that read videos; at most one a processor.
        precision: "fp32", "bf16", or "auto": bf16 on a GPU.
        progress: show a bar.
        settings: ``layer``, ``pool``, ``clips``, ``sampling``, ``stride``, ``areas``, see
            ``FeatureSettings``.

    Raises:
        CheckpointError, SettingsError, StoreError, LabelError, MofoError: in one line.
        EvaluationError: an empty split; one class; a share to hold out that cannot be had.
    """
    options: dict[str, Any] = {"seed": seed, "progress": progress}
    if kind == "knn":
        options |= {"k": k, "temperature": temperature}
    if kind == "attentive":
        options["attentive"] = attentive
    engine = Engine.shared(precision)
    prober = PROBES[kind](device=engine.device, **options)
    wanted = feature_settings(prober.feature_options(settings))
    needs_encoder = POOLS[wanted.pool].needs_encoder
    encoder = _encoder(checkpoint, config, seed, kind) if needs_encoder else None
    if not needs_encoder and (checkpoint or config):
        raise SettingsError(f"probe {kind}: takes no encoder, only videos")
    work = Work(batch=batch, workers=workers, precision=precision, progress=progress)
    names = [sources] if isinstance(sources, str | Path) else list(sources)
    catalog = read_catalog(names)
    test_split = test_split or held_out(catalog)
    if test_split == ALL:
        raise EvaluationError(
            f"{names[0]}: no video says whether it is for training or for the test: `mofo data "
            f"convert {shlex.join(map(str, names))} --to videos.csv --hold-out 0.25` makes a list"
        )
    if train_split == test_split:
        raise SettingsError(f"split {test_split!r}: a probe is not tested on what it learned from")
    parts: list[tuple[Video, ...]] = []
    unlabelled: list[tuple[str, str]] = []
    for split in (train_split, test_split):
        videos, others = labelled(read_split(catalog, split), (head,))
        unlabelled += others
        if not videos:
            raise LabelError(_no_labels(others, split, head))
        parts.append(videos)
    table = LabelTable.of([*parts[0], *parts[1]], (head,), catalog.classes)
    classes, number_V = table.classes[head], table.number_V(head)
    check_classes(number_V[: len(parts[0])])
    number = dict(zip([*parts[0], *parts[1]], number_V.tolist(), strict=True))
    with cache_folder(cache) as folder:
        train, test = (
            extract(encoder, videos, wanted, cache=folder, work=work, grid=grid, title=split)
            for videos, split in zip(parts, (train_split, test_split), strict=True)
        )
        # The others have done their share; waiting for the probe could take longer than they may.
        if not engine.is_main:
            return ProbeReport(main=False)
        label_V, label_W = (
            np.array([number[video] for video in part.videos], np.int64) for part in (train, test)
        )
        groups = np.array([group_of(video) for video in train.videos])
        result = prober.run(train, test, label_V, label_W, groups)
    score_VC = np.zeros((len(test), len(classes)))
    score_VC[:, : result.score_VC.shape[1]] = result.score_VC
    sample = Sample(video_names(test.videos), [group_of(video) for video in test.videos], seed)
    recognition = recognise(score_VC, label_W, classes, sample)
    chance = _chance(label_V, label_W, classes)
    tokens = wanted.tokens(encoder)
    metadata = {
        "test": f"probe {kind}",
        "encoder": encoder.name if encoder is not None else "none: areas' coordinates alone",
        "data": ", ".join(str(source) for source in names),
        "split": f"{train_split}, {len(train):,} videos, to learn; {test_split}, {len(test):,}, "
        "to test",
        **_clips_text(encoder, test),
        "tokens": str(tokens) if tokens.leaves_out else "",
        "chosen": result.chosen,
        "chance": f"top-1 {chance.top1:.4f} (always {chance.answer!r}), mean class accuracy "
        f"{chance.mean_class_accuracy:.4f}",
        "fusion": (attentive or AttentiveSettings()).fusion if kind == "attentive" else "",
    }
    results = Results(
        {head: recognition},
        wanted.clips,
        about={name: text for name, text in metadata.items() if text},
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
        chosen=result.chosen,
        train=len(train),
        notes=_notes(unlabelled, recognition, label_V, result),
        file=file,
    )


def _encoder(
    checkpoint: str | Path | None, config: str | Path | None, seed: int, kind: str
) -> FrozenEncoder:
    if checkpoint is not None and config is None:
        return open_encoder(checkpoint)
    if checkpoint is None and config is not None:
        return random_encoder(config, seed)
    raise SettingsError(
        f"probe {kind}: give a checkpoint, or `random` and a recipe for the sizes of random "
        "weights (--config RECIPE)"
    )


def _chance(label_V: np.ndarray, label_W: np.ndarray, classes: Sequence[str]) -> Chance:
    commonest = int(np.bincount(label_V).argmax())
    return Chance(
        top1=float((label_W == commonest).mean()),
        answer=classes[commonest],
        mean_class_accuracy=1 / len(np.unique(label_W)),
    )


def _clips_text(encoder: FrozenEncoder | None, features: Features) -> dict[str, str]:
    """What the features were made of, for a reader."""
    about = features.about
    frames, height, width, *_ = about["frames"]
    how = f"over {about['seconds']:g} s" if about["seconds"] else about["sampling"]
    clip = f"{frames} frames of {width}x{height}, {how}"
    clip += ", around what moves" if about["motion_crop"] else ""
    if about["stride"] and not about["seconds"]:
        clip += f", stride {about['stride']}"
    text = {"clips": f"{about['clips']} of each video; {clip}", "areas": str(about["areas"])}
    if encoder is not None:
        text["features"] = f"layer {about['layer']} of {encoder.encoder.depth}, {about['pool']}"
    return text


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
    result: ProbeResult,
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
    if not result.converged:
        notes.append("the solver stopped before its end: results could still change a little")
    return tuple(notes)
