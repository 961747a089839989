"""One process, two and four, DDP and FSDP: the same losses, also saved with n, gone on with m.

    python benchmarks/many_processes.py --steps 50

Gloo processes on this machine's CPU, a nano model on generated clips of 32 pixels. "loss" and
"weights" are the largest relative differences to one process, over all steps and over all tensors
(of the norm of each). "samples": how many of all (epoch, video) pairs came twice or were missing,
counted in what each process was given.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import socket
import tempfile
from pathlib import Path

import torch
from torch.multiprocessing import start_processes

from areas import markdown
from generated.clips import ClipRecipe, make_clip, write_clip
from mofo.training.callbacks import Callback
from mofo.training.checkpoint import open_checkpoint
from mofo.training.journal import read_journal
from mofo.training.tasks import TASKS
from mofo.training.trainer import train

_VIDEOS, _HELD_OUT, _BATCH = 16, 6, 8
_PLAIN = {"randaugment": 0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0}


class Seen(Callback):
    """Writes down which videos each step of this process was given."""

    def on_start(self, trainer) -> None:
        name = f"seen-{trainer.start:03d}-{trainer.accelerator.process_index}.txt"
        self.file = (trainer.out / name).open("w")

    def on_batch(self, trainer, step, batch) -> None:
        for video in batch.index_B.tolist():
            self.file.write(f"{step} {video}\n")

    def on_end(self, trainer) -> None:
        self.file.close()


def _process(rank: int, count: int, port: int, settings) -> None:
    if count > 1:
        os.environ |= {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
    torch.set_num_threads(1)
    train(settings, callbacks=[Seen()])


def run(settings, processes: int, *, shard: bool = False, stop_at: int = 0) -> None:
    """Trains in processes of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chosen = settings.change(run={"shard": shard, "stop_at": stop_at})
    start_processes(_process, (processes, port, chosen), processes, start_method="fork")


def compared(name: str, settings, single) -> dict[str, object]:
    """A run beside that of one process."""
    out, other = Path(settings.run.out), Path(single.run.out)
    losses, wanted = ([x["loss"] for x in read_journal(p / "metrics.jsonl")] for p in (out, other))
    assert len(losses) == len(wanted)
    loss = max(abs(a - b) / abs(b) for a, b in zip(losses, wanted, strict=True))
    ours, theirs = (open_checkpoint(path).best_weights() for path in (out, other))
    weights = max(
        float((ours[n].double() - t).norm() / t.double().norm().clamp(min=1e-9))
        for n, t in theirs.items()
    )
    lines = [
        line for file in out.glob("seen-*.txt") for line in file.read_text().split("\n") if line
    ]
    times = collections.Counter(int(line.split()[1]) for line in lines)
    epochs = len(wanted) * _BATCH // _VIDEOS
    wrong = sum(abs(times[video] - epochs) for video in range(_VIDEOS))
    row = {
        "task": settings.task, "processes": name, "steps": len(losses),
        "first loss": f"{losses[0]:.5f}", "last": f"{losses[-1]:.5f}", "loss": f"{loss:.1e}",
        "weights": f"{weights:.1e}", "samples": f"{wrong} wrong of {len(lines)}",
    }  # fmt: skip
    if (out / "validation.jsonl").exists():
        found, right = (read_journal(path / "validation.jsonl") for path in (out, other))
        assert [x["step"] for x in found] == [x["step"] for x in right]
        worst = max(
            abs(a[key] - b[key]) / max(abs(b[key]), 1e-9)
            for a, b in zip(found, right, strict=True)
            for key in ("loss", "top1", "videos")
        )
        row["validation"] = f"{worst:.1e}"
    return row


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--tasks", default="pretrain,finetune")
    parser.add_argument("--json", type=Path)
    steps = parser.parse_args().steps
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = ["path,label,split"]
        for number in range(_VIDEOS + _HELD_OUT):
            clip = make_clip(ClipRecipe(seed=number, movers=1, frames=12, width=64, height=48))
            write_clip(clip, folder / f"{number:02d}.mp4")
            split = "train" if number < _VIDEOS else "validation"
            lines.append(f"{number:02d}.mp4,{'ab'[number % 2]},{split}")
        (folder / "list.csv").write_text("\n".join(lines) + "\n")
        for task in parser.parse_args().tasks.split(","):
            settings = TASKS[task].settings_type(
                data={"source": [str(folder / "list.csv")], "frames": 4, "size": 32,
                      "areas": "none"} | ({"split": "train"} if task == "pretrain" else {}),
                model={"size": "nano"} | ({} if task == "pretrain" else {"drop_path": 0.0}),
                optim={"batch": _BATCH, "epochs": steps * _BATCH / _VIDEOS, "warmup_epochs": 1,
                       "lr": 3e-2} | ({} if task == "pretrain" else {"ema_decay": 0.9}),
                run={"out": str(folder / task), "workers": 0, "save_every": max(1, steps // 5),
                     "micro_batch": _BATCH, "trackers": []},
                **({} if task == "pretrain" else {"augment": _PLAIN}),
            )  # fmt: skip
            run(settings, 1)
            cases = [(2, 2, False), (4, 4, False), (2, 2, True), (4, 4, True),
                     (2, 1, False), (2, 4, False), (4, 2, True), (2, 1, True)]  # fmt: skip
            for before, after, shard in cases:
                engine = "FSDP2" if shard else "DDP"
                label = f"{before} {engine}"
                if after != before:
                    label += f", then {after}{' ' + engine if after > 1 else ''}"
                out = folder / f"{task}-{label.replace(' ', '').replace(',', '-')}"
                other = settings.change(run={"out": str(out)})
                if after != before:
                    run(other, before, shard=shard, stop_at=steps // 2 + 3)
                run(other, after, shard=shard)
                rows.append(compared(label, other, settings))
                print(rows[-1], flush=True)
    heads = list(dict.fromkeys(key for row in rows for key in row))
    print(markdown([heads, *([str(row.get(key, "")) for key in heads] for row in rows)]))
    if path := parser.parse_args().json:
        path.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
