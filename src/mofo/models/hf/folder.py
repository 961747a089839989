"""A folder or hub name of Hugging Face to settings and weights of an encoder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from mofo.models.encoder import make_encoder
from mofo.models.hf.family import FAMILIES, HuggingFaceEncoder, config_of
from mofo.models.model_settings import ModelSettings
from mofo.types import SettingsError, TokenGrid

PREFIX = "hf:"
PROCESSORS = (
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "processor_config.json",
)
CONFIG = "config.json"


class OpenedEncoder(NamedTuple):
    """An encoder of Hugging Face. ``weights``: by our names ("encoder. ...")."""

    settings: ModelSettings
    weights: dict[str, Tensor]
    note: str


def open_hf_encoder(name: str) -> OpenedEncoder:
    """The encoder ``hf:FOLDER`` or ``hf:NAME`` on the hub, for clips of its own size."""
    place = name.removeprefix(PREFIX)
    with _quiet():
        config = _read_config(place)
        content = json.loads(config.to_json_string(use_diff=False))
        try:
            family = FAMILIES[content["model_type"]](content)
            frames, size, tubelet, patch = family.shape()
            settings = ModelSettings(
                encoder="hf",
                grid=TokenGrid(frames, size, size, tubelet, patch),
                width=family.width(),
                depth=family.depth(),
                heads=1,
                encoder_config=_preprocessing(place) | {"config": content},
            )
            encoder = make_encoder(settings)
        except SettingsError as error:
            raise SettingsError(f"{name}: {error}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise SettingsError(f"{name}: config.json cannot be understood: {error!r}") from None
        assert isinstance(encoder, HuggingFaceEncoder)
        _load(encoder, name, place)
    weights = {f"encoder.{key}": tensor for key, tensor in encoder.state_dict().items()}
    note = f"{name}: {content['model_type']}; licence of the published weights: {family.licence}"
    return OpenedEncoder(settings, weights, note)


def _read_config(place: str) -> Any:
    """transformers' configuration of what sees; that of text beside it is left out."""
    config_of({"model_type": "videomae"})  # says it if transformers are not installed
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise SettingsError(f"{PREFIX}{place}: {_reason(place, error)}") from None
    return getattr(config, "vision_config", None) or config


def _reason(place: str, error: Exception) -> str:
    path = Path(place)
    if path.is_dir():
        what = "holds no config.json" if not (path / CONFIG).is_file() else _line(error)
        return f"no folder of Hugging Face: {what}"
    if path.exists() or place.startswith(("/", ".", "~")) or place.count("/") != 1:
        return "there is no such folder; names on the hub are OWNER/NAME"
    return "there is no such folder, and the hub cannot be reached or has no such name"


def _preprocessing(place: str) -> dict[str, Any]:
    """How its files say that pixels are prepared."""
    content = None
    for file in PROCESSORS:
        content = content or _read_json(place, file)
    return preprocessing_of(content)


def preprocessing_of(content: Mapping[str, Any] | None) -> dict[str, Any]:
    """Mean, deviation and scale of pixels: pixel (0 to 255) * scale + shift, then normalised.

    ``content``: of one of ``PROCESSORS``; None: there was none.
    """
    if content is None:
        raise SettingsError(
            f"has none of {', '.join(PROCESSORS)}: mean and deviation of its pixels are not known"
        )
    for nested in ("video_processor", "image_processor"):
        content = content.get(nested) or content
    scale = (
        float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 1.0
    )
    normalised = content.get("do_normalize", True)
    return {
        "mean": list(content["image_mean"]) if normalised else [0.0] * 3,
        "std": list(content["image_std"]) if normalised else [1.0] * 3,
        "scale": scale,
        "shift": -1.0 if content.get("offset") else 0.0,
    }


def _read_json(place: str, file: str) -> dict[str, Any] | None:
    path: str | None = str(Path(place) / file)
    if not Path(place).is_dir():
        from transformers.utils import cached_file

        try:
            path = cached_file(place, file, _raise_exceptions_for_missing_entries=False)
        except (OSError, ValueError):
            return None
    if path is None or not Path(path).is_file():
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: cannot be read: {_line(error)}") from None
    return content if isinstance(content, dict) else None


def _load(encoder: HuggingFaceEncoder, name: str, place: str) -> None:
    """The weights, by transformers' own way of reading them."""
    import transformers

    family = encoder.family
    kind = getattr(transformers, family.model)
    try:
        whole, info = kind.from_pretrained(
            place,
            config=encoder.model.config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            weights_only=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise SettingsError(f"{name}: its weights cannot be read: {_line(error)}") from None
    part = family.part(whole)
    prefix = next((f"{n}." for n, module in whole.named_modules() if n and module is part), "")
    needed = set(encoder.model.state_dict())
    for title, keys in (
        ("lack", info["missing_keys"]),
        ("have other shapes", [key[0] for key in info["mismatched_keys"]]),
    ):
        names = sorted(needed & {key.removeprefix(prefix) for key in keys})
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise SettingsError(f"{name}: its weights {title}: {names[0]}{more}")
    encoder.model.load_state_dict({k: t for k, t in part.state_dict().items() if k in needed})


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers report on what they load; here that is an error or nothing."""
    try:
        from transformers.utils import logging
    except ImportError:
        yield
        return
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
