"""Tensors of files made by other programs; nothing in a file is ever run.

A ``.pth`` is a pickle, which can run any code when it is opened as it is. Here only tensors,
numbers, texts and containers come out of it, and what training programs leave beside the weights:
``argparse.Namespace`` with their options, NumPy's scalars, and paths, which come out as pure ones.
None of these has any behaviour.
"""

from __future__ import annotations

import argparse
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy._core.multiarray import scalar as np_scalar  # type: ignore[import-not-found]
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mofo.models.hf.folder import PROCESSORS
from mofo.system.files import first_line, read_json
from mofo.weights.loading import WeightsError

CONFIG = "config.json"
# DeepSpeed's folders, the default of the official scripts; optimisers lie beside it.
_DEEPSPEED = "mp_rank_00_model_states.pt"
_INSIDE = ("model", "module", "state_dict", "model_state_dict", "encoder")
_SHARDS = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_WHOLE = ("model.safetensors", "pytorch_model.bin")


# Their pickles ask for these by name; older and newer versions have other names for the same.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    *((np_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    np.dtype,
    *(type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?US"),
    *((PurePosixPath, f"pathlib.{part}PosixPath") for part in ("", "_local.")),
    *((PureWindowsPath, f"pathlib.{part}WindowsPath") for part in ("", "_local.")),
]


class Opened(NamedTuple):
    """Content of a file or folder.

    Attributes:
        tensors: float32 where they are floats, on the CPU.
        config: of a Hugging Face folder; None for a file.
        preprocessing: of a Hugging Face folder: how pixels are prepared; None: it does not say.
        args: options of the program that wrote a ``.pth``, as far as it kept them.
    """

    tensors: dict[str, Tensor]
    config: dict[str, Any] | None
    args: dict[str, Any]
    preprocessing: dict[str, Any] | None = None


def open_weights(path: str | Path) -> Opened:
    """Opens a ``.pth``, ``.bin``, ``.pt`` or ``.safetensors`` file, or a folder of weights.

    Folders are Hugging Face's, or a checkpoint of DeepSpeed.
    """
    path = Path(path)
    if (path / _DEEPSPEED).is_file():
        path = path / _DEEPSPEED
    if path.is_dir():
        return _open_folder(path)
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file or folder")
    content = read_tensors(path)
    args = content.get("args")
    options = vars(args) if isinstance(args, argparse.Namespace) else args
    tensors = _dig(content, path)
    return Opened(_settled(tensors), None, options if isinstance(options, dict) else {})


def is_weights_folder(path: Path) -> bool:
    """Whether ``open_weights`` takes this folder."""
    return (path / CONFIG).is_file() or (path / _DEEPSPEED).is_file()


def read_tensors(path: Path) -> dict[str, Any]:
    """The content of one file: tensors by name, perhaps with other data around them."""
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: cannot be read: {first_line(error)}") from None
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(_refused(path, str(error))) from None
    except Exception as error:  # torch has no error of its own for damaged files
        raise WeightsError(
            f"{path}: is no file of torch, or damaged: {first_line(error)}"
        ) from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds {type(content).__name__}, no tensors by name")
    return dict(content)


def _open_folder(path: Path) -> Opened:
    if not (path / CONFIG).is_file():
        raise WeightsError(
            f"{path}: has no {CONFIG}, so it is no folder of Hugging Face: name the file of weights"
        )
    config = read_json(path / CONFIG, WeightsError)
    if not isinstance(config, dict):
        raise WeightsError(f"{path / CONFIG}: holds no settings")
    tensors: dict[str, Any] = {}
    index = next((path / name for name in _SHARDS if (path / name).is_file()), None)
    if whole := next((path / name for name in _WHOLE if (path / name).is_file()), None):
        tensors = read_tensors(whole)
    elif index is not None:
        content = read_json(index, WeightsError)
        places = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(places, dict):
            raise WeightsError(f"{index}: names no files")
        for name in sorted(set(map(str, places.values()))):
            # Only files of this folder: an index is not to lead anywhere else.
            tensors |= read_tensors(path / Path(name).name)
    else:
        raise WeightsError(f"{path}: has neither {' nor '.join(_WHOLE)}")
    files = (path / name for name in PROCESSORS)
    preprocessing = next((read_json(file, WeightsError) for file in files if file.is_file()), None)
    return Opened(_settled(_dig(tensors, path)), config, {}, preprocessing)


def _dig(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The tensors, which lie in the file itself or under one of some usual names."""
    for name in _INSIDE:
        inner = content.get(name)
        if isinstance(inner, Mapping) and any(isinstance(t, Tensor) for t in inner.values()):
            content = inner
            break
    tensors = {str(name): t for name, t in content.items() if isinstance(t, Tensor)}
    if not tensors:
        names = ", ".join(map(str, list(content)[:3])) or "nothing"
        raise WeightsError(f"{path}: no tensors in it, but {names}")
    return tensors


def _settled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats as float32, each tensor with its own memory."""
    dense = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return {
        name: t if t.untyped_storage().nbytes() == t.nbytes else t.clone()
        for name, t in dense.items()
    }


def _refused(path: Path, said: str) -> str:
    if "Unsupported global" in said or "GLOBAL" in said or "Unsupported class" in said:
        what = said.partition("GLOBAL ")[2].split()[:1]
        name = what[0] if what else "code"
        return (
            f"{path}: refused, because it holds more than data ({name}), which could run anything: "
            'if you trust it, write its tensors alone with python -c "import torch; torch.save('
            "{'model': torch.load('IN', weights_only=False)['model']}, 'OUT')\""
        )
    # What torch says before that is advice to run whatever is in the file.
    reason = said.rpartition("WeightsUnpickler error:")[2].strip() or "nothing in it can be read"
    first = reason.splitlines()[0].strip()[:160]
    return f"{path}: is no file of torch with tensors alone, or damaged: {first}"
