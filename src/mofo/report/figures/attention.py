"""What a classifier looks at: attention from inside the motion area, relevance of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.sources import MotionChoice
from mofo.clips.view_clips import ViewDataset
from mofo.datasets.catalog import Video
from mofo.datasets.video import why_unusable
from mofo.evaluation.predict import choose_motion
from mofo.models.fusion import FUSIONS
from mofo.registry import did_you_mean
from mofo.report.figures.films import ClipFrames, Film, Row, write_films
from mofo.report.figures.layout import picture_kind
from mofo.report.figures.marks import draw_heat, outline_tokens
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import SettingsError, VideoError

_NAMED = 8  # classes in a message
_TOP = 0.99  # single tokens would leave all others dark


@dataclass(frozen=True, eq=False)
class Attention:
    """What a classifier attended to in one clip, and which tokens speak for its answer.

    Attributes:
        inside_thw: bool, tokens inside the motion area.
        attention_thw: float32, shares of the fusion's attention; they sum to 1, or are all 0 where
            nothing is inside, so that nothing asks.
        relevance_thw: float32, 0 or more: how much each token of the encoder speaks for the class.
    """

    frames: ClipFrames
    inside_thw: np.ndarray
    attention_thw: np.ndarray
    relevance_thw: np.ndarray
    head: str
    name: str
    probability: float


def attention_of(saved: SavedClassifier, batch: ClipBatch, wanted: str | None = None) -> Attention:
    """Returns what a model attends to in the first clip of a batch.

    Relevance is each token of the encoder times the gradient of the class's logit with respect to
    it, summed over channels, what speaks against the class left out (Grad-CAM, arXiv 1610.02391,
    with weights for each place as in HiResCAM, arXiv 2011.08891). ``batch``: on the CPU.
    ``wanted``: name of a class; None: the likeliest of the first head.
    """
    model, grid = saved.model, saved.settings.model.grid
    device = next(model.parameters()).device
    inside_BN = model.inside(model.motion(batch))[:1]
    keep_BV = model.kept(batch)
    keep_BV = None if keep_BV is None else keep_BV[:1].to(device)
    with torch.no_grad():
        tokens_BND = model.encoder(batch.frames_BTHWC[:1].to(device), keep_BV)
    tokens_BND = tokens_BND.detach().requires_grad_()
    with torch.enable_grad():
        inside = inside_BN.to(device)
        fused_BD, weight_BhQN = model.fuse(tokens_BND, inside, keep_BV, return_attention=True)
        logits = model.head(fused_BD)
        head, number = _class(saved, logits, wanted)
        [gradient_BND] = torch.autograd.grad(logits[head][0, number], tokens_BND)
    relevance_N = (gradient_BND * tokens_BND).sum(2).clamp(min=0)[0].detach()
    logits_C = logits[head][0].detach()
    single = model.settings.labels == "single"
    shape = (grid.t, grid.h, grid.w)

    def placed(value_V: Tensor) -> np.ndarray:
        """Of all tokens; 0 where they were left out."""
        if keep_BV is not None:
            value_V = value_V.new_zeros(grid.tokens).index_put((keep_BV[0],), value_V)
        return value_V.reshape(shape).cpu().numpy()

    return Attention(
        frames=ClipFrames.of(batch, 0, grid, model.settings.motion.shape),
        inside_thw=inside_BN[0].reshape(shape).numpy(),
        attention_thw=placed(_mean_of_queries(weight_BhQN[0])),
        relevance_thw=placed(relevance_N),
        head=head,
        name=saved.classes[head][number],
        probability=float((logits_C.softmax(0) if single else logits_C.sigmoid())[number]),
    )


def _class(
    saved: SavedClassifier, logits: dict[str, Tensor], wanted: str | None
) -> tuple[str, int]:
    if wanted is None:
        head = next(iter(logits))
        return head, int(logits[head][0].argmax())
    for head, names in saved.classes.items():
        if wanted in names:
            return head, names.index(wanted)
    every = [name for classes in saved.classes.values() for name in classes]
    near = did_you_mean(wanted, every)
    known = f"choose from {', '.join(every[:_NAMED])}"
    if len(every) > _NAMED:
        known += f" and {len(every) - _NAMED} more, in checkpoint.json"
    raise SettingsError(f"class {wanted!r} is none of the model's: {near or known}")


def _mean_of_queries(weight_hQN: Tensor) -> Tensor:
    """Mean over heads and over the queries that attend to anything; all 0 if none does."""
    weight_QN = weight_hQN.mean(0)
    query_Q1 = (weight_QN.sum(1, keepdim=True) > 0).to(weight_QN.dtype)
    mean_N: Tensor = (weight_QN * query_Q1).sum(0) / query_Q1.sum().clamp(min=1)
    return mean_N


def clip_for(saved: SavedClassifier, video: Video, motion: MotionChoice) -> ClipBatch:
    """Returns the one view of a video that a model takes of its middle."""
    view = ViewDataset([video], saved.views(1, 1, motion))[0, 0]
    if view.clip is None:
        raise VideoError(video.path, view.reason)
    return collate([view.clip])


def attention_film(made: Attention) -> Film:
    """Returns the clip: frame with its motion, attention and relevance."""

    def tiles(t: int, token: int) -> list[np.ndarray]:
        pictures = [made.frames.marked(t, token)]
        slot = t // made.frames.grid.tubelet
        for map_thw in (made.attention_thw, made.relevance_thw):
            high = max(float(np.quantile(map_thw, _TOP)), float(map_thw.max()) / 20, 1e-12)
            heat_HW3 = draw_heat(made.frames.plain(t, token), map_thw[slot] / high)
            outline_tokens(heat_HW3, made.inside_thw[slot])
            pictures.append(heat_HW3)
        return pictures

    rows = (made.frames.row, Row("attention"), Row(f"relevance of {made.name!r}"))
    return Film(made.frames.grid, rows, tiles)


def show_attention(
    checkpoint: str | Path,
    video: str | Path,
    path: str | Path,
    *,
    areas: str = "detected",
    wanted: str | None = None,
) -> Attention:
    """Draws what a fine-tuned model looks at in the middle of a video.

    Args:
        checkpoint: its folder, or that of a run: then its best one.
        video: the file.
        path: ``.png``: some moments; ``.mp4``: all frames of the clip.
        areas: where the motion area comes from, see ``choose_motion``.
        wanted: class whose relevance is drawn; None: the likeliest.

    Raises:
        CheckpointError: no checkpoint of a fine-tuning.
        SettingsError: another kind of file, an unknown class or way of finding areas.
        VideoError: the video cannot be read.
    """
    picture_kind(path)
    saved = open_classifier(checkpoint)
    reason = why_unusable(str(video))
    if reason is not None:
        raise VideoError(video, reason)
    motion = choose_motion(areas, None, saved)
    row = Video(str(Path(video).absolute()), Path(video).name)
    saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
    made = attention_of(saved, clip_for(saved, row, motion), wanted)
    fusion, name = saved.settings.fusion, saved.checkpoint.path.absolute().parents[1].name
    empty = " This clip has no motion area, so the model takes the mean of all tokens."
    write_films(
        [attention_film(made)],
        path,
        title=Path(video).name,
        lines=[
            f"{made.head}: {made.name}, {100 * made.probability:.1f} % · fusion {fusion}"
            f" · motion: {made.frames.shape}, {motion}",
            f"{name}, step {saved.checkpoint.step:,}",
        ],
        notes=[
            f"Attention: {FUSIONS[fusion].attended}" + ("" if made.inside_thw.any() else empty),
            f"Relevance: which tokens of the encoder speak for {made.name!r} (gradient times "
            "activation). Each map has a scale of its own, the same over the clip: the brightest "
            "are the hundredth of the tokens with most.",
            "Orange: motion of the moment (frame), and the patches that count as moving (maps).",
        ],
    )
    return made
