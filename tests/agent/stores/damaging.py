"""What disks do to files."""

from __future__ import annotations

import random
from collections.abc import Callable

Damage = Callable[[bytearray], object]
_PAGE = 4096


def flips(size: int, count: int) -> list[Damage]:
    """Single bits, many of them in the head of the file."""
    numbers = random.Random(1)

    def flip(place: int, bit: int) -> Damage:
        def damage(data: bytearray) -> None:
            data[place] ^= 1 << bit

        return damage

    places = sorted({*range(0, 100, 3), *(numbers.randrange(size) for _ in range(count))})
    return [flip(place, numbers.randrange(8)) for place in places]


def cuts(size: int, count: int) -> list[Damage]:
    """Files that end too early."""

    def cut(length: int) -> Damage:
        def damage(data: bytearray) -> None:
            del data[length:]

        return damage

    return [cut(size * number // count) for number in range(count)]


def zeros(pages: int) -> list[Damage]:
    """Pages that were lost."""

    def zero(page: int) -> Damage:
        def damage(data: bytearray) -> None:
            data[page * _PAGE : (page + 1) * _PAGE] = bytes(_PAGE)

        return damage

    return [zero(page) for page in range(pages)]


def swaps(pages: int) -> list[Damage]:
    """Pages that were mixed up."""

    def swap(page: int) -> Damage:
        def damage(data: bytearray) -> None:
            first, second = slice(page * _PAGE, (page + 1) * _PAGE), slice((page + 1) * _PAGE, (page + 2) * _PAGE)
            data[first], data[second] = data[second], data[first]

        return damage

    return [swap(page) for page in range(pages - 1)]
