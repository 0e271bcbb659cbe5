"""Fingerprints: what is the same in two rows, and which pictures are copies of each other.

Exact sameness is a digest of bytes. A copy that was saved again or scaled has another digest and nearly the same
perceptual hash (`imagehash.phash`, 64 bits), which `NearHashes` finds without comparing everything with everything.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

HASH_BITS: Final = 64
MOST_BITS_APART: Final = 16
"""Farther apart than this, perceptual hashes of different photographs are mistaken for each other."""


def digest(data: bytes) -> bytes:
    """16 bytes that stand for `data`."""
    return hashlib.blake2b(data, digest_size=16).digest()


def row_digest(row: Row, pictures: Sequence[bytes]) -> bytes:
    """Stands for what a row teaches: its messages, tools and pictures, without id, source and licence.

    Args:
        pictures: the digests of its pictures.

    Raises:
        RowError: a tool's arguments hold what JSON cannot, such as NaN.
    """
    messages = [message.model_dump(exclude_none=True) for message in row.messages]
    try:
        words = json.dumps([messages, list(row.tools)], sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RowError(f"a tool's arguments or description cannot be written as JSON: {error}") from None
    return digest(b"".join(pictures) + words.encode())


def question_digests(row: Row, pictures: Sequence[bytes]) -> list[bytes]:
    """One for each message of the user with words and a picture in or before it: the words, and the pictures so far.

    Args:
        pictures: the digests of the row's pictures.
    """
    found, shown = list[bytes](), 0
    for message in row.messages:
        shown += sum(block.type in ("image", "draw", "edit") for block in message.content)
        words = "\n".join(block.text.strip() for block in message.content if block.type == "text")
        if message.role == "user" and shown and words:
            found.append(digest(b"".join(pictures[:shown]) + words.encode("utf-8", "surrogatepass")))
    return found


def perceptual_hash(image: Image.Image) -> int:
    """The 64 bits of a picture's perceptual hash; few of them change where it is saved again or scaled."""
    import imagehash

    return int(str(imagehash.phash(image)), 16)


class NearHashes:
    """64-bit hashes, searched for those within a Hamming distance.

    The bits are cut into `distance + 1` bands. Two hashes within `distance` have at least one band in common, so only
    hashes that share a band are compared: a small part of all, as long as `distance` is small.
    """

    def __init__(self, hashes: Sequence[int], distance: int) -> None:
        """Index `hashes`.

        Args:
            distance: bits, of 64, in which a hash that is found may differ at most; 0 to 16.

        Raises:
            DataError: `distance` is outside.
        """
        import numpy as np

        if not 0 <= distance <= MOST_BITS_APART:
            raise DataError(f"perceptual hashes are compared within 0 to {MOST_BITS_APART} bits, not {distance}")
        self.distance = distance
        self.hashes: NDArray[np.uint64] = np.asarray(hashes, np.uint64)
        edges = np.linspace(0, HASH_BITS, distance + 2).round().astype(int).tolist()
        self._bands = [
            (np.uint64(start), np.uint64((1 << (end - start)) - 1)) for start, end in itertools.pairwise(edges)
        ]
        self._orders, self._keys = list[Any](), list[Any]()
        for shift, mask in self._bands:
            keys = (self.hashes >> shift) & mask
            order = np.argsort(keys, kind="stable")
            self._orders.append(order)
            self._keys.append(keys[order])

    def near(self, value: int) -> list[tuple[int, int]]:
        """Indices of the hashes within the distance of `value`, each with its distance, nearest first."""
        import numpy as np

        wanted, found = np.uint64(value), dict[int, int]()
        for (shift, mask), order, keys in zip(self._bands, self._orders, self._keys, strict=True):
            key = (wanted >> shift) & mask
            candidates = order[np.searchsorted(keys, key) : np.searchsorted(keys, key, side="right")]
            apart = np.bitwise_count(self.hashes[candidates] ^ wanted)
            close = apart <= self.distance
            found |= zip(candidates[close].tolist(), apart[close].tolist(), strict=True)
        return sorted(found.items(), key=lambda pair: (pair[1], pair[0]))
