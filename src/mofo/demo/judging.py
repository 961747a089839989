"""Stage: both models on clips that nobody has seen, against each other and against chance."""

from __future__ import annotations

from pathlib import Path

from mofo.demo.labelled_stage import ClipSet
from mofo.demo.scale import DemoScale
from mofo.demo.stage import Found, Stage
from mofo.demo.training_stage import BASELINE, MOFO, finetuned
from mofo.evaluation.evaluate import evaluate
from mofo.evaluation.recognition import compare
from mofo.report.results_table import write_evaluation

_WIDTH = 24


def judging_stage(out: Path, scale: DemoScale, progress: bool) -> Stage:
    """The test split, once; accuracy with intervals, and the difference on the same clips."""
    made = ClipSet(out)
    folders = {who: out / "evaluation" / who for who in (MOFO, BASELINE)}

    def work() -> Found:
        results = {}
        for who, folder in folders.items():
            # A clip is as long and as large as what the model is given: there is one view of it.
            results[who] = evaluate(
                finetuned(out, who), made.table, split="test", views=(1, 1), batch=scale.batch,
                store=made.areas if who == MOFO else None, workers=0, draws=scale.draws,
                progress=progress,
            )  # fmt: skip
            write_evaluation(results[who], folder)
        heads = {who: one.heads["label"] for who, one in results.items()}
        difference = compare(heads[BASELINE], heads[MOFO], draws=scale.draws)["top1"]
        return {
            "top1": {who: list(head.measures["top1"]) for who, head in heads.items()},
            "difference": list(difference),
            "clips": heads[MOFO].count,
            "classes": len(heads[MOFO].classes),
        }

    def told(found: Found) -> list[str]:
        lines = [
            f"{who:{_WIDTH}} {_interval(found['top1'][who])} of {found['clips']} test clips right"
            for who in folders
        ]
        chance = 1 / found["classes"]
        return [
            *lines,
            f"{'chance':{_WIDTH}} {100 * chance:4.1f} %  (one class of {found['classes']})",
            f"{'mofo minus baseline':{_WIDTH}} {_interval(found['difference'], sign='+')}",
            *verdict(found["top1"], found["difference"], chance),
            *(f"{who + ', in detail:':{_WIDTH}} {folder}" for who, folder in folders.items()),
        ]

    return Stage(
        name="evaluation",
        title="evaluation on clips that neither has seen",
        about=(
            "Accuracy with its 95 % interval: where it would fall with other test clips of the",
            "same kind. Only one training of each: another seed would give other numbers.",
        ),
        made_with={"draws": scale.draws},
        work=work,
        told=told,
        files=tuple(folder / "results.json" for folder in folders.values()),
    )


def verdict(top1: dict[str, list[float]], difference: list[float], chance: float) -> list[str]:
    """What the numbers say, in plain words, and no more than that.

    Args:
        top1: of both: accuracy, low and high end of its interval, as shares.
        difference: of MOFO minus the baseline, likewise.
        chance: accuracy of guessing.
    """
    lines = []
    poor = [who for who, (_, low, _) in top1.items() if low <= chance]
    if poor:
        lines.append(f"Not better than guessing, as far as can be told: {', '.join(poor)}.")
    else:
        lines.append("Both have learned something: their intervals are above chance.")
    _, low, high = difference
    if low > 0:
        text = "The motion-focused model is better than the baseline: the interval is above 0."
    elif high < 0:
        text = "The motion-focused model is worse than the baseline: the interval is below 0."
    else:
        text = "No difference between them can be told: the interval holds 0."
    return [*lines, text, "A demonstration of minutes proves nothing about the method itself."]


def _interval(values: list[float], sign: str = "") -> str:
    mean, low, high = (100 * value for value in values)
    return f"{mean:{sign}4.1f} %  [{low:{sign}.1f}, {high:{sign}.1f}]"
