"""InstructPix2Pix: pairs of generated pictures with an instruction, as a folder or as the table of the hub.

The folder has `seeds.json`, `[["0000001", ["12345", ...]], ...]`, and in each folder that it names `prompt.json`
(`caption` or `input`, `edit`, `output`) and the pictures `{seed}_0.jpg` and `{seed}_1.jpg`. Where there is no
`seeds.json`, the seeds are those of the `metadata.jsonl` of each folder. The table has the columns `original_image`,
`edit_prompt` and `edited_image`. Both give the same rows; the captions of the two pictures are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from genllava_finetune.data.converters.edit_tables import edit_records
from genllava_finetune.data.converters.edit_turns import pair_row, picture_file, words
from genllava_finetune.data.converters.json_records import json_objects, json_values
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Converter, Origin, Record, Rejected, Source
from genllava_finetune.data.rows import Row

_NAME, _LICENSE = "instructpix2pix", "unknown"
_COLUMNS = ("original_image", "edit_prompt", "edited_image")


def _read(source: Source) -> Iterator[Record]:
    location = Path(source.location)
    if location.name == "seeds.json" and location.is_file():
        location = location.parent
    if (location / "seeds.json").is_file() or next(location.glob("*/prompt.json"), None):
        return _folder(location)
    return edit_records(source, _COLUMNS, name=_NAME, license=_LICENSE)


def _folder(root: Path) -> Iterator[Record]:
    seeds = _listed_seeds(root) if (root / "seeds.json").is_file() else _found_seeds(root)
    for origin, folder, names in seeds:
        if isinstance(folder, Rejected):
            yield Record(origin, (folder,))
            continue
        try:
            instruction = _instruction(root, folder)
        except RowError as error:
            yield Record(origin, (Rejected(str(error), folder),))
            continue
        for seed in names:
            yield Record(origin, (_seed(root, folder, seed, instruction),))


def _seed(root: Path, folder: str, seed: str | int, instruction: str) -> Row | Rejected:
    try:
        pictures = [picture_file(root, f"{folder}/{seed}_{part}.jpg") for part in (0, 1)]
        return pair_row(pictures[0], instruction, pictures[1], source=_NAME, license=_LICENSE)
    except RowError as error:
        return Rejected(str(error), f"{folder}/{seed}")


def _listed_seeds(root: Path) -> Iterator[tuple[Origin, str | Rejected, Iterable[Any]]]:
    """Origin, folder and seeds of each entry of `seeds.json`."""
    for origin, entry in json_values(root / "seeds.json"):
        match entry:
            case [str() as folder, [*seeds]] if all(isinstance(seed, str | int) for seed in seeds):
                yield origin, folder, seeds
            case Rejected():
                yield origin, entry, ()
            case _:
                yield origin, Rejected(f"the entry is not [folder, [seeds]]: {entry!r:.200}"), ()


def _found_seeds(root: Path) -> Iterator[tuple[Origin, str | Rejected, Iterable[Any]]]:
    """Origin, folder and seed of each line of each folder's `metadata.jsonl`."""
    for folder in sorted(path.name for path in root.iterdir() if (path / "prompt.json").is_file()):
        metadata = root / folder / "metadata.jsonl"
        if not metadata.is_file():
            origin = Origin(str(metadata), 1)
            yield origin, Rejected("there is no seeds.json, and no metadata.jsonl in this folder", folder), ()
            continue
        for origin, line in json_objects(metadata):
            if isinstance(line, Rejected):
                yield origin, Rejected(line.reason, folder), ()
            elif isinstance(line.get("seed"), str | int):
                yield origin, folder, (line["seed"],)
            else:
                yield origin, Rejected("the line has no seed", folder), ()


def _instruction(root: Path, folder: str) -> str:
    """What the `prompt.json` of a folder says to edit.

    Raises:
        RowError: it says nothing, or there is none.
    """
    if not (root / folder).is_dir():
        raise RowError(f"there is no folder of that name: {folder:.200} in {root}")
    if not (root / folder / "prompt.json").is_file():
        raise RowError(f"there is no prompt.json in the folder: {folder:.200}")
    file = picture_path(root, f"{folder}/prompt.json")
    try:
        prompt = json.loads(file.read_bytes())
    except OSError as error:
        raise RowError(f"prompt.json cannot be read: {file}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RowError(f"prompt.json is no JSON: {file}: {error!s:.200}") from None
    if not isinstance(prompt, dict) or "edit" not in prompt:
        raise RowError(f"prompt.json says no edit: {file}")
    return words(prompt["edit"], "instruction")


CONVERTERS = (Converter(_NAME, _LICENSE, "InstructPix2Pix: its folder of pairs, or its table of the hub.", _read),)
