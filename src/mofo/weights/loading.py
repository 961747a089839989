"""A strict load: another program's tensors as ours, and a report of what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import Tensor

from mofo.types import MofoError
from mofo.weights.rules import Rule, Shape

MATCHED, RESHAPED, DERIVED = "matched", "re-shaped", "not needed"
MISSING, UNEXPECTED, MISFIT = "missing", "unexpected", "other shape"
ALLOWED_MISSING, ALLOWED_UNEXPECTED = "missing, allowed", "unexpected, allowed"
_PROBLEMS = (MISFIT, MISSING, UNEXPECTED)
_ORDER = (*_PROBLEMS, ALLOWED_MISSING, ALLOWED_UNEXPECTED, DERIVED, RESHAPED, MATCHED)
_SHOWN = 40  # rows, unless all are printed


class Row(NamedTuple):
    """One tensor.

    Attributes:
        status: one of the words above.
        theirs: names in the file; of a missing one, the name that it should have.
        ours: our name; empty where there is none.
    """

    status: str
    theirs: tuple[str, ...]
    ours: str = ""
    note: str = ""


@dataclass(frozen=True)
class KeyReport:
    """All tensors of a file and all tensors of the model."""

    rows: tuple[Row, ...]

    def count(self, status: str) -> int:
        """How many have this status."""
        return sum(row.status == status for row in self.rows)

    def problems(self) -> list[str]:
        """For each kind of problem a phrase with the first names."""
        phrases = []
        for status in _PROBLEMS:
            names = [
                row.theirs[0] + (f" ({row.note})" if status == MISFIT else "")
                for row in self.rows
                if row.status == status
            ]
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                phrases.append(f"{status}: {', '.join(names[:3])}{more}")
        return phrases

    def summary(self) -> dict[str, int]:
        """Status -> how many tensors, problems first; without those that are 0."""
        return {status: count for status in _ORDER if (count := self.count(status))}

    def table(self, *, everything: bool = False) -> str:
        """Lines for people: counts, then what is worth reading; or all tensors."""
        lines = [f"{count:5}  {status}" for status, count in self.summary().items()]
        rows = list(self.rows)
        if not everything:
            reasons: dict[str, set[str]] = {}
            for row in rows:
                if row.status == DERIVED:
                    reasons.setdefault(row.note, set()).add(row.theirs[0].partition(".")[0])
            lines += [f"       {', '.join(sorted(of))}: {why}" for why, of in reasons.items()]
            rows = [row for row in rows if row.status not in (MATCHED, RESHAPED, DERIVED)][:_SHOWN]
        width = max((len(row.status) for row in rows), default=0)
        lines += [""] if rows else []
        return "\n".join(
            lines
            + [
                f"{row.status:{width}}  {' + '.join(row.theirs)}"
                + (f" -> {row.ours}" if row.ours else "")
                + (f"  ({row.note})" if row.note else "")
                for row in rows
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"summary": self.summary(), "tensors": [row._asdict() for row in self.rows]}


class WeightsError(MofoError):
    """Weights that cannot be read, understood, taken over or written."""

    def __init__(self, message: str, report: KeyReport | None = None) -> None:
        self.report = report
        super().__init__(message)


def load_strictly(
    state: Mapping[str, Tensor],
    rules: Iterable[Rule],
    *,
    originals: Mapping[str, str] | None = None,
    not_needed: Mapping[str, str] | None = None,
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> tuple[dict[str, Tensor], KeyReport]:
    """Their tensors as ours, and what became of each; problems are reported, not raised.

    Args:
        state: their tensors, by names without prefixes.
        not_needed: names that are known and left out, and why.
        allow_missing: patterns (``decoder.*``) of our or their names.
        allow_unexpected: patterns of names, with or without prefixes.
    """
    originals = originals or {name: name for name in state}
    allow_missing, allow_unexpected = tuple(allow_missing), tuple(allow_unexpected)
    tensors: dict[str, Tensor] = {}
    rows: list[Row] = []
    used: set[str] = set()
    for rule in rules:
        names = [next((name for name in part if name in state), None) for part in rule.theirs]
        present = [name for name in names if name is not None]
        wrong = [name for name in present if tuple(state[name].shape) != rule.part_shape]
        for name, part in zip(names, rule.theirs, strict=True):
            if name is None:
                allowed = _any((rule.ours, part[0]), allow_missing)
                rows.append(Row(ALLOWED_MISSING if allowed else MISSING, (part[0],), rule.ours))
        for name in wrong:
            note = f"{_size(state[name].shape)}, not {_size(rule.part_shape)}"
            rows.append(Row(MISFIT, (originals[name],), "", note))
        if len(present) == len(names) and not wrong:
            tensor = rule.take([state[name] for name in present])
            # Two of ours from one of theirs: each has its own memory.
            tensors[rule.ours] = tensor.clone() if used.intersection(present) else tensor
            theirs = tuple(originals[name] for name in present)
            same = rule.shape == rule.part_shape
            note = "" if same else f"{_size(rule.part_shape)} to "
            status = MATCHED if same else RESHAPED
            rows.append(Row(status, theirs, rule.ours, note + _size(rule.shape)))
        used.update(present)
    for name in state:
        if name in used:
            continue
        reason = (not_needed or {}).get(name, "")
        allowed = _any((name, originals[name]), allow_unexpected)
        status = DERIVED if reason else ALLOWED_UNEXPECTED if allowed else UNEXPECTED
        rows.append(Row(status, (originals[name],), "", reason))
    return tensors, KeyReport(tuple(sorted(rows, key=lambda row: _ORDER.index(row.status))))


def _any(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one number"
