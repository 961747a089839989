"""The model card of an exported folder: what it is, made from what, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mofo.models.classifier import Classifier
from mofo.weights.exporting import Exportable

_TESTED = ("data", "split", "views")
_USE_CLASSIFIER = """\
import torch
from transformers import VideoMAEForVideoClassification, VideoMAEImageProcessor

folder = "PATH OF THIS FOLDER"
processor = VideoMAEImageProcessor.from_pretrained(folder)
model = VideoMAEForVideoClassification.from_pretrained(folder).eval()
frames = [...]  # {frames} RGB pictures, uint8 arrays (H, W, 3)
inputs = processor(frames, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
print(model.config.id2label[int(logits.argmax(-1))])
"""
_USE_ENCODER = """\
import torch
from transformers import VideoMAEImageProcessor, VideoMAEModel

folder = "PATH OF THIS FOLDER"
processor = VideoMAEImageProcessor.from_pretrained(folder)
model = VideoMAEModel.from_pretrained(folder).eval()
frames = [...]  # {frames} RGB pictures, uint8 arrays (H, W, 3)
inputs = processor(frames, return_tensors="pt")
with torch.no_grad():
    tokens = model(**inputs).last_hidden_state  # (1, {tokens}, {width})
"""


def model_card(exportable: Exportable) -> str:
    """Markdown with the head that Hugging Face reads."""
    licence, metrics = exportable.licence, exportable.metrics
    model, facts = exportable.model, exportable.checkpoint.metadata.model_dump(exclude_none=True)
    classifier = isinstance(model, Classifier)
    settings = exportable.sizes
    grid = settings.grid
    task = "video-classification" if classifier else "feature-extraction"
    head = {
        "license": licence,
        "library_name": "transformers",
        "pipeline_tag": task,
        "tags": ["mofo", "videomae", "video"],
    }
    kind = "A video classifier" if classifier else "A masked video autoencoder (pre-training)"
    rows = [
        ("Clip", f"{grid.frames} frames of {grid.width}x{grid.height} pixels, RGB"),
        ("Token", f"{grid.tubelet} frames of {grid.patch}x{grid.patch}; {grid.tokens} tokens"),
        ("Encoder", f"{settings.width} wide, {settings.depth} blocks, {settings.heads} heads"),
        ("Parameters", f"{sum(p.numel() for p in model.parameters()):,}"),
    ]
    if classifier:
        rows += [
            (f"Classes ({name})", f"{len(names)}: " + ", ".join(names[:5]) + _dots(names))
            for name, names in exportable.classes.items()
        ]
        rows.append(("Clips are taken", _sampled(facts.get("sampling", {}))))
    else:
        sizes = (settings.decoder_width, settings.decoder_depth, settings.decoder_heads)
        rows.append(("Decoder", "{} wide, {} blocks, {} heads".format(*sizes)))
    use = _USE_CLASSIFIER if classifier else _USE_ENCODER
    parts = [
        "---\n" + yaml.safe_dump(head, sort_keys=False).strip() + "\n---",
        f"# {_title(exportable.checkpoint.path.absolute())}",
        f"{kind} made with mofo: motion-focused self-supervised video learning "
        "(arXiv 2308.12447), of VideoMAE's architecture (arXiv 2203.12602).",
        _table(rows),
        "## Use\n\nWith transformers 5 or later:\n\n```python\n"
        + use.format(frames=grid.frames, tokens=grid.tokens, width=settings.width).strip()
        + "\n```",
        "## Data and recipe\n\n" + _recipe(facts),
        "## Metrics\n\n" + _metrics(facts, metrics),
        "## Licence\n\n" + _licence(licence),
    ]
    return "\n\n".join(parts) + "\n"


def metrics_of(content: Any) -> dict[str, Any] | None:
    """Names and numbers for the card.

    Args:
        content: of a JSON file: names and numbers, or the ``results.json`` of ``mofo evaluate``, of
            which come the measures of each head with their intervals.

    Returns:
        None if it is neither.
    """
    if not isinstance(content, dict):
        return None
    if not isinstance(content.get("heads"), dict):
        return None if any(isinstance(v, dict | list) for v in content.values()) else content
    interval = "{mean:.4g} [{low:.4g}, {high:.4g}]"
    try:
        found: dict[str, Any] = {
            f"{head}: {measure.replace('_', ' ')}": interval.format(**of)
            for head, result in content["heads"].items()
            for measure, of in result["measures"].items()
        }
        about = content.get("about", {})
        return found | {f"tested: {name}": about[name] for name in _TESTED if name in about}
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _title(path: Path) -> str:
    """The name of a run is better than that of its checkpoint, ``RUN/checkpoints/step_...``."""
    return path.parents[1].name if path.parent.name == "checkpoints" else path.name


def _recipe(facts: Mapping[str, Any]) -> str:
    lines = []
    if imported := facts.get("imported"):
        lines.append(
            f"Imported from `{imported.get('source')}` (names of {imported.get('layout')}) on "
            f"{imported.get('date')}: trained elsewhere, by whoever made that file."
        )
    settings = facts.get("settings")
    if settings and not facts.get("imported"):
        source = settings.get("data", {}).get("source", ())
        videos = facts.get("videos", {}).get("count")
        named = ", ".join(f"`{name}`" for name in ([source] if isinstance(source, str) else source))
        lines.append(f"Data: {named}" + (f", {videos:,} videos" if videos else "") + ".")
        lines.append(f"Steps: {facts.get('step', 0):,}. The recipe, all keys:")
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).strip()
        lines.append(f"```yaml\n{text}\n```")
    if made := facts.get("versions"):
        lines.append(
            "Made with " + ", ".join(f"{name} {text}" for name, text in made.items()) + "."
        )
    return "\n\n".join(lines) or "The checkpoint does not say."


def _metrics(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    found: dict[str, Any] = {}
    if isinstance(facts.get("loss"), float):
        found["loss in training"] = facts["loss"]
    for name in ("validation", "metrics"):
        if isinstance(facts.get(name), dict):
            found |= facts[name]
    found |= metrics
    if not found:
        return "None were given."
    return _table([(str(name), _number(value)) for name, value in found.items()])


def _table(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {a} | {_cell(b)} |" for a, b in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _sampled(sampling: Mapping[str, Any]) -> str:
    if sampling.get("seconds"):
        return f"over {sampling['seconds']:g} s of a stretch"
    if sampling.get("sampling") == "segments":
        return "one frame from each of as many equal parts of the video"
    return f"every {sampling.get('stride', '?')}. frame of a stretch"


def _dots(names: tuple[str, ...]) -> str:
    return " ..." if len(names) > 5 else ""


def _licence(licence: str) -> str:
    if licence == "unknown":
        return (
            "Not stated. Weights inherit conditions from the data and from the weights that they "
            "began with: look there before you use or pass on these."
        )
    return f"{licence}, as stated by whoever exported the weights."
