"""In which order frames were coded, and from which of them others may be predicted.

FFmpeg hands frames out in display order and tells neither. Both can be had from the packets: each
is marked on its way into the decoder, and the frame that comes of it bears the mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

# Start code and header of a slice: nal_unit_type 1 to 5 under any nal_ref_idc (H.264, 7.3.1).
_SLICE = re.compile(rb"\x00\x00\x01([\x01-\x05\x21-\x25\x41-\x45\x61-\x65])")


class CodingOrder:
    """Marks packets with ``(order, referred)``, which their frames then have as ``opaque``.

    ``order`` rises from packet to packet. ``referred`` says whether others may be predicted from
    the frame, None where the codec does not say so in a place that is quick to find.

    Args:
        context: decoder of the packets, not yet open.
    """

    def __init__(self, context: Any) -> None:
        context.copy_opaque = True
        self._count = 0
        self._referred = _referred_of(context.name, bytes(context.extradata or b""))

    def mark(self, packet: Any) -> None:
        """Marks the next packet in the file."""
        # A tuple made anew: PyAV tells marks apart by their address.
        packet.opaque = (self._count, self._referred(packet))
        self._count += 1


def _referred_of(codec: str, extradata: bytes) -> Callable[[Any], bool | None]:
    if codec != "h264":
        return lambda packet: None
    if extradata[:1] == b"\1" and len(extradata) > 4:
        size = (extradata[4] & 3) + 1  # as in mp4: each unit follows its length
        return lambda packet: referred_by_length(packet, size)
    return referred_by_start_code


def referred_by_length(packet: Any, size: int) -> bool | None:
    """Whether an H.264 picture is referred to; lengths of its units are of ``size`` bytes."""
    data = memoryview(packet)
    at, last = 0, len(data) - size - 1
    while at <= last:
        header = data[at + size]
        if 1 <= header & 31 <= 5:  # a slice
            return header & 0x60 != 0
        at += size + int.from_bytes(data[at : at + size], "big")
    return None


def referred_by_start_code(packet: Any) -> bool | None:
    """Whether an H.264 picture whose units follow start codes is referred to."""
    found = _SLICE.search(packet)
    return None if found is None else found[1][0] & 0x60 != 0
