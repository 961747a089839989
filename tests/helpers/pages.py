"""What README, pages and help texts tell readers to type.

Fenced blocks of ``sh``, or without a language but beginning with a program, hold commands; those
of ``python`` run; ``text`` and others are only read. ``<!-- not run: REASON -->`` above a fence
says why nobody runs it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n\n?)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_PROGRAMS = ("mofo", ".venv/bin/mofo", "make", "python", "pip", "torchrun", "accelerate")
# One in the middle of a sentence, or indented.
_INLINE = re.compile(rf"`((?:{'|'.join(map(re.escape, _PROGRAMS))}) [^`]+)`")
_INDENTED = re.compile(r"^    (mofo .+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block, or one command in a sentence (``fenced`` False)."""

    page: str
    line: int
    language: str
    text: str
    reason: str | None = None
    fenced: bool = True

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command."""
        joined = re.sub(r"\\\n\s*", " ", self.text)
        lines = (shlex.split(line, comments=True) for line in joined.splitlines())
        return [words for words in lines if words]


def _language(text: str) -> str:
    return "sh" if text.split(maxsplit=1)[0] in _PROGRAMS else "text"


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """All of a page, in its order."""
    text, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        language = match["language"] or _language(match["text"])
        found.append(Block(name, line, language, match["text"], match["reason"]))
    prose = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for pattern in (_INLINE, _INDENTED):
        for match in pattern.finditer(prose):
            line = prose.count("\n", 0, match.start()) + 1
            command = " ".join(match[1].split())
            found.append(Block(name, line, "sh", command, fenced=False))
    return sorted(found, key=lambda block: block.line)


def unfenced(path: Path) -> int:
    """How many fences are left when all blocks are taken out: a fence that is not closed."""
    return _FENCE.sub("", path.read_text(encoding="utf-8")).count("```")
