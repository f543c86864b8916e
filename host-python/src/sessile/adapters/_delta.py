"""What has changed between two values, as bytes: so that a state that grows is not written again and again.

A difference is a list of pieces, in order: ``[offset, length]`` of the old bytes, or ``[length]`` of the new ones,
which stand one behind the other.
"""

from __future__ import annotations

from collections.abc import Sequence

PROBE = 32
"""So many equal bytes are taken for the place where the old goes on."""
PROBES_MAX = 256
"""So many places are tried before the rest is taken for new."""


def difference(old: bytes, new: bytes) -> tuple[list[list[int]], bytes]:
    """The pieces that make the new bytes of the old ones, and what is not in the old ones. Finds what stays where
    something was added, removed or replaced, at the ends and inside; not what changes its order."""
    tail = _common_tail(old, new)
    old_end, new_end = len(old) - tail, len(new) - tail
    pieces: list[list[int]] = []
    literal = bytearray()
    behind = at = 0
    while at < new_end:
        length = _common(old, behind, old_end, new, at, new_end)
        if length < PROBE:
            found = _next(old, behind, old_end, new, at, new_end)
            upto = new_end if found is None else found[1]
            _add(pieces, [upto - at])
            literal += new[at:upto]
            if found is None:
                break
            behind, at = found
            length = _common(old, behind, old_end, new, at, new_end)
        pieces.append([behind, length])
        behind, at = behind + length, at + length
    if tail:
        pieces.append([old_end, tail])
    return pieces, bytes(literal)


def apply(old: bytes, pieces: Sequence[Sequence[int]], literal: bytes) -> bytes:
    """The new bytes."""
    made = []
    at = 0
    for piece in pieces:
        if len(piece) == 2:
            made.append(old[piece[0] : piece[0] + piece[1]])
        else:
            made.append(literal[at : at + piece[0]])
            at += piece[0]
    return b"".join(made)


def _add(pieces: list[list[int]], piece: list[int]) -> None:
    if piece[0]:
        pieces.append(piece)


def _next(old: bytes, behind: int, old_end: int, new: bytes, at: int, new_end: int) -> tuple[int, int] | None:
    """The next place in the new bytes that the old ones have too, and where. Steps grow, so that much that is new
    costs no more than the bytes of it."""
    step = PROBE // 2
    probe = at + step
    for tries in range(PROBES_MAX):
        if probe + PROBE > new_end or behind + PROBE > old_end:
            return None
        place = old.find(new[probe : probe + PROBE], behind, old_end)
        if place >= 0:
            back = 0
            while back < min(probe - at, place - behind) and old[place - back - 1] == new[probe - back - 1]:
                back += 1
            return place - back, probe - back
        if tries % 32 == 31:
            step *= 2
        probe += step
    return None


def _common(old: bytes, i: int, old_end: int, new: bytes, j: int, new_end: int) -> int:
    """How many bytes are equal from two places on."""
    low, high = 0, min(old_end - i, new_end - j)
    if old[i : i + high] == new[j : j + high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if old[i + low : i + middle] == new[j + low : j + middle]:
            low = middle
        else:
            high = middle
    return low


def _common_tail(old: bytes, new: bytes) -> int:
    """How many bytes are equal at the ends."""
    low, high = 0, min(len(old), len(new)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle
    return low
