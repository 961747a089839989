"""Files that could not be used, each with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from mofo.report.page.gathered import Gathered
from mofo.report.page.sections.section import Section
from mofo.report.page.words import counted

_MOST = 200  # rows


@dataclass(frozen=True)
class Unusable:
    """One file."""

    path: str
    reason: str
    where: str


def unreadable(found: Gathered) -> Section:
    """The section; it is there, too, if all could be read, since that is worth knowing."""
    rows = [
        *(Unusable(p, r, "before anything was done") for p, r in found.left_out),
        *(Unusable(p, r, one.name) for one in found.areas for p, r in one.failures),
        *(Unusable(p, r, run.name) for run in found.runs for p, r in run.unreadable),
        *(Unusable(p, r, one.name) for one in found.tests for p, r in one.results.left_out),
    ]
    warned = [
        Unusable(row["video"], text, one.name)
        for one in found.areas
        for row in one.store.videos().select(["video", "warnings"]).to_pylist()
        for text in row["warnings"]
    ]
    lead = "Every video could be read; nothing was left out."
    if rows:
        lead = (
            f"{counted(len(rows), 'file')} could not be used and were left out, each with the "
            "reason; all the others were read whole."
            if len(rows) > 1
            else "One file could not be used and was left out; here is why."
        )
    return Section(
        "unreadable",
        "Files that could not be read",
        lead,
        {
            "tables": [
                (title, several[:_MOST], max(0, len(several) - _MOST))
                for title, several in (("Left out", rows), ("Used, with a warning", warned))
                if several
            ]
        },
    )
