"""Changes of files, drawn at random: any bytes, the fields of containers, and texts."""

from __future__ import annotations

import random

_EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_TOKENS = [
    '"', "'", ",", ";", "\t", "\n", "\r", "\r\n", "\0", "\ufeff", "\x1b[2J", "[", "]", "{", "}",
    "-1", "1e999", "NaN", "Infinity", "-0", "9" * 400, "null", "true", "[]", "{}", '""', "../..",
    "/", "~", "\u202e", "e\u0301", "\ud7ff", "=1+1", "<<: *a", "&a ", "*a", "---\n", "%", ": ",
    "!!python/object:os.system", "- ", "? ", "#", "[" * 3000, "a.mp4", "x" * 5000, " ", "0x10",
    "1_000", "..", "\\",
]  # fmt: skip


def bytes_changed(data: bytes, draw: random.Random, other: bytes = b"") -> bytes:
    """One to eight changes anywhere."""
    found = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3, 8])):
        place = draw.randrange(len(found) + 1)
        end = min(len(found), place + int(2 ** draw.uniform(0, 9)))
        match draw.randrange(9):
            case 0 if place < len(found):
                found[place] ^= 1 << draw.randrange(8)
            case 1 if place < len(found):
                found[place] = draw.randrange(256)
            case 2:
                size = draw.choice([1, 2, 4, 8])
                number = draw.choice(_EXTREMES) & (256**size - 1)
                found[place : place + size] = number.to_bytes(size, draw.choice(["big", "little"]))
            case 3:
                del found[place:end]
            case 4:
                found[place:place] = found[place:end]
            case 5:
                found[place:place] = draw.randbytes(end - place)
            case 6:
                found[place:end] = bytes(end - place)
            case 7:
                del found[place:]
            case _:
                begin = draw.randrange(len(other) + 1)
                found[place:end] = other[begin : begin + end - place]
    return bytes(found)


def text_changed(data: bytes, draw: random.Random, other: bytes = b"") -> bytes:
    """Words, lines and signs taken out, doubled, put in; now and then any bytes."""
    if draw.random() < 0.2:
        return bytes_changed(data, draw, other)
    text = data.decode(errors="surrogateescape")
    for _ in range(draw.choice([1, 1, 2, 3, 5])):
        place = draw.randrange(len(text) + 1)
        end = min(len(text), place + int(2 ** draw.uniform(0, 7)))
        lines = text.split("\n")
        match draw.randrange(6):
            case 0:
                text = text[:place] + draw.choice(_TOKENS) + text[place:]
            case 1:
                text = text[:place] + draw.choice(_TOKENS) + text[end:]
            case 2:
                text = text[:place] + text[end:]
            case 3:
                draw.shuffle(lines)
                text = "\n".join(lines)
            case 4:
                lines.insert(draw.randrange(len(lines)), draw.choice(lines))
                text = "\n".join(lines)
            case _:
                text = text[:place] + other.decode(errors="ignore")[place:end] + text[end:]
    return text.encode(errors="surrogateescape")
