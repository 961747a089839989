"""A folder that Hugging Face's transformers open as it is (version 5 and later)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mofo.masking import Mask
from mofo.models.classifier import Classifier, ClassifierSettings
from mofo.models.vit import MEAN, STD
from mofo.system.files import first_line, replaced, replaced_folder, write_json
from mofo.types import SettingsError, TokenGrid
from mofo.weights.exporting import CLOSE, EXPORTS, Export, Exportable, silence
from mofo.weights.hf_videomae import config_to_hf, to_hf
from mofo.weights.loading import WeightsError
from mofo.weights.model_card import model_card
from mofo.weights.rules import check_vit, give_back, make_rules
from mofo.weights.videomae import RENAMING

_CLIPS = 2


@EXPORTS.register("hf")
class HuggingFaceFolder(Export):
    """Configuration, weights, preprocessing and model card.

    Where transformers are installed the folder is opened by them and its outputs are compared with
    ours before it gets its name.
    """

    description = "a folder that Hugging Face's transformers open as it is"
    next = "read {path}/README.md, which shows how to open it"

    def write(self, exportable: Exportable, out: Path) -> tuple[float | None, tuple[str, ...]]:
        """See ``Export``."""
        config, state = _translated(exportable)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise WeightsError(f"{out}: is there already: name another, or delete it first")
        with replaced_folder(out) as half:
            save_file(state, half / "model.safetensors", metadata={"format": "pt"})
            write_json(half / "config.json", config)
            write_json(half / "preprocessor_config.json", _preprocessor(exportable.sizes.grid))
            (half / "README.md").write_text(model_card(exportable), encoding="utf-8")
            return _compare(exportable, half)


@EXPORTS.register("pth")
class VideoMAEFile(Export):
    """A file with VideoMAE's own names."""

    description = "a .pth file with the names of VideoMAE's programs"
    next = 'torch.load("{path}", weights_only=True)["model"]'

    def write(self, exportable: Exportable, out: Path) -> tuple[float | None, tuple[str, ...]]:
        """See ``Export``."""
        settings = exportable.model.settings
        check_vit(settings)
        if isinstance(settings, ClassifierSettings) and (
            settings.fusion != "mean" or len(settings.classes) != 1
        ):
            raise SettingsError("VideoMAE's classifiers have one head, and the fusion 'mean'")
        state = give_back(exportable.model.state_dict(), make_rules(RENAMING, settings))
        if isinstance(settings, ClassifierSettings):
            state = {name.removeprefix("encoder."): t for name, t in state.items()}
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        try:
            with replaced(out, flush=True) as temporary:
                torch.save({"model": state}, temporary)
        except RuntimeError as error:  # torch's own for a full disk
            raise WeightsError(f"{out}: cannot be written: {first_line(error)}") from None
        return None, ()


def _translated(exportable: Exportable) -> tuple[dict[str, Any], dict[str, Tensor]]:
    settings = exportable.model.settings
    options, state = config_to_hf(settings), to_hf(exportable.model.state_dict(), settings)
    if isinstance(settings, ClassifierSettings):
        ((_, names),) = exportable.classes.items()
        options |= {
            "architectures": ["VideoMAEForVideoClassification"],
            "id2label": {str(number): name for number, name in enumerate(names)},
            "label2id": {name: number for number, name in enumerate(names)},
        }
    else:
        options["architectures"] = ["VideoMAEForPreTraining"]
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
        # Not in silence(): its logger would keep the silent stream.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers
    except ImportError:
        return None, (
            "transformers are not installed (mofo[hf]): nobody has opened the folder yet",
        )
    model, grid = exportable.model, exportable.sizes.grid
    frames = exportable.clips(_CLIPS)
    pixels = ((frames / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 1, 4, 2, 3)
    classifier = isinstance(model, Classifier)
    kind = "VideoMAEForVideoClassification" if classifier else "VideoMAEForPreTraining"
    with silence():
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
