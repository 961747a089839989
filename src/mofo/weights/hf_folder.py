"""A folder that Hugging Face's transformers open as it is (version 5 and later)."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mofo.masking import Mask
from mofo.models.classifier import Classifier
from mofo.models.vit import MEAN, STD
from mofo.types import TokenGrid
from mofo.weights.hf_classifier import classifier_to_hf
from mofo.weights.hf_names import config_to_hf, to_hf
from mofo.weights.import_report import WeightsError
from mofo.weights.model_card import model_card
from mofo.weights.quiet import quiet

if TYPE_CHECKING:
    from mofo.weights.exporting import Exportable

CLOSE = 1e-4  # of logits and of normalised pixels: their norms' epsilons may differ from ours
_CLIPS = 2


def write_hf_folder(
    exportable: Exportable, out: Path, licence: str, metrics: Mapping[str, Any]
) -> tuple[float | None, tuple[str, ...]]:
    """Writes configuration, weights, preprocessing and model card; gives difference and notes.

    Where transformers are installed the folder is opened by them and its outputs are compared with
    ours before it gets its name.

    Raises:
        SettingsError: no counterpart there: several heads, another fusion than the mean.
        WeightsError: something is there already, it cannot be written, or came out wrong.
    """
    model = exportable.model
    config, state = _translated(exportable)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise WeightsError(f"{out}: is there already: name another, or delete it first")
    half = out.absolute().parent / f".{out.absolute().name}.part"
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir()
        save_file(state, half / "model.safetensors", metadata={"format": "pt"})
        _write_json(half / "config.json", config)
        _write_json(half / "preprocessor_config.json", _preprocessor(_grid(model)))
        card = model_card(exportable, licence, metrics)
        (half / "README.md").write_text(card, encoding="utf-8")
        difference, notes = _compare(exportable, half)
        if out.is_dir():
            out.rmdir()
        half.rename(out)
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise WeightsError(f"{out}: cannot be written: {reason}") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return difference, notes


def _translated(exportable: Exportable) -> tuple[dict[str, Any], dict[str, Tensor]]:
    model = exportable.model
    if isinstance(model, Classifier):
        options, state = classifier_to_hf(model.state_dict(), model.settings)
        ((_, names),) = exportable.classes.items()
        options |= {
            "architectures": ["VideoMAEForVideoClassification"],
            "id2label": {str(number): name for number, name in enumerate(names)},
            "label2id": {name: number for number, name in enumerate(names)},
        }
    else:
        options = config_to_hf(model.settings)
        options["architectures"] = ["VideoMAEForPreTraining"]
        state = to_hf(model.state_dict(), model.settings)
    options |= {"model_type": "videomae", "dtype": "float32", "qv_bias": True}
    return options, {name: tensor.detach().contiguous() for name, tensor in state.items()}


def _preprocessor(grid: TokenGrid) -> dict[str, Any]:
    """Short side to the clip's, the centre cut out, ImageNet's mean and deviation taken out."""
    return {
        "image_processor_type": "VideoMAEImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": max(grid.height, grid.width)},
        "resample": 2,
        "do_center_crop": True,
        "crop_size": {"height": grid.height, "width": grid.width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


def _compare(exportable: Exportable, folder: Path) -> tuple[float | None, tuple[str, ...]]:
    """Their outputs against ours on the same clips."""
    try:
        # Not in quiet(): its logger would keep the silent stream.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers
    except ImportError:
        return None, (
            "transformers are not installed (mofo[hf]): nobody has opened the folder yet",
        )
    model, grid = exportable.model, _grid(exportable.model)
    generator = torch.Generator().manual_seed(0)
    shape = (_CLIPS, grid.frames, grid.height, grid.width, 3)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    pixels = ((frames / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 1, 4, 2, 3)
    classifier = isinstance(model, Classifier)
    kind = "VideoMAEForVideoClassification" if classifier else "VideoMAEForPreTraining"
    with quiet():
        theirs, info = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    left = [name for key in ("missing_keys", "unexpected_keys") for name in sorted(info[key])]
    if left or info.get("mismatched_keys"):
        raise WeightsError(
            f"transformers {transformers.__version__} do not take {len(left)} tensors as they are "
            f"({', '.join(left[:3])}): please report it with this version"
        )
    with torch.no_grad():
        if isinstance(model, Classifier):
            ((_, ours),) = model(frames).items()
            wanted = theirs.eval()(pixels).logits
        else:
            hidden_N = torch.arange(grid.tokens) >= max(1, grid.tokens // 10)
            mask = Mask.of(hidden_N.expand(_CLIPS, -1))
            ours = model(frames, mask).prediction_BMp
            wanted = theirs.eval()(pixels, mask.hidden_BN).logits
    difference = float((ours - wanted).abs().max())
    if not difference <= CLOSE * max(1.0, float(ours.abs().max())):
        raise WeightsError(
            f"outputs of transformers {transformers.__version__} differ by {difference:.2g}: "
            "nothing was written; please report it with this version"
        )
    return difference, (f"opened by transformers {transformers.__version__}",)


def _grid(model: Any) -> TokenGrid:
    settings = model.settings
    return settings.model.grid if isinstance(model, Classifier) else settings.grid


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    path.write_text(text, encoding="utf-8")
