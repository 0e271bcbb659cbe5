"""Prepare the drawings of things: what `genllava data prepare things` does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genllava_finetune.data.durable_files import whole_file
from genllava_finetune.data.errors import DataError
from genllava_finetune.worlds.things.art.archives import fetch
from genllava_finetune.worlds.things.art.drawings import draw_all
from genllava_finetune.worlds.things.art.sprites import CARD, NOTICE, card, is_prepared, packages, pins, place
from genllava_finetune.worlds.things.knowledge.things import STYLES, things

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME: Final = "things"
SUMMARY: Final = "drawings of things in three styles, for the world of things; needs no -o"
LICENSES: Final = "MIT, Apache-2.0"


def prepare_art(source: Path | None = None, output: Path | None = None) -> Path:
    """Make the drawings and put them into the cache, whole or not at all.

    Args:
        source: a folder with the packages' archives, or with what they hold. None fetches them with an npm client.
        output: the folder to make. None for the one where `art_folder()` looks.

    Returns:
        The folder. What it held is kept where it is of this version and undamaged.

    Raises:
        NotFetched: the packages cannot be fetched.
        DataError: they are damaged, something else comes out than should, or the folder cannot be written.
    """
    folder = place() if output is None else output.absolute()
    if source is not None and not source.is_dir():
        raise DataError(f"{source} is no folder")
    try:
        with _alone(folder):
            if not (is_prepared(folder) and _same_pixels(folder)):
                _refuse_others_files(folder)
                _make(source, folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error}") from None
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process makes a folder; the others wait for it, and then find it made."""
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield


def _make(source: Path | None, folder: Path) -> None:
    part, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    for left in (part, old):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    try:
        part.mkdir()
        _write(part, _drawn(source))
        if folder.exists():
            os.replace(folder, old)
        os.replace(part, folder)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def _refuse_others_files(folder: Path) -> None:
    if folder.exists() and not (folder / CARD).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is there and holds something else: name another folder")


def _drawn(source: Path | None) -> dict[str, NDArray[np.uint8]]:
    with tempfile.TemporaryDirectory(prefix="genllava-things-") as fetched:
        if source is None:
            fetch(packages(), Path(fetched))
        ordered = sorted(things(), key=lambda thing: thing.file)
        drawn = draw_all(ordered, packages(), source or Path(fetched), pins()["side"])
    for style in STYLES:
        _check(style, drawn[style], pins()["pixels"])
    return drawn


def _check(style: str, pixels: NDArray[np.uint8], wanted: Mapping[str, str]) -> None:
    found = digest(pixels)
    if found != wanted[style]:
        import PIL

        raise DataError(
            f"the drawings in style {style} are not the ones that this version was made with: the hash of their pixels "
            f"is {found}, and should be {wanted[style]}. Check the packages, and the versions of resvg-py "
            f"and pillow ({PIL.__version__})"
        )


def digest(pixels: NDArray[np.uint8]) -> str:
    """SHA-256 over the pixels, in hexadecimal digits."""
    import numpy as np

    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def _same_pixels(folder: Path) -> bool:
    import numpy as np

    try:
        return all(digest(np.load(folder / f"{style}.npy")) == pins()["pixels"][style] for style in STYLES)
    except (OSError, ValueError):
        return False


def _write(folder: Path, drawn: Mapping[str, NDArray[np.uint8]]) -> None:
    import numpy as np

    for style in STYLES:
        with whole_file(folder / f"{style}.npy") as file:
            np.save(file, drawn[style], allow_pickle=False)
    with whole_file(folder / NOTICE) as file:
        file.write(Path(__file__).with_name(NOTICE).read_bytes())
    with whole_file(folder / CARD) as file:
        file.write(json.dumps(card(), indent=1, ensure_ascii=False).encode())
