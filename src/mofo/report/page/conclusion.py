"""The conclusion of a page: what the numbers say, and what they do not, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mofo.evaluation.measures import EvaluationError, Interval
from mofo.evaluation.recognition import compare
from mofo.evaluation.results import FEW_VIDEOS, Recognition
from mofo.report.page.folders import FINETUNE, PRETRAIN, Contents, Test
from mofo.report.wording import counted, hours, listed, measure_name, percent

USELESS = 0.4  # width of an interval from which on a value says nothing
NO_DIFFERENCE = "no clear difference"
_MAX_PAIRS = 12


@dataclass(frozen=True)
class Sentence:
    """One sentence; ``tone`` is "good", "plain" or "warning"."""

    text: str
    tone: str = "plain"


@dataclass(frozen=True)
class Tile:
    """A number to begin with."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Difference:
    """How much better the second of two tests is, on the same videos."""

    first: str
    second: str
    measure: str
    value: Interval

    @property
    def verdict(self) -> str:
        """In words."""
        if self.value.low > 0:
            return "better"
        return "worse" if self.value.high < 0 else NO_DIFFERENCE


def differences(tests: Sequence[Test]) -> list[Difference]:
    """Compares each test with the first one, where they are of the same videos."""
    rows = []
    for second in tests[1 : _MAX_PAIRS + 1]:
        first = tests[0]
        for head, result in first.results.heads.items():
            if head not in second.results.heads:
                continue
            try:
                values = compare(result, second.results.heads[head])
            except (EvaluationError, IndexError):
                continue
            rows += [
                Difference(first.title, second.title, measure_name(name), value)
                for name, value in values.items()
            ]
    return rows


def chance(result: Recognition) -> float:
    """Returns the accuracy of always giving the commonest answer."""
    return max((row.count for row in result.classes), default=0) / max(1, result.count)


def is_useless(value: Interval) -> bool:
    """Whether an interval is so wide that its value says nothing."""
    return value.high - value.low > USELESS


def main_test(tests: Sequence[Test]) -> Test | None:
    """Returns the best test that is no control; None if there is none."""
    results = [
        test for test in tests if not test.is_control and any(test.results.heads.values())
        and _first(test)[1]
    ]  # fmt: skip
    return max(results, key=lambda test: _first(test)[2].mean, default=None)


def _first(test: Test) -> tuple[Recognition, str, Interval]:
    """The first kind of label of a test with its first measure; no name if there is none."""
    for result in test.results.heads.values():
        for name, value in result.measures.items():
            return result, name, value
    return Recognition(0, {}, ()), "", Interval(0.0, 0.0, 1.0)


def conclusion(contents: Contents, guesses: Sequence[Sentence]) -> list[Sentence]:
    """Returns what a reader takes home."""
    sentences = [*_accuracy(contents.tests), *_comparisons(contents.tests)]
    sentences += guesses
    sentences += [*_few_videos(contents), *_motion(contents)]
    unreadable = len({path for path, _, _ in contents.unreadable()})
    if unreadable:
        text = f"{counted(unreadable, 'file')} could not be used; each is named at the end."
        sentences.append(Sentence(text, "warning"))
    return sentences or [Sentence("There is no result yet: nothing was tested.")]


def _accuracy(tests: Sequence[Test]) -> Iterator[Sentence]:
    test = main_test(tests)
    if test is None:
        return
    result, name, value = _first(test)
    likely = _likely(value)
    if is_useless(value) or result.is_few:
        measured = "" if result.is_few else f" ({measure_name(name)} {likely})"
        yield Sentence(
            f"{test.name} was tested on {counted(result.count, 'video')}: that says nothing about "
            f"other videos{measured}.",
            "warning",
        )
        return
    text = f"{test.name} reaches {percent(value.mean, 0)} {measure_name(name)} ({likely})"
    if name != "top1":
        yield Sentence(f"{text} on {counted(result.count, 'video')}.")
        return
    by_chance = chance(result)
    text += f"; always giving the commonest answer, {percent(by_chance, 0)}"
    if value.low > by_chance:
        yield Sentence(f"{text}: clearly better than chance.", "good")
    else:
        yield Sentence(f"{text}: this is not told from chance.", "warning")


