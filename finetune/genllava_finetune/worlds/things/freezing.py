"""What keeps the suites frozen: fingerprints that ship with them, and are compared whenever they are used.

`python -m genllava_finetune.worlds.things.freezing` records the suites as they are now. Figures measured before and
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

from genllava_finetune.worlds.base import Frozen, Split
from genllava_finetune.worlds.things.pictures.plan import write_plan
from genllava_finetune.worlds.things.pictures.scene import Scene
from genllava_finetune.worlds.things.suites import SUITES, Case, build_suite

LENGTHS: Final = (50, 250)
"""How many of a suite's first cases are recorded: few, quick to check, and as many as figures are made of."""
SPLITS: Final[tuple[Split, ...]] = ("dev", "test")
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
                digest.update(_coarsely(picture))
    return digest.hexdigest()


def _describe(scene: Scene | None) -> str:
    """The scene, and where its items lie."""
    if scene is None:
        return "unreadable"
    return write_plan(scene) + "|" + ",".join(f"{x:.4f} {y:.4f}" for x, y in (item.shift for item in scene))


def _coarsely(picture: Image.Image) -> bytes:
    """Size and look, without what a version of an image library may round otherwise."""
    small = picture.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return f"{picture.size}".encode() + bytes(value // 32 for value in small.tobytes())


def check_frozen(name: str, split: Split, cases: Sequence[Case]) -> Frozen:
    """Whether the beginning of a suite is what was recorded."""
    recorded: dict[str, dict[str, dict[str, str]]] = json.loads(_RECORD.read_text()) if _RECORD.is_file() else {}
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
