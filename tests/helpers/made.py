"""Folders as other verbs leave them, and what is in a page."""

from __future__ import annotations

import csv
import json
import math
from html.parser import HTMLParser

import yaml

from generated.clips import ClipRecipe, make_clip, write_clip
from helpers.classifiers import write_classifier
from helpers.shown import checkpoint, settings
from mofo.evaluation.evaluate import evaluate
from mofo.evaluation.results import write_results
from mofo.motion.detect import detect_many

NASTY = "<img src=x onerror=alert(1)>&\"'"
CLASSES = {"label": ("push", "<script>alert(2)</script>", 'a "b" & c')}
VOID = {"meta", "link", "img", "input", "br", "hr"}


def make_tree(folder):
    """areas, pretrain, finetune and evaluation below one folder."""
    videos = folder / "videos"
    videos.mkdir()
    rows = [("path", "label")]
    for seed in range(3):
        name = f"clip{seed}{NASTY}.mp4"
        recipe = ClipRecipe(seed=seed, movers=1, area=(0.05, 0.2), frames=20, width=96, height=64)
        write_clip(make_clip(recipe), videos / name)
        rows.append((name, CLASSES["label"][seed]))
    with (videos / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    (videos / "broken.mp4").write_bytes(b"no video" * 50)
    detect_many([videos], folder / "areas", workers=0, progress=False)
    make_pretraining(folder / "pretrain", videos)
    make_finetuning(folder / "finetune")
    found = evaluate(
        folder / "finetune", videos / "list.csv", split="all", views=(1, 1), workers=0, draws=20
    )
    write_results(found, folder / "evaluation" / "results.json")
    return folder


def make_pretraining(folder, videos, steps=30, lr=1e-3, **sections):
    chosen = settings(folder, data={"source": [str(videos / "list.csv")]}, **sections)
    checkpoint(folder, chosen)
    chosen.write(folder / "settings.yaml")
    write_lines(folder / "metrics.jsonl", metrics(steps, lr))
    (folder / "versions.json").write_text(json.dumps({"mofo": "0.1", "torch": "<2>"}))
    write_lines(folder / "unreadable.jsonl", [{"path": f"/x/{NASTY}.mp4", "reason": "cut off"}])
    return folder


def make_finetuning(folder):
    write_classifier(folder, CLASSES, fusion="cross_attention")
    (folder / "settings.yaml").write_text(
        yaml.safe_dump({"augment": {"mixup": 0.0}, "model": {"size": "nano"}})
    )
    write_lines(folder / "metrics.jsonl", metrics(12, 1e-3))
    lines = [{"step": 6, "loss": 1.0, "top1": 0.25}, {"step": 12, "loss": 0.9, "top1": 0.5}]
    write_lines(folder / "validation.jsonl", lines)
    return folder


def metrics(steps, lr):
    return [
        {
            "step": step,
            "epoch": step / 10,
            "loss": 1 / (step + 1),
            "lr": lr * math.sin((step + 1) / steps),
            "clips": 4,
            "data_s": 0.1,
            "compute_s": 0.3,
        }
        for step in range(steps)
    ]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


class Page(HTMLParser):
    """What is in a page.

    Attributes:
        tags: ``(name, attributes)``.
        faults: tags that do not belong together.
        text: of the body, without scripts and styles, in one line.
    """

    def __init__(self, text):
        super().__init__()
        self.tags, self.faults, self._open, self._said = [], [], [], []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> stays open" for name in self._open]
        self.text = " ".join(" ".join(self._said).split())

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"<{tag}> has an attribute twice")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self._open or self._open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self._open[-1:]}")
        else:
            self._open.pop()

    def handle_data(self, data):
        if not {"script", "style"} & set(self._open):
            self._said.append(data)

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def read_page(path):
    return Page(path.read_text(encoding="utf-8"))
