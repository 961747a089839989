"""Scores: how things and the camera move in a video, a shot or a window, and what else is seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from mofo.curation.looks import DARK, LookNumbers, LookRecorder
from mofo.datasets.video import Video
from mofo.motion.analyse import Progress, analyse
from mofo.motion.presets import DetectSettings
from mofo.types import MotionArea, SettingsError, VideoError

PARTS = ("video", "shot", "window")
# Fitted to generated clips, see benchmarks/curation.py: log-odds that something moves by itself,
# from the logarithms of pace and rest.
_PACE, _REST, _BIAS, _LEAST = 2.44, -0.87, 0.69, 0.02
_SPAN = 2.0  # seconds that are judged at once
_STATIC = 0.02  # short sides a second; slower cameras stand
_SHAKY = 0.5  # change from look to look, as a share of the motion, from which on it is hand-held
_FROZEN = 0.5  # seconds; a picture that stands for less is a slow frame rate
_BAR = 0.02  # share of a side from which on black rows are a bar


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Choices that change a score.

    Attributes:
        flow: backend of the optical flow.
        window: seconds of a window; 0: no windows.
        short_side: frames are scaled down (never up) to this short side, pixels.

    Raises:
        SettingsError: unknown flow, a number out of range.
    """

    flow: str = "codec"
    window: float = 2.0
    short_side: int = 240

    def __post_init__(self) -> None:
        self.detection()
        if not self.window >= 0:
            raise SettingsError(f"window is {self.window}: seconds, or 0 for no windows")

    def detection(self) -> DetectSettings:
        """Settings of the detection whose looks are counted."""
        return DetectSettings(flow=self.flow, short_side=self.short_side)


@dataclass(frozen=True)
class Score:
    """Score of a video, a shot or a window.

    Lengths are in short sides of the frame: .5 a second is half of it in each second. Quantiles are
    over the frames; those of speeds over the frames that move.

    Attributes:
        per: "video", "shot" or "window".
        start, end: seconds since the first frame of the file.
        frames: in it.
        moving: share of the time in which something moves by itself, 0 to 1: the mean over two
            seconds each of the probability that it does.
        moving_frames: share of the frames in which movers were found.
        area_10, area_50, area_90: share of the frame that moves by itself.
        speed_10, speed_50, speed_90: of what moves, against the camera, short sides a second.
        camera: strength of the camera's motion, short sides a second.
        camera_kind: "static", "pan", "zoom", "roll" or "handheld".
        cuts: in it.
        black, frozen: share of the time that is black, in which the picture stands.
        letterbox: share of the frame that black bars take.
        brightness: mean, 0 (black) to 1.
    """

    per: str
    start: float
    end: float
    frames: int
    moving: float
    moving_frames: float
    area_10: float
    area_50: float
    area_90: float
    speed_10: float
    speed_50: float
    speed_90: float
    camera: float
    camera_kind: str
    cuts: int
    black: float
    frozen: float
    letterbox: float
    brightness: float

    def to_dict(self) -> dict[str, Any]:
        """Numbers and texts by name, as in a row of the table of ``mofo score``."""
        return {field.name: getattr(self, field.name) for field in fields(Score)}


@dataclass(frozen=True)
class VideoScore(Score):
    """Score of a video with those of its parts.

    Attributes:
        width, height: of the upright frame, pixels.
        flow: backend that was used: files without vectors fall back from ``codec``.
        shots, windows: scores of the parts, in order.
        warnings: what was found wrong with the file.
    """

    width: int
    height: int
    flow: str
    shots: tuple[Score, ...]
    windows: tuple[Score, ...]
    warnings: tuple[str, ...]


def score_rows(
    videos: tuple[Video, ...],
    source: Any,
    settings: ScoreSettings,
    progress: Progress | None = None,
) -> list[VideoScore]:
    """Scores segments of one file, which is read once.

    Args:
        videos: the segments.
        source: the file, or what ``analyse`` takes in its place.
        settings: flow and windows.
        progress: see ``analyse``.

    Raises:
        VideoError: the file cannot be used, or has no frame in a segment.
    """
    recorder = LookRecorder()
    area = analyse(source, settings.detection(), watch=recorder, progress=progress)
    scorer = _Scorer(area, recorder.numbers(), settings.window)
    return [scorer.video(video) for video in videos]


