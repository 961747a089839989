"""What a classifier looks at: attention from inside the motion area, relevance of its answer."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from mofo.clips.batch import ClipBatch, collate
from mofo.clips.view_clips import ViewDataset, ViewSettings
from mofo.datasets.catalog import Video
from mofo.datasets.video import why_unusable
from mofo.evaluation.provenance import choose_motion
from mofo.models.classifier import Classifier
from mofo.report.lettering import INK, QUIET, text_block
from mofo.report.overlays import draw_box
from mofo.report.sheet import (
    GAP,
    INNER,
    beside,
    make_folder,
    page,
    picture_kind,
    save_png,
    stacked,
)
from mofo.training.saved_models import SavedClassifier, open_classifier
from mofo.types import SettingsError, TokenGrid, VideoError
from mofo.video.writer import VideoWriter

_FPS = 8.0  # slower than life, for looking
_LABEL, _MOMENTS = 132, 6  # pixels for the names of the rows; frames in a PNG
_DARK, _STRONG = 0.55, 0.75  # of the frame below the heat; of the heat where it is greatest
_NAMED = 8  # classes in a message
_TOP = 0.99  # single tokens would leave all others dark
_ASKS = {
    "cross_attention": "Attention: what the tokens inside the motion area look at; they can only "
    "look outside, so it is 0 inside. Mean over heads and over all tokens inside.",
    "attentive": "Attention: what the learned query looks at, mean over heads; it knows nothing "
    "of the motion area.",
    "mean": "Attention: this fusion has none: all tokens count the same.",
    "weighted_mean": "Attention: this fusion has none: weights inside and outside are fixed.",
}


@dataclass(frozen=True, eq=False)
class Looked:
    """What a classifier looked at in one clip.

    Attributes:
        frames_THWC, box_T4, valid_T: of the clip, see ``ClipSample``.
        inside_thw: bool, tokens inside the motion area.
        attention_thw: float32, shares of the fusion's attention; they sum to 1, or are all 0 where
            nothing is inside, so that nothing asks.
        relevance_thw: float32, 0 or more: how much each token of the encoder speaks for the class.
        head, name, probability: the class.
    """

    frames_THWC: np.ndarray
    box_T4: np.ndarray
    valid_T: np.ndarray
    inside_thw: np.ndarray
    attention_thw: np.ndarray
    relevance_thw: np.ndarray
    head: str
    name: str
    probability: float


def look(saved: SavedClassifier, batch: ClipBatch, wanted: str | None = None) -> Looked:
    """What a model looks at in the first clip of a batch.

    Relevance is each token of the encoder times the gradient of the class's logit with respect to
    it, summed over channels, what speaks against the class left out (Grad-CAM, arXiv 1610.02391,
    with weights for each place as in HiResCAM, arXiv 2011.08891).

    Args:
        saved: the model.
        batch: on the CPU.
        wanted: name of a class; None: the likeliest of the first head.

    Raises:
        SettingsError: there is no such class.
    """
    model, grid = saved.model, saved.settings.model.grid
    device = next(model.parameters()).device
    inside_BN = model.area(batch.box_BT4[:1], batch.valid_BT[:1])
    with torch.no_grad():
        tokens_BND = model.encoder(batch.frames_BTHWC[:1].to(device))
    tokens_BND = tokens_BND.detach().requires_grad_()
    with torch.enable_grad():
        fused_BD, weight_BhQN = model.fuse(tokens_BND, inside_BN.to(device), return_attention=True)
        logits = model.head(fused_BD)
        head, number = _class(saved, logits, wanted)
        [gradient_BND] = torch.autograd.grad(logits[head][0, number], tokens_BND)
    relevance_N = (gradient_BND * tokens_BND).sum(2).clamp(min=0)[0].detach()
    share_C = _probabilities(model, logits[head][0].detach())
    shape = (grid.t, grid.h, grid.w)
    return Looked(
        frames_THWC=batch.frames_BTHWC[0].numpy(),
        box_T4=batch.box_BT4[0].numpy(),
        valid_T=batch.valid_BT[0].numpy(),
        inside_thw=inside_BN[0].reshape(shape).numpy(),
        attention_thw=_mean_of_asking(weight_BhQN[0]).reshape(shape).cpu().numpy(),
        relevance_thw=relevance_N.reshape(shape).cpu().numpy(),
        head=head,
        name=saved.classes[head][number],
        probability=float(share_C[number]),
    )


def _probabilities(model: Classifier, logits_C: Tensor) -> Tensor:
    return logits_C.softmax(0) if model.settings.labels == "single" else logits_C.sigmoid()


def _class(
    saved: SavedClassifier, logits: dict[str, Tensor], wanted: str | None
) -> tuple[str, int]:
    if wanted is None:
        head = next(iter(logits))
        return head, int(logits[head][0].argmax())
    for head, names in saved.classes.items():
        if wanted in names:
            return head, names.index(wanted)
    every = [name for names in saved.classes.values() for name in names]
    near = difflib.get_close_matches(wanted, every, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(every[:_NAMED])}"
    more = f" and {len(every) - _NAMED} more, in checkpoint.json" if len(every) > _NAMED else ""
    raise SettingsError(f"class {wanted!r} is none of the model's: {hint}{'' if near else more}")


def _mean_of_asking(weight_hQN: Tensor) -> Tensor:
    """Mean over heads and over the tokens that ask; all 0 if none does."""
    weight_QN = weight_hQN.mean(0)
    asking_Q1 = (weight_QN.sum(1, keepdim=True) > 0).to(weight_QN.dtype)
    found: Tensor = (weight_QN * asking_Q1).sum(0) / asking_Q1.sum().clamp(min=1)
    return found


def show_attention(
    checkpoint: str | Path,
    video: str | Path,
    path: str | Path,
    *,
    areas: str = "detected",
    wanted: str | None = None,
) -> Looked:
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
    settings = ViewSettings(
        grid=saved.settings.model.grid,
        sampling=saved.sampling.sampling,
        stride=saved.sampling.stride,
        temporal=1,
        spatial=1,
        motion=choose_motion(areas, None, saved),
    )
    row = Video(str(Path(video).absolute()), Path(video).name)
    view = ViewDataset([row], settings)[0, 0]
    if view.clip is None:
        raise VideoError(video, view.reason)
    saved.model.to("cuda" if torch.cuda.is_available() else "cpu")
    found = look(saved, collate([view.clip]), wanted)
    fusion = saved.settings.fusion
    lines = [
        f"{found.head}: {found.name}, {100 * found.probability:.1f} % · fusion {fusion}"
        f" · motion area: {settings.motion}",
        f"{saved.checkpoint.path.absolute().parents[1].name}, step {saved.checkpoint.step:,}",
    ]
    write_attention(found, saved.settings.model.grid, path, Path(video).name, lines, fusion)
    return found


def write_attention(
    found: Looked,
    grid: TokenGrid,
    path: str | Path,
    title: str,
    lines: Sequence[str] = (),
    fusion: str = "cross_attention",
) -> None:
    """Draws the frames with their motion area, and below or beside them the two maps as heat.

    Args:
        found: attention and relevance of one clip.
        grid: its tokens.
        path: ``.png``: some moments; ``.mp4``: all frames.
        title, lines: text above.
        fusion: of the model; says what the attention is.

    Raises:
        SettingsError: another kind of file.
        MofoError: the file cannot be written.
    """
    kind = picture_kind(path)
    notes = [
        _ASKS[fusion],
        f"Relevance: which tokens of the encoder speak for {found.name!r} (gradient times "
        "activation). Each map has a scale of its own, the same over the clip: the brightest are "
        "the hundredth of the tokens with most.",
        "Orange: motion area, of the moment (frame) and of the clip in patches (maps).",
    ]
    if not found.inside_thw.any():
        notes[0] += " This clip has no motion area, so the model takes the mean of all tokens."
    make_folder(path)
    if kind == "png":
        body_HW3 = _moments(found, grid)
        save_png(page(body_HW3, title=title, lines=lines, notes=notes), path)
        return
    with VideoWriter(path, fps=_FPS, crf=16) as writer:
        token = _token_pixels(grid, (INNER - 2 * GAP) / 3)
        for t in range(grid.frames):
            tiles = [
                stacked([text_block(name, token * grid.w, size=15, bold=True, colour=INK), tile])
                for name, tile in zip(
                    _names(found), frame_tiles(found, grid, t, token), strict=True
                )
            ]
            told = [*lines, f"frame {t + 1} of {grid.frames}"]
            writer.write(page(beside(tiles), title=title, lines=told, notes=notes))


def _names(found: Looked) -> tuple[str, str, str]:
    return "frame, motion area", "attention", f"relevance of {found.name!r}"


def _moments(found: Looked, grid: TokenGrid) -> np.ndarray:
    count = min(_MOMENTS, grid.frames)
    moments = [(2 * k + 1) * grid.frames // (2 * count) for k in range(count)]
    token = _token_pixels(grid, (INNER - _LABEL - count * GAP) / count)
    size = (token * grid.w, token * grid.h)
    columns = [
        [
            text_block(f"frame {t + 1} of {grid.frames}", size[0], size=14, colour=QUIET),
            *frame_tiles(found, grid, t, token),
        ]
        for t in moments
    ]
    names = [text_block("", _LABEL, height=len(columns[0][0]))]
    names += [text_block(n, _LABEL, size=15, bold=True, height=size[1]) for n in _names(found)]
    rows = [beside([name, *row]) for name, *row in zip(names, *columns, strict=True)]
    return stacked(rows)


def _token_pixels(grid: TokenGrid, width: float) -> int:
    """Pixels of a token's side that let a frame fit the width."""
    return max(4, int(width) // grid.w)


def frame_tiles(found: Looked, grid: TokenGrid, t: int, token: int) -> list[np.ndarray]:
    """Frame, attention and relevance; ``token`` pixels a side of a token."""
    size = (grid.w * token, grid.h * token)
    smaller = size[0] < grid.width
    frame_HW3 = cv2.resize(
        found.frames_THWC[t], size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    )
    boxed_HW3 = frame_HW3.copy()
    if found.valid_T[t]:
        draw_box(boxed_HW3, found.box_T4[t] * (size[0] / grid.width), 3)
    slot = t // grid.tubelet
    tiles = [boxed_HW3]
    for map_thw in (found.attention_thw, found.relevance_thw):
        most = max(float(np.quantile(map_thw, _TOP)), float(map_thw.max()) / 20, 1e-12)
        heat_HW3 = _heat(frame_HW3, map_thw[slot] / most)
        rows, columns = np.nonzero(found.inside_thw[slot])
        if len(rows):
            box_4 = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            draw_box(heat_HW3, box_4 * token, 2)
        tiles.append(heat_HW3)
    return tiles


def _heat(frame_HW3: np.ndarray, value_hw: np.ndarray) -> np.ndarray:
    """The frame in grey and darkened, with values in 0..1 as colours over it."""
    size = (frame_HW3.shape[1], frame_HW3.shape[0])
    value_HW = cv2.resize(value_hw.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    value_HW1 = np.clip(value_HW, 0, 1)[..., None]
    colour_HW3 = cv2.applyColorMap((255 * value_HW1).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey_HW3 = _DARK * cv2.cvtColor(frame_HW3, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2)
    share_HW1 = _STRONG * np.sqrt(value_HW1)  # weak values are to be seen, too
    mixed_HW3 = (1 - share_HW1) * grey_HW3 + share_HW1 * colour_HW3[..., ::-1]
    return np.ascontiguousarray(mixed_HW3.round().astype(np.uint8))
