"""``mofo show``: pictures and videos of what the system sees."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mofo.commands.verb import verb


@verb("show motion", calls="mofo.motion.presets:DetectSettings")
def motion(
    call: Callable[..., Any],
    video: Path,
    *,
    out: Path | None = None,
    frames: list[int] | None = None,
) -> int:
    """Draw frame, optical flow, motion map and motion area of a video.

    A picture (PNG) has a row for each of some moments; a video (mp4) has all frames.

    Args:
        video: video file.
        out: .png or .mp4 (default: the video's name + .motion.png, here).
        frames: frame numbers (PNG; default: 4).
        flow: optical flow: {motion.FLOWS} (default: that of the preset).
        preset: how movers are found: {motion.PRESETS}.

    example:
      mofo show motion clip.mp4 --out stages.mp4
    """
    from mofo.report.figures.layout import picture_kind
    from mofo.report.figures.stages import write_stages
    from mofo.types import SettingsError

    out = _target(out, video, "motion")
    kind = picture_kind(out)
    if frames and kind == "mp4":
        raise SettingsError(f"--frames: {out} will show all frames; choose some for a .png")
    if frames and min(frames) < 0:
        raise SettingsError(f"--frames {min(frames)}: frames are counted from 0")
    settings = call()
    area = write_stages(video, settings, out, frames=frames)
    if frames and min(frames) >= len(area):
        raise SettingsError(f"{video} has {len(area)} frames: --frames must be under that")
    for warning in area.warnings:
        print(f"warning: {video}: {warning}")
    print(f"{100 * area.valid_T.mean():.0f} % of {len(area)} frames show motion")
    return _done(out, f"mofo detect {shlex.quote(str(video))} --out areas --overlay")


@verb(
    "show mask",
    calls="mofo.report.figures.masks:show_masks",
    settings={"mask": "mofo.masking.mask_settings:MaskSettings"},
    skip=("path", "strategies"),
)
def mask(
    call: Callable[..., Any], video: Path, *, out: Path | None = None, all_: bool = False
) -> int:
    """Draw which parts of a clip a mask hides, and its motion: box or field.

    The clip is the middle of the video. A picture (PNG) has some moments; a video (mp4) all frames.

    Args:
        video: video file.
        out: .png or .mp4 (default: the video's name + .mask.png, here).
        strategy: which mask: {masking.MASKS}.
        all_: all strategies side by side.
        ratio: share of all tokens that is hidden.
        inside_ratio: strategy motion: share of the area that is hidden.
        visible_inside_ratio: strategy visible_share: share of what is visible, from the area.
        block: strategy block: its side in patches.
        temperature: strategy weighted: how surely what moves is hidden; below 0: shown.
        per_slot: each time slot goes by its own motion (default: tubes, where published so).
        join: how tubes join motion over time: max or mean.
        motion_threshold: field: motion from which on a token is inside.
        shape: motion as box or field.
        areas: dis, codec, none, or a store.
        seed: another number, another mask.
        frames: frames of the clip.
        stride: every how many frames one.
        size: height and width, pixels.

    examples:
      mofo show mask clip.mp4 --all --out masks.png
      mofo show mask clip.mp4 --shape field --per-slot
    """
    from mofo.masking import MASKS

    out = _target(out, video, "mask")
    figure = call(video=video, path=out, strategies=tuple(MASKS) if all_ else None)
    for note in figure.notes:
        print(f"note: {note}")
    width = max(len(mask.settings.strategy) for mask in figure.masks)
    for mask in figure.masks:
        print(f"{mask.settings.strategy:{width}}  {', '.join(mask.text)}")
    return _done(out, "mofo pretrain --config RECIPE --mask.strategy NAME")


@verb(
    "show reconstruction",
    calls="mofo.report.figures.reconstruction:reconstruct_checkpoint",
    skip=("path", "sources"),
)
def reconstruction(
    call: Callable[..., Any],
    checkpoint: Path,
    videos: list[str],
    *,
    out: Path | None = None,
    leak: bool = False,
) -> int:
    """Draw what a pre-trained model makes of the hidden parts of clips.

    Frame with its motion area, what the encoder sees, and the reconstruction. Nothing is taken from
    what is hidden. The usual picture of such models is there, too (--leak): it adds back the true
    mean and variance of each hidden patch, and so looks good whatever was learned.

    Each clip is the middle of its video. A picture (PNG) has some moments; a video (mp4) all
    frames.

    Args:
        checkpoint: its folder, or that of a run: then the newest.
        videos: video files, folders, patterns, CSV lists.
        out: .png or .mp4 (default: the first video's name + .reconstruction.png, here).
        leak: add the usual picture, which leaks the answer.
        seed: another number, other masks.

    example:
      mofo show reconstruction runs/tiny clip.mp4 --out reconstruction.png
    """
    from mofo.report.figures.reconstruction import flat

    out = _target(out, videos[0], "reconstruction")
    figure = call(checkpoint=checkpoint, sources=videos, path=out, leak=leak)
    for note in figure.notes:
        print(f"note: {note}")
    made = figure.made
    width = max(map(len, made.names))
    for name, error, flat_error in zip(made.names, made.error_B, made.flat_error_B, strict=True):
        print(f"{name:{width}}  error {error:.3f}; {flat_error:.3f} with {flat(made.normalised)}")
    shows = not leak and made.normalised
    return _done(out, "the same with --leak shows how much the usual picture flatters" * shows)


@verb(
    "show attention",
    calls="mofo.report.figures.attention:show_attention",
    skip=("path", "wanted", "checkpoint"),
)
def attention(
    call: Callable[..., Any],
    video: Path,
    *,
    encoder: Path,
    out: Path | None = None,
    class_: str | None = None,
) -> int:
    """Draw what a fine-tuned model attends to, beside the motion area.

    Attention is what the tokens inside the motion area attend to outside; relevance (in the manner
    of Grad-CAM) is which tokens speak for the predicted class. The clip is the middle of the video.

    Args:
        encoder: fine-tuned model: a checkpoint, or a run: then its best one.
        video: video file.
        out: .png or .mp4 (default: the video's name + .attention.png, here).
        areas: motion area: codec, dis, none, centre, or a store (default: as in training).
        class_: relevance of this class (default: the likeliest).

    example:
      mofo show attention --encoder runs/fine clip.mp4 --out attention.png
    """
    out = _target(out, video, "attention")
    figure = call(checkpoint=encoder, video=video, path=out, wanted=class_)
    print(f"{figure.head}: {figure.name}, {100 * figure.probability:.1f} %")
    print(f"{100 * figure.inside_thw.mean():.0f} % of the tokens are inside the motion area")
    return _done(
        out, f"mofo predict --encoder {shlex.join([str(encoder), str(video)])} --annotate seen"
    )


def _target(out: Path | None, video: str | Path, noun: str) -> Path:
    return Path(out or f"{Path(video).stem}.{noun}.png")


def _done(out: Path, suggestion: str) -> int:
    print(f"{'video' if out.suffix.lower() == '.mp4' else 'picture'}: {out}")
    if suggestion:
        print(f"next: {suggestion}")
    return 0
