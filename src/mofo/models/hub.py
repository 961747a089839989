"""Models on the Hugging Face Hub and in folders: ``from_pretrained``, ``save_pretrained``.

model = MaskedAutoencoder.from_pretrained("someone/mofo-base")
model.save_pretrained("folder")
model.push_to_hub("me/mofo-mine")
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from safetensors.torch import load_file, save_file

from mofo.models.model_settings import settings_from
from mofo.types import MofoError

_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


class HubModel(
    PyTorchModelHubMixin,
    library_name="mofo",
    tags=["video", "video-classification", "masked-autoencoder"],
    license="apache-2.0",
):
    """Saves a model that is built from ``settings``, a dataclass, and loads it again.

    ``settings_type``: of ``settings``; a class says its own.
    """

    settings_type: ClassVar[type]
    settings: Any

    def _save_pretrained(self, save_directory: Path) -> None:
        """Writes ``config.json`` and ``model.safetensors``."""
        text = json.dumps({"model": type(self).__name__, "settings": asdict(self.settings)})
        (save_directory / _CONFIG).write_text(text, encoding="utf-8")
        state: dict[str, Any] = self.state_dict()  # type: ignore[attr-defined]
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        save_file(weights, save_directory / _WEIGHTS)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> Self:
        """Builds the model of a folder or of the Hub, on the CPU, in evaluation mode."""
        names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
        hub = {name: options[name] for name in names if options.get(name) is not None}

        def find(name: str) -> Path:
            folder = Path(model_id)
            if folder.is_dir():
                return folder / name
            try:
                return Path(hf_hub_download(repo_id=model_id, filename=name, **hub))
            except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
                raise MofoError(f"{model_id}: no {name}: {str(error).splitlines()[0]}") from None

        try:
            config = json.loads(find(_CONFIG).read_text(encoding="utf-8"))
            kind: str = config["model"]
            settings: Any = settings_from(cls.settings_type, config["settings"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MofoError(f"{model_id}: {_CONFIG} is none of mofo's: {error}") from None
        if kind != cls.__name__:
            raise MofoError(f"{model_id}: holds a {kind}: use {kind}.from_pretrained")
        model: Any = cls(settings)  # type: ignore[call-arg]
        try:
            model.load_state_dict(load_file(find(_WEIGHTS)))
        except (OSError, RuntimeError, ValueError) as error:
            line = " ".join(str(error).split())
            raise MofoError(f"{model_id}: {_WEIGHTS} does not fit: {line}") from None
        return model.eval()
