"""What features are made of, and how the work is done."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mofo.clips.dataset import SAMPLINGS
from mofo.clips.sources import MotionChoice
from mofo.evaluation.pools import POOLS
from mofo.masking.kept_tokens import TokenSettings
from mofo.models.encoder import check_keeps
from mofo.registry import choice
from mofo.training.frozen import FrozenEncoder
from mofo.types import SettingsError


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """What features are made of.

    Attributes:
        layer: of the encoder: 0 (patches) to its depth, or from the end: -1; None: the last.
        pool: "mean" over all tokens, over those "inside" the motion area, "both" of inside and
            outside one after the other (where there are none: all), or the "tokens" themselves.
        clips: of each video; their features are averaged.
        sampling, stride: how clips are cut from a video, see ``ViewSettings``; None: as in the
            encoder's training.
        seconds: length of a clip in time, in place of sampling and stride; 0: these count.
        fit: how a frame becomes a clip's shape: crop, pad or squeeze (the whole frame).
        areas: where motion areas come from: "codec", "dis", a store's folder, or "none". None:
            "codec" where they are needed. Not looked at where they are not.
        motion_crop: take the part of the frame around what moves, not its middle.
        keep: share of the tokens that the encoder computes; None: as in its training.
        keep_by: which, one of ``TOKEN_CHOICES``; None: as in its training.
        merge: static: of tokens that stand still only the first is kept; None: as in its training.

    Raises:
        SettingsError: an unknown name, or choices that do not go together.
    """

    layer: int | None = None
    pool: str = "mean"
    clips: int = 1
    sampling: str | None = None
    stride: int | None = None
    seconds: float | None = None
    fit: str | None = None
    areas: str | None = None
    motion_crop: bool = False
    keep: float | None = None
    keep_by: str | None = None
    merge: str | None = None

    def __post_init__(self) -> None:
        pool = POOLS[self.pool]
        if self.sampling is not None:
            choice("sampling", self.sampling, SAMPLINGS)
        problems = []
        if self.clips < 1 or (self.stride is not None and self.stride < 1):
            problems.append(f"clips {self.clips}, stride {self.stride}: must be 1 or more")
        if self.clips > 1 and (pool.per_token or not pool.needs_encoder):
            problems.append(f"{self.pool} of {self.clips} clips have no average: use one clip")
        for name, needed in (
            (f"pool {self.pool}", pool.needs_motion),
            ("motion_crop", self.motion_crop),
        ):
            if self.areas == "none" and needed:
                problems.append(f"{name} needs motion areas: codec, dis or a store")
        try:
            TokenSettings().changed(keep=self.keep, by=self.keep_by, merge=self.merge)
        except SettingsError as error:
            problems.append(str(error))
        if problems:
            raise SettingsError("features: " + "; ".join(problems))

    def resolved(self, encoder: FrozenEncoder | None) -> FeatureSettings:
        """With what depends on the encoder filled in.

        Raises:
            SettingsError: the encoder cannot leave tokens out.
        """
        pool, tokens = POOLS[self.pool], self.tokens(encoder)
        if encoder is not None:
            check_keeps(encoder.settings, tokens)
        needs_motion = pool.needs_motion or tokens.uses_motion or self.motion_crop
        areas = self.areas or ("codec" if needs_motion else "none")
        own = encoder.sampling if encoder is not None else None
        return replace(
            self,
            layer=encoder.layer(self.layer) if encoder is not None else None,
            sampling=self.sampling or (own.sampling if own else "dense"),
            stride=self.stride or (own.stride if own else 4),
            seconds=self._seconds(own.seconds if own else 0.0),
            fit=self.fit or (own.fit if own else "crop"),
            # Tokens are kept with what is inside, for those that use them.
            areas=areas if needs_motion or pool.per_token else "none",
            keep=tokens.keep,
            keep_by=tokens.by,
            merge=tokens.merge,
        )

    def tokens(self, encoder: FrozenEncoder | None) -> TokenSettings:
        """Which tokens an encoder computes."""
        own = encoder.tokens if encoder is not None else TokenSettings()
        return own.changed(keep=self.keep, by=self.keep_by, merge=self.merge, least=0.0)

    def _seconds(self, own: float) -> float:
        """As chosen; where sampling or stride are chosen instead, these count."""
        if self.seconds is not None:
            return self.seconds
        return 0.0 if self.sampling or self.stride else own

    @property
    def motion(self) -> MotionChoice:
        """Where motion comes from.

        Raises:
            SettingsError, StoreError: there is nothing of that name.
        """
        return MotionChoice.parse(self.areas or "none")


@dataclass(frozen=True, kw_only=True)
class Work:
    """How the work is done; none of it changes features, but for the rounding of ``precision``.

    ``workers``: processes that read videos; at most one a processor.
    ``precision``: "fp32", "bf16", or "auto": bf16 on a GPU.
    """

    batch: int = 16
    workers: int = 4
    precision: str = "auto"
    progress: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.workers < 0:
            raise SettingsError(f"batch {self.batch}, workers {self.workers}: too few")