def _comparisons(tests: Sequence[Test]) -> Iterator[Sentence]:
    """Tests beside the first one, and controls beside the best one."""
    results = [test for test in tests if not test.is_control]
    main = main_test(tests)
    pairs = [(results[0], other) for other in results[1:]] if results else []
    rows = [row for row in map(_first_difference, pairs) if row is not None]
    for row in rows[:3]:
        if row.verdict == NO_DIFFERENCE:
            yield Sentence(
                f"No clear difference in {row.measure} between {row.first} and {row.second} "
                f"({_likely(row.value)})."
            )
        else:
            low, high = sorted(map(abs, (row.value.low, row.value.high)))
            yield Sentence(
                f"{row.second} is {row.verdict} than {row.first} by "
                f"{percent(abs(row.value.mean), 0)} {row.measure} "
                f"({percent(low, 0)} to {percent(high, 0)} likely).",
                "good" if row.verdict == "better" else "plain",
            )
    if pairs and not rows:
        yield Sentence("The tests are of different videos, so they cannot be compared.")
    for test in tests:
        difference = _first_difference((test, main)) if main and test.is_control else None
        if difference is not None and difference.value.low <= 0:
            yield Sentence(
                f"{test.name}, a control that replaces the motion area or the model, is not "
                f"clearly worse than {difference.second}: motion is not shown to be what helps.",
                "warning",
            )


def _first_difference(pair: tuple[Test, Test]) -> Difference | None:
    return next(iter(differences(pair)), None)


def _likely(value: Interval) -> str:
    return f"{percent(value.low, 0)} to {percent(value.high, 0)} likely"


def _few_videos(contents: Contents) -> Iterator[Sentence]:
    few = [run for run in contents.runs if 0 < run.videos < FEW_VIDEOS]
    if few:
        counts = sorted({run.videos for run in few})
        videos = " or ".join(f"{count:,}" for count in counts)
        yield Sentence(
            f"{listed([run.name for run in few])} learned from {videos} "
            f"video{'' if counts == [1] else 's'}: that says nothing about the method.",
            "warning",
        )


def _motion(contents: Contents) -> Iterator[Sentence]:
    for each in contents.areas:
        frames_V, moving_V = each.frames_V2().T
        if frames_V.sum():
            moving = percent(float((moving_V * frames_V).sum() / frames_V.sum()), 0)
            still = int((moving_V == 0).sum())
            text = f"Something moves in {moving} of the frames of {each.name}"
            text += f"; {counted(still, 'video')} of {len(frames_V):,} without motion" * (still > 0)
            yield Sentence(f"{text}.", "warning" if still > len(frames_V) / 2 else "plain")


def tiles(contents: Contents) -> list[Tile]:
    """Returns the numbers that a reader wants first; four at most, none that says nothing."""
    numbers: list[Tile] = []
    test = main_test(contents.tests)
    if test is not None:
        result, name, value = _first(test)
        if not is_useless(value) and not result.is_few:
            note = f"{test.name}: {percent(value.low)} to {percent(value.high)} likely"
            note += f", {percent(chance(result))} by chance" if name == "top1" else ""
            numbers.append(Tile(percent(value.mean), measure_name(name), note))
    if any(len(each.store) for each in contents.areas):
        frames_V, moving_V = np.concatenate([each.frames_V2() for each in contents.areas]).T
        frames = max(frames_V.sum(), 1)
        moving = percent(float((moving_V * frames_V).sum() / frames), 0)
        numbers.append(
            Tile(f"{len(frames_V):,}", "videos with motion areas", f"{frames:,.0f} frames")
        )
        numbers.append(Tile(moving, "of their frames with motion"))
    for kind, name in ((FINETUNE, "fine-tuning"), (PRETRAIN, "pre-training")):
        runs = contents.of_kind(kind)
        if seconds := sum(run.seconds for run in runs):
            numbers.append(Tile(hours(seconds), name, f"in {counted(len(runs), 'run')}"))
    return numbers[:4]
