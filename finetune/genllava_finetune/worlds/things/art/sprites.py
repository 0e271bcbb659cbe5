"""The drawings of things: sprites in three styles, prepared once into a cache and read from there.

The repository holds no copy of them: `genllava data prepare things` makes them from public packages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from genllava_finetune.data.errors import DataError
from genllava_finetune.worlds.things.art.archives import Package
from genllava_finetune.worlds.things.knowledge.things import STYLES, things

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMAND: Final = "genllava data prepare things"
VARIABLE: Final = "GENLLAVA_THINGS_ART"
CARD: Final = "art.json"
"""The file that says what a folder of art holds."""

NOTICE: Final = "NOTICE.txt"


class ArtMissing(DataError):
    """The drawings of things are not prepared, or are not those of this version; the message says what to run."""


@lru_cache(maxsize=1)
def pins() -> Mapping[str, Any]:
    """What the drawings are made from and what must come out: `side`, `packages` and `pixels`."""
    import yaml

    return MappingProxyType(yaml.safe_load(Path(__file__).with_name("pins.yaml").read_text(encoding="utf-8")))


def packages() -> tuple[Package, ...]:
    """The packages that the drawings are made from."""
    return tuple(Package(**each) for each in pins()["packages"])


def card() -> dict[str, Any]:
    """What a folder of this version's drawings says of itself: their names, side and hashes."""
    return {
        "names": {thing.file: thing.name for thing in sorted(things(), key=lambda thing: thing.file)},
        "side": pins()["side"],
        "packages": {package.name: package.version for package in packages()},
        "pixels": pins()["pixels"],
    }


def place() -> Path:
    """The folder that the drawings are kept in: the one that GENLLAVA_THINGS_ART names, or one of the user's cache."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("genllava", appauthor=False) / "things-art"


def art_folder() -> Path:
    """The folder with the prepared drawings.

    Raises:
        ArtMissing: there is none, or it is of another version.
    """
    folder = place()
    if not is_prepared(folder):
        what = "is of another version or incomplete" if (folder / CARD).is_file() else "is not there"
        raise ArtMissing(f"the drawings of things are not prepared ({folder} {what}): run {COMMAND}")
    return folder


def is_prepared(folder: Path) -> bool:
    """Whether the folder holds the drawings of this version."""
    try:
        says = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(says == card()) and all((folder / f"{style}.npy").is_file() for style in STYLES)


@lru_cache(maxsize=1)
def sprites() -> Mapping[str, Mapping[str, NDArray[np.uint8]]]:
    """All sprites by style and by the thing's name.

    Each is uint8 [160, 160, 4], read-only, its colours not multiplied by the opacity. They stay in the file until
    looked at, and processes share them.

    Raises:
        ArtMissing: they are not prepared, or are damaged.
    """
    import numpy as np

    folder, says = art_folder(), card()
    side, found = says["side"], {}
    for style in STYLES:
        file = folder / f"{style}.npy"
        try:
            stack = np.load(file, mmap_mode="r").view(np.ndarray)
        except (OSError, ValueError) as error:
            raise ArtMissing(f"{file} is damaged ({error}): delete {folder} and run {COMMAND}") from None
        if stack.shape != (len(says["names"]), side, side, 4) or stack.dtype != np.uint8:
            raise ArtMissing(f"{file} holds something else: delete {folder} and run {COMMAND}")
        found[style] = MappingProxyType(dict(zip(says["names"].values(), stack, strict=True)))
    return MappingProxyType(found)