class _Scorer:
    """Scores segments of a video that was analysed."""

    def __init__(self, area: MotionArea, looks: LookNumbers, window: float) -> None:
        self._area, self._looks, self._window = area, looks, window
        self._time_T = area.time_T - area.time_T[0]
        rate = (len(area) - 1) / self._time_T[-1] if self._time_T[-1] > 0 else 25.0
        self._rate = float(rate)
        self._edges = [0, *area.cuts, len(area)]  # frames at which shots begin and end

    def video(self, video: Video) -> VideoScore:
        first, stop = (
            default if seconds is None else int(np.searchsorted(self._time_T, seconds - 1e-6))
            for seconds, default in ((video.start, 0), (video.end, len(self._area)))
        )
        if first >= stop:
            raise VideoError(video.path, f"no frame from {video.start} s to {video.end} s")
        edges = [first, *(cut for cut in self._area.cuts if first < cut < stop), stop]
        shots = [self._score("shot", *pair) for pair in itertools.pairwise(edges)]
        windows = [self._score("window", *pair) for pair in self._windows(first, stop)]
        area = self._area
        return VideoScore(
            **asdict(self._score("video", first, stop)),
            width=area.width,
            height=area.height,
            flow=area.flow,
            shots=tuple(shots),
            windows=tuple(windows),
            warnings=area.warnings,
        )

    def _windows(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        """Windows of equal length that fill the segment; the last one may be up to half longer."""
        length = max(1, round(self._window * self._rate))
        if self._window:
            starts = range(first, max(first + 1, stop - length // 2), length)
            yield from itertools.pairwise([*starts, stop])

    def _score(self, per: str, first: int, stop: int) -> Score:
        looks, position_N = self._looks, self._looks.position_N
        n = np.flatnonzero((position_N >= first) & (position_N < stop))
        if not len(n):  # between two looks
            n = np.array([np.abs(position_N - (first + stop) / 2).argmin()])
        last = self._time_T[stop] if stop < len(self._area) else self._time_T[-1] + 1 / self._rate
        moves_N = np.isfinite(looks.speed_N[n])
        speeds = looks.speed_N[n][moves_N] * self._rate if moves_N.any() else np.zeros(1)
        strength, kind = self._camera(n)
        row_H, column_W = (
            np.percentile(bright_NS[n], 98, axis=0) for bright_NS in (looks.row_NH, looks.column_NW)
        )
        black_N = looks.row_NH[n].max(1) <= DARK
        quantiles = {
            f"{name}_{percent}": float(np.percentile(values, percent))
            for name, values in (("area", looks.area_N[n]), ("speed", speeds))
            for percent in (10, 50, 90)
        }
        return Score(
            per=per,
            start=round(float(self._time_T[first]), 6),
            end=round(float(last), 6),
            frames=stop - first,
            moving=self._moving(n),
            moving_frames=float(moves_N.mean()),
            **quantiles,
            camera=strength,
            camera_kind=kind,
            cuts=sum(first < cut < stop for cut in self._area.cuts),
            black=float(black_N.mean()),
            frozen=self._frozen(n),
            letterbox=0.0 if black_N.all() else 1 - _inner(row_H) * _inner(column_W),
            brightness=float(looks.light_N[n].mean()),
        )

    def _moving(self, n: np.ndarray) -> float:
        """Mean probability over spans of about two seconds, each within a shot."""
        looks, total = self._looks, 0.0
        shot_N = np.searchsorted(self._edges, looks.position_N[n], side="right")
        for shot in np.unique(shot_N):
            own = n[shot_N == shot]
            frames = looks.position_N[own[-1]] - looks.position_N[own[0]]
            for part in np.array_split(own, max(1, round(frames / self._rate / _SPAN))):
                pace, rest = np.median(looks.pace_N[part]), np.median(looks.rest_N[part])
                odds = _PACE * np.log(pace + _LEAST) + _REST * np.log(rest + _LEAST) + _BIAS
                total += len(part) / (1 + np.exp(-odds))
        return float(total / len(n))

    def _camera(self, n: np.ndarray) -> tuple[float, str]:
        """Strength and kind of the camera's motion."""
        looks = self._looks
        inner = n[~np.isin(looks.position_N[n], self._edges)]  # nothing leads to a shot's first
        if not len(inner):
            return 0.0, "static"
        seconds_N = (
            self._time_T[looks.position_N[inner]] - self._time_T[looks.position_N[inner - 1]]
        )
        speed_N4 = looks.camera_N4[inner] / np.maximum(seconds_N, 1e-3)[:, None]
        length_N = np.linalg.norm(speed_N4, axis=1)
        strength = float(length_N.mean())
        if strength < _STATIC:
            return strength, "static"
        change_N = np.linalg.norm(np.diff(speed_N4, axis=0), axis=1)
        if len(change_N) and np.median(change_N) > _SHAKY * np.median(length_N):
            return strength, "handheld"
        right, down, closer, turn = np.abs(speed_N4).mean(0)
        shares = {"pan": float(np.hypot(right, down)), "zoom": closer, "roll": turn}
        return strength, max(shares, key=shares.__getitem__)

    def _frozen(self, n: np.ndarray) -> float:
        """Share of the time in pictures that stand for a while."""
        frozen = 0
        for still, run in itertools.groupby(n, key=self._looks.still_N.__getitem__):
            at = self._looks.position_N[list(run)]
            if still and (at[-1] - at[0]) / self._rate >= _FROZEN:
                frozen += len(at)
        return frozen / len(n)


def _inner(bright_S: np.ndarray) -> float:
    """Share of the rows between black bars."""
    bright = np.flatnonzero(bright_S > DARK)
    bars = [bright[0], len(bright_S) - 1 - bright[-1]]
    return 1 - sum(bar for bar in bars if bar >= _BAR * len(bright_S)) / len(bright_S)
