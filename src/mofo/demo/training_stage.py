"""Stages: pre-training with two masks, fine-tuning with two fusions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mofo.demo.labelled_stage import ClipSet
from mofo.demo.scale import DemoScale
from mofo.demo.side_by_side import Training, train_all
from mofo.demo.stage import Found, Stage
from mofo.masking.mask_settings import MaskSettings
from mofo.report.figures.reconstruction import show_reconstruction
from mofo.training.finetune_settings import (
    AugmentSettings,
    ClassifierChoice,
    FinetuneOptimSettings,
    FinetuneSettings,
    LabelledDataSettings,
    LabelLossSettings,
)
from mofo.training.journal import read_journal
from mofo.training.pretrain_settings import (
    DataSettings,
    LossSettings,
    ModelChoice,
    OptimSettings,
    PretrainSettings,
    RunSettings,
)

MOFO, BASELINE = "mofo", "baseline"
MASKS = {MOFO: "motion", BASELINE: "tube"}
FUSIONS = {MOFO: "cross_attention", BASELINE: "mean"}
_FEW, _DRAWN = 10, 4  # steps of a mean; clips in a picture
_REPEATS = 2  # clips from each decoded video: decoding is a third of a step
_RATE: dict[str, Any] = {"lr": 3.2e-2, "min_lr": 3.2e-4}  # for 256 clips
_SIZES: dict[str, Any] = {"size": "nano", "tubelet": 4, "patch": 16}
_FRAMES: dict[str, Any] = {"frames": 16, "stride": 1, "clips_per_video": _REPEATS}


def pretrained(out: Path, who: str) -> Path:
    """Folder of a pre-training."""
    return out / "pretrain" / MASKS[who]


def finetuned(out: Path, who: str) -> Path:
    """Folder of a fine-tuning."""
    return out / "finetune" / who


def pretrain_stage(out: Path, scale: DemoScale, clips: int, progress: bool) -> Stage:
    """The same model, twice: motion masks and tube masks; ``clips`` are in the split "train"."""
    made = ClipSet(out)

    def settings(who: str) -> PretrainSettings:
        return PretrainSettings(
            data=DataSettings(
                source=(str(made.table),), split="train", areas=str(made.areas), size=scale.size,
                **_FRAMES,
            ),
            model=ModelChoice(**_SIZES),
            mask=MaskSettings(strategy=MASKS[who]),
            loss=LossSettings(normalise=False),
            optim=OptimSettings(**_RATE, **_steps(scale, clips, scale.pretrain_steps)),
            run=_run(pretrained(out, who), scale),
        )  # fmt: skip

    def work() -> Found:
        several = [
            Training(f"{MASKS[who]} masks", "pretrain", settings(who), scale.pretrain_steps)
            for who in MASKS
        ]
        train_all(several, progress=progress)
        return {
            "losses": {who: _losses(pretrained(out, who)) for who in MASKS},
            "errors": _draw(out, made),
        }

    def told(found: Found) -> list[str]:
        lines = [
            f"{MASKS[who]} masks: error of the hidden pixels from {found['losses'][who][0]:.3f} to "
            f"{found['losses'][who][1]:.3f} in {scale.pretrain_steps:,} steps"
            for who in MASKS
        ]
        error, flat = found["errors"]
        return [
            *lines,
            f"on {_DRAWN} test clips: {error:.4f}, {_compared(error / flat)} the {flat:.4f} of "
            "painting each hole in the mean colour of what is seen nearby",
            f"what it fills in:        {out / 'pictures' / 'reconstruction.png'}",
        ]

    return Stage(
        name="pretrain",
        title="pre-training without labels",
        about=(
            "A small model sees an eighth of each clip and has to paint the rest. Twice: hiding",
            "where things move (MOFO's motion masks), and anywhere (VideoMAE's tube masks).",
        ),
        made_with=_made_with(scale, scale.pretrain_steps),
        work=work,
        told=told,
        files=tuple(pretrained(out, who) / "checkpoints" for who in MASKS),
        again=False,
    )


def finetune_stage(out: Path, scale: DemoScale, clips: int, progress: bool) -> Stage:
    """Classifiers: MOFO's cross-attention, and the mean of all tokens; ``clips`` as there."""
    made = ClipSet(out)

    def settings(who: str) -> FinetuneSettings:
        return FinetuneSettings(
            data=LabelledDataSettings(
                source=(str(made.table),), areas=str(made.areas), sampling="dense",
                size=scale.size, **_FRAMES,
            ),
            model=ClassifierChoice(
                init=str(pretrained(out, who)), fusion=FUSIONS[who], drop_path=0.0, **_SIZES
            ),
            # What is mixed or turned no longer moves as its label says.
            augment=AugmentSettings(randaugment=0, erasing=0.0, mixup=0.0, cutmix=0.0),
            loss=LabelLossSettings(smoothing=0.0),
            optim=FinetuneOptimSettings(
                layer_decay=1.0, weight_decay=0.0, **_RATE,
                **_steps(scale, clips, scale.finetune_steps),
            ),
            run=_run(finetuned(out, who), scale),
        )  # fmt: skip

    def work() -> Found:
        several = [
            Training(who, "finetune", settings(who), scale.finetune_steps) for who in FUSIONS
        ]
        train_all(several, progress=progress)
        return {"right": {who: _best(finetuned(out, who)) for who in FUSIONS}}

    def told(found: Found) -> list[str]:
        return [
            f"{who + ' (' + FUSIONS[who] + ' after ' + MASKS[who] + ' masks)':46} "
            f"{100 * found['right'][who]:.0f} % of the validation clips right"
            for who in FUSIONS
        ]

    return Stage(
        name="finetune",
        title="fine-tuning with labels",
        about=(
            "Both models learn the classes. MOFO's asks, from inside the motion area, what is",
            "around it (cross-attention); the baseline takes the mean of everything. All else is",
            "the same: clips, steps, learning rate, seed.",
        ),
        made_with=_made_with(scale, scale.finetune_steps),
        work=work,
        told=told,
        files=tuple(finetuned(out, who) / "checkpoints" for who in FUSIONS),
        again=False,
    )


