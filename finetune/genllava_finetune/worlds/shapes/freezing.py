"""What keeps the suites frozen: fingerprints that ship with them, and are compared whenever they are used.

`python -m genllava_finetune.worlds.shapes.freezing` records the suites as they are now. Figures measured before and
after that are not to be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from genllava_finetune.worlds import frozen_suites
from genllava_finetune.worlds.base import Frozen
from genllava_finetune.worlds.shapes.dialogue import Step
from genllava_finetune.worlds.shapes.scene import Scene
from genllava_finetune.worlds.shapes.splits import Split
from genllava_finetune.worlds.shapes.suites import SUITES, Case, build_suite

LENGTHS: Final = (50, 500)
"""How many of a suite's first cases are recorded: few, quick to check, and as many as figures are made of."""
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
                digest.update(frozen_suites.coarsely(picture))
    return digest.hexdigest()


def _right(step: Step) -> str:
    """What is to be said, or drawn; how a plan puts it is the model's affair."""
    return f"{step.task} {step.source} {_describe(step.target)}" if step.target else f"{step.task} {step.text}"


def _describe(scene: Scene | None) -> str:
    """The scene with its jitter."""
    if scene is None:
        return ""
    return scene.signature + "|" + ",".join(f"{thing.dx} {thing.dy}" for thing in scene.things)


def check_frozen(name: str, split: Split, cases: Sequence[Case]) -> Frozen:
    """Whether the beginning of a suite is what was recorded."""
    return frozen_suites.compare(_RECORD, LENGTHS, fingerprint, name, split, cases)


def freeze() -> None:
    """Record all suites as they are now."""
    frozen_suites.record(_RECORD, LENGTHS, fingerprint, SUITES, build_suite)


if __name__ == "__main__":
    freeze()
