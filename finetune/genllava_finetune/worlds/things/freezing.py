"""What keeps the suites frozen: fingerprints that ship with them, and are compared whenever they are used.

`python -m genllava_finetune.worlds.things.freezing` records the suites as they are now. Figures measured before and
after that are not to be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from genllava_finetune.worlds import frozen_suites
from genllava_finetune.worlds.base import Frozen, Split
from genllava_finetune.worlds.things.pictures.plan import write_plan
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.suites import SUITES, Case, build_suite

LENGTHS: Final = (50, 250)
"""How many of a suite's first cases are recorded: few, quick to check, and as many as figures are made of."""
_PICTURES: Final = 4
"""Of how many cases the pictures are part of the fingerprint."""
_RECORD: Final = Path(__file__).with_name("frozen.json")


def fingerprint(cases: Sequence[Case]) -> str:
    """SHA-256 of what is asked, about which scenes, with which seeds, and of what is right."""
    digest = hashlib.sha256()
    for number, case in enumerate(cases):
        for turn, brought in zip(case.turns, case.brought, strict=True):
            parts = [turn.user, turn.aspect, " ".join(turn.tasks), *(_describe(shown.scene) for shown in brought)]
            parts += [step.model_dump_json(exclude_defaults=True) for step in turn.steps]
            parts += [_describe(scene) for scene in turn.view.sources]
            digest.update("\x1f".join(parts).encode())
        digest.update(f"\x1e{case.seed} {case.look}\x1e".encode())
        if number < _PICTURES:
            for picture in (picture for pictures in case.pictures for picture in pictures):
                digest.update(frozen_suites.coarsely(picture))
    return digest.hexdigest()


def _describe(scene: Scene | None) -> str:
    """The scene, and where its items lie."""
    if scene is None:
        return "unreadable"
    return write_plan(scene) + "|" + ",".join(f"{x:.4f} {y:.4f}" for x, y in (item.shift for item in scene))


def check_frozen(name: str, split: Split, cases: Sequence[Case]) -> Frozen:
    """Whether the beginning of a suite is what was recorded."""
    return frozen_suites.compare(_RECORD, LENGTHS, fingerprint, name, split, cases)


def freeze() -> None:
    """Record all suites as they are now."""
    frozen_suites.record(_RECORD, LENGTHS, fingerprint, SUITES, build_suite)


if __name__ == "__main__":
    freeze()
