"""What keeps the suites of a world frozen: a file of fingerprints that ships with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image
from tqdm import tqdm

from genllava_finetune.worlds.base import Frozen, Split

SPLITS: Final[tuple[Split, ...]] = ("dev", "test")
"""The splits whose suites are recorded."""
Fingerprint = Callable[[Sequence[Any]], str]
"""SHA-256 of cases: of what is asked, of what pictures show, and of what is right."""


def coarsely(picture: Image.Image) -> bytes:
    """Size and look, without what a version of an image library may round otherwise."""
    small = picture.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return f"{picture.size}".encode() + bytes(value // 32 for value in small.tobytes())


def compare(
    file: Path, lengths: Sequence[int], fingerprint: Fingerprint, name: str, split: Split, cases: Sequence[Any]
) -> Frozen:
    """Whether the beginning of a suite is what was recorded.

    Args:
        file: the record.
        lengths: of how many first cases it has fingerprints, the fewest first.
    """
    recorded: dict[str, dict[str, dict[str, str]]] = json.loads(file.read_text())
    short = [length for length in lengths if length <= len(cases)]
    if not short:
        return "too short to say"
    known = recorded.get(split, {}).get(name, {}).get(str(short[-1]))
    return "as recorded" if known == fingerprint(cases[: short[-1]]) else "changed"


def record(
    file: Path, lengths: Sequence[int], fingerprint: Fingerprint, names: Iterable[str],
    build: Callable[[str, Split, int], Sequence[Any]],
) -> None:  # fmt: skip
    """Record suites as they are now.

    Args:
        names: of the suites.
        build: the first so many cases of a suite and a split.
    """
    found: dict[str, dict[str, dict[str, str]]] = {split: {} for split in SPLITS}
    for split in SPLITS:
        for name in tqdm(list(names), desc=split):
            cases = build(name, split, max(lengths))
            found[split][name] = {str(length): fingerprint(cases[:length]) for length in lengths}
    file.write_text(json.dumps(found, indent=1) + "\n")
