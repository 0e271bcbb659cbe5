"""What keeps the suites frozen: fingerprints that ship with them, and are compared whenever they are used.

`python -m genllava_finetune.worlds.shapes.freezing` records the suites as they are now. Figures measured before and
after that are not to be compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image
from tqdm import tqdm

from genllava_finetune.worlds.base import Frozen
from genllava_finetune.worlds.shapes.dialogue import Step
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import Split
from genllava_finetune.worlds.shapes.suites import SUITES, Case, build_suite

LENGTHS: Final = (50, 500)
"""How many of a suite's first cases are recorded: few, quick to check, and as many as figures are made of."""
SPLITS: Final[tuple[Split, ...]] = ("dev", "test")
_PICTURES: Final = 10
"""Of how many cases the pictures are part of the fingerprint."""
_RECORD: Final = Path(__file__).with_name("frozen.json")


def fingerprint(cases: Sequence[Case]) -> str:
    """SHA-256 of what is asked, about which scenes, with which seeds, and of what is right."""
    digest = hashlib.sha256()
    for number, case in enumerate(cases):
        for turn in case.dialogue.turns:
            parts = [turn.user, *map(_describe, turn.images)]
            parts += map(_right, turn.steps)
            digest.update("\x1f".join(parts).encode())
        digest.update(f"\x1e{case.seed}\x1e".encode())
        if number < _PICTURES:
            for picture in (picture for pictures in case.pictures for picture in pictures):
                digest.update(_coarsely(picture))
    return digest.hexdigest()


def _right(step: Step) -> str:
    """What is to be said, or drawn; how a plan puts it is the model's affair."""
    return f"{step.task} {step.source} {_describe(step.target)}" if step.target else f"{step.task} {step.text}"


def _describe(scene: Scene | None) -> str:
    """The scene with its jitter."""
    if scene is None:
        return ""
    return scene.signature + "|" + ",".join(f"{thing.dx} {thing.dy}" for thing in scene.things)


def _coarsely(picture: Image.Image) -> bytes:
    """Size and look, without what a version of an image library may round otherwise."""
    small = picture.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return f"{picture.size}".encode() + bytes(value // 32 for value in small.tobytes())


def check_frozen(name: str, split: Split, cases: Sequence[Case]) -> Frozen:
    """Whether the beginning of a suite is what was recorded."""
    recorded: dict[str, dict[str, dict[str, str]]] = json.loads(_RECORD.read_text())
    lengths = [length for length in LENGTHS if length <= len(cases)]
    if not lengths:
        return "too short to say"
    known = recorded.get(split, {}).get(name, {}).get(str(lengths[-1]))
    return "as recorded" if known == fingerprint(cases[: lengths[-1]]) else "changed"


def freeze() -> None:
    """Record all suites as they are now."""
    record: dict[str, dict[str, dict[str, str]]] = {split: {} for split in SPLITS}
    for split in SPLITS:
        for name in tqdm(SUITES, desc=split):
            cases = build_suite(name, split, max(LENGTHS))
            record[split][name] = {str(length): fingerprint(cases[:length]) for length in LENGTHS}
    _RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    freeze()
