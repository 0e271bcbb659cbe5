"""The pictures of the page of all tools: what each makes of a photograph that scikit-image ships.

    python -m genllava_tools.docs docs/tools.md --pictures
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypedDict

from PIL import Image

from genllava.errors import GenLlavaError, InvalidRequest
from genllava_tools.docs_examples import EXAMPLES, PHOTOGRAPHS, STEPS
from genllava_tools.picture_files import on_white
from genllava_tools.registry import built_in, find
from genllava_tools.tool import VisualTool

RESULTS: Final = "results.json"
"""The file beside the pictures that says what they are."""
LONGEST: Final = 240
"""Pixels of the longer side of a picture on the page."""


class Shown(TypedDict):
    """What the page shows of a tool.

    Attributes:
        call: in Python.
        before: the names of the files of the pictures that it was given.
        after: of those that it made.
        text: what it said.
    """

    call: str
    before: list[str]
    after: list[str]
    text: str


def make(folder: Path) -> dict[str, str]:
    """Run the example of each tool that can run here, and write small pictures of what went in and came out.

    Args:
        folder: for the pictures and `RESULTS`; what another machine made there for tools that cannot run here stays.

    Returns:
        The tools without a picture, and why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown, left = read(folder), dict[str, str]()
    for tool in built_in():
        if tool.name not in EXAMPLES:
            left[tool.name] = "it has no example"
            continue
        try:
            shown[tool.name] = _shown(tool, EXAMPLES[tool.name], folder)
        except GenLlavaError as error:
            left[tool.name] = str(error)
    known = {tool.name for tool in built_in()}
    shown = {name: each for name, each in shown.items() if name in known}
    used = {file for each in shown.values() for file in (*each["before"], *each["after"])}
    for file in folder.iterdir():
        if file.name not in used and file.name != RESULTS:
            file.unlink()
    text = json.dumps(shown, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / RESULTS).write_text(text, encoding="utf-8")
    return left


def read(folder: Path | None) -> dict[str, Shown]:
    """What the page shows, by tool; nothing where no pictures were made."""
    if folder is None or not (folder / RESULTS).is_file():
        return {}
    found: dict[str, Shown] = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    return found


def source(name: str) -> Image.Image:
    """A picture that examples are run on: a photograph, or what a tool makes of one.

    Raises:
        InvalidRequest: there is none of that name.
    """
    if name in STEPS:
        tool, arguments = STEPS[name]
        return find(tool).run(find(tool).with_pictures(arguments, source)).image
    if name not in PHOTOGRAPHS:
        raise InvalidRequest(f"there is no picture {name!r} for examples")
    return photograph(PHOTOGRAPHS[name])


def photograph(file: str) -> Image.Image:
    """A photograph that scikit-image ships, by the name of its file, as RGB."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / file) as image:
        return image.convert("RGB")


def _shown(tool: VisualTool, example: Mapping[str, Any], folder: Path) -> Shown:
    result = tool.run(tool.with_pictures(example, source))
    named = [each for name in tool.pictures if name in example for each in _listed(example[name])]
    before = [_write(source(each), folder, each) for each in dict.fromkeys(named)]
    many = len(result.images) > 1
    after = [
        _write(image, folder, f"{tool.name}_after{f'_{at + 1}' * many}") for at, image in enumerate(result.images)
    ]
    return Shown(call=_call(tool, example), before=before, after=after, text=result.text)


def _call(tool: VisualTool, example: Mapping[str, Any]) -> str:
    """A call in Python, with the names of pictures as variables."""

    def written(name: str, value: Any) -> str:
        if name not in tool.pictures:
            return repr(value)
        return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)

    given = [f"{name}={written(name, value)}" for name, value in example.items()]
    if given and next(iter(example)) in tool.pictures:
        given[0] = given[0].partition("=")[2]
    return f'find("{tool.name}")({", ".join(given)})'


def _write(image: Image.Image, folder: Path, name: str) -> str:
    """Write a picture, small, in the format that is the smaller one; the name of the file."""
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    png, jpeg = io.BytesIO(), io.BytesIO()
    small.save(png, "PNG", optimize=True)
    on_white(small).convert("RGB").save(jpeg, "JPEG", quality=80, optimize=True)
    keep = png if small.has_transparency_data or len(png.getvalue()) <= len(jpeg.getvalue()) else jpeg
    file = folder / f"{name}.{'png' if keep is png else 'jpg'}"
    file.write_bytes(keep.getvalue())
    return file.name


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
