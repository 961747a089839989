"""What became of every tensor of an imported file: as a table, as JSON, and as an error's line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mofo.types import MofoError
from mofo.weights.key_rules import Translation

MATCHED, RESHAPED, DERIVED = "matched", "re-shaped", "not needed"
MISSING, UNEXPECTED, MISFIT = "missing", "unexpected", "other shape"
ALLOWED_MISSING, ALLOWED_UNEXPECTED = "missing, allowed", "unexpected, allowed"
_PROBLEMS = (MISFIT, MISSING, UNEXPECTED)
_SHOWN = 40  # rows, unless all are asked for
_ORDER = (*_PROBLEMS, ALLOWED_MISSING, ALLOWED_UNEXPECTED, DERIVED, RESHAPED, MATCHED)


class Row(NamedTuple):
    """One tensor.

    Attributes:
        status: one of the words above.
        theirs: names in the file; of a missing one, the name that it should have.
        ours: our name; empty where there is none.
        note: shapes, or why.
    """

    status: str
    theirs: tuple[str, ...]
    ours: str
    note: str


@dataclass(frozen=True)
class KeyReport:
    """All tensors of a file and all tensors of the model.

    Attributes:
        rows: problems first.
    """

    rows: tuple[Row, ...]

    def count(self, status: str) -> int:
        """How many have this status."""
        return sum(row.status == status for row in self.rows)

    def problems(self) -> list[str]:
        """For each kind of problem a phrase with the first names."""
        found = []
        for status in _PROBLEMS:
            names = [
                row.theirs[0] + (f" ({row.note})" if row.note and status == MISFIT else "")
                for row in self.rows
                if row.status == status
            ]
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                found.append(f"{status}: {', '.join(names[:3])}{more}")
        return found

    def summary(self) -> dict[str, int]:
        """Status -> how many tensors, problems first; without those that are 0."""
        return {status: count for status in _ORDER if (count := self.count(status))}

    def table(self, *, everything: bool = False) -> str:
        """Lines for people: counts, then what is worth a look; or all tensors."""
        lines = [f"{count:5}  {status}" for status, count in self.summary().items()]
        quiet = () if everything else (MATCHED, RESHAPED, DERIVED)
        shown = [row for row in self.rows if row.status not in quiet]
        if not everything:
            shown = shown[:_SHOWN]
            lines += self._left_out()
        if shown:
            width = max(len(row.status) for row in shown)
            lines.append("")
            lines += [
                f"{row.status:{width}}  {' + '.join(row.theirs)}"
                + (f" -> {row.ours}" if row.ours else "")
                + (f"  ({row.note})" if row.note else "")
                for row in shown
            ]
        return "\n".join(lines)

    def _left_out(self) -> list[str]:
        """What is not needed, a line for each reason."""
        names: dict[str, set[str]] = {}
        for row in self.rows:
            if row.status == DERIVED:
                names.setdefault(row.note, set()).add(row.theirs[0].partition(".")[0])
        return [f"       {', '.join(sorted(found))}: {why}" for why, found in names.items()]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "summary": self.summary(),
            "tensors": [
                {"status": status, "theirs": list(theirs), "ours": ours, "note": note}
                for status, theirs, ours, note in self.rows
            ],
        }


class WeightsError(MofoError):
    """Weights that cannot be read, understood, taken over or written.

    Attributes:
        report: of the tensors, where it came that far.
    """

    def __init__(self, message: str, report: KeyReport | None = None) -> None:
        self.report = report
        super().__init__(message)


def key_report(
    found: Translation,
    originals: Mapping[str, str],
    not_needed: Mapping[str, str],
    allow_missing: Iterable[str] = (),
    allow_unexpected: Iterable[str] = (),
) -> KeyReport:
    """The report of a translation.

    Args:
        found: what ``translate`` gave, under names without prefixes.
        originals: of these names, those in the file.
        not_needed: names that are known and left out, and why.
        allow_missing: patterns (``decoder.*``) of our or their names.
        allow_unexpected: patterns of names in the file.
    """
    # (name without prefix, as in the file): a pattern may mean either.
    missing_patterns, unexpected_patterns = tuple(allow_missing), tuple(allow_unexpected)
    rows = [
        Row(MISFIT, (originals[name],), "", f"{_size(shape)}, not {_size(wanted)}")
        for name, shape, wanted in found.misfits
    ]
    for ours, theirs in found.missing:
        allowed = _any((ours, theirs), missing_patterns)
        rows.append(Row(ALLOWED_MISSING if allowed else MISSING, (theirs,), ours, ""))
    for name in found.unexpected:
        original = originals[name]
        if name in not_needed:
            rows.append(Row(DERIVED, (original,), "", not_needed[name]))
            continue
        allowed = _any((name, original), unexpected_patterns)
        rows.append(Row(ALLOWED_UNEXPECTED if allowed else UNEXPECTED, (original,), "", ""))
    for match in found.matched:
        names = tuple(originals[name] for name in match.theirs)
        if match.reshaped:
            note = f"{_size(match.their_shape)} to {_size(match.shape)}"
            rows.append(Row(RESHAPED, names, match.ours, note))
        else:
            rows.append(Row(MATCHED, names, match.ours, _size(match.shape)))
    return KeyReport(tuple(sorted(rows, key=lambda row: _ORDER.index(row.status))))


def _any(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