def _steps(scale: DemoScale, clips: int, steps: int) -> dict[str, Any]:
    """Steps as recipes count them: in passes over the ``clips`` that are trained on."""
    epochs = steps * scale.batch / (clips * _REPEATS)
    return {"batch": scale.batch, "epochs": epochs, "warmup_epochs": min(0.5, epochs / 10)}


def _run(folder: Path, scale: DemoScale) -> RunSettings:
    return RunSettings(
        out=str(folder), seed=scale.seed, micro_batch=scale.batch, workers=0, log_every=10,
        save_every=scale.save_every, keep_last=1, trackers=(),
    )  # fmt: skip


def _losses(run: Path) -> list[float]:
    """Mean over the first steps, and over the last ones."""
    losses = [line["loss"] for line in read_journal(run / "metrics.jsonl")]
    return [sum(few) / len(few) for few in (losses[:_FEW], losses[-_FEW:])]


def _compared(ratio: float) -> str:
    """In words; within a tenth nothing is made of it."""
    if 0.9 <= ratio <= 1.1:
        return "about the same as"
    return "less than" if ratio < 1 else "more than"


def _best(run: Path) -> float:
    """Share of the validation clips that the checkpoint that is used gets right."""
    return max(line["top1"] for line in read_journal(run / "validation.jsonl"))


def _draw(out: Path, made: ClipSet) -> tuple[float, float]:
    """What the model makes of unseen clips: a picture; its error, and that of flat colours."""
    videos = made.test_videos()[:_DRAWN]
    target = out / "pictures" / "reconstruction.png"
    drawn = show_reconstruction(
        pretrained(out, MOFO), [video.path for video in videos], target, clips=_DRAWN
    ).found
    return float(drawn.error_B.mean()), float(drawn.flat_error_B.mean())


def _made_with(scale: DemoScale, steps: int) -> Found:
    return {"steps": steps, "batch": scale.batch, "seed": scale.seed, **_SIZES, **_RATE, **_FRAMES}
