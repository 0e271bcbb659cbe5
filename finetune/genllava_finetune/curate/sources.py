"""What a curation starts from: pictures with captions and boxes, and pairs of pictures before and after an edit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genllava.errors import InvalidRequest
from genllava_finetune.data.converters.json_records import json_members, json_objects
from genllava_finetune.data.errors import DataError, RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Origin, Rejected

_COCO_KEYS: Final = frozenset(("info", "licenses", "images", "annotations", "categories"))
_Share = Annotated[float, Field(ge=0, le=1)]
_Words = Annotated[str, Field(min_length=1, max_length=4000)]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a thing is: its category, and left, top, right and bottom as shares of the picture's width and height."""

    category: str
    corners: tuple[float, float, float, float]

    def line(self) -> str:
        """The box in words, as a language model reads it."""
        return f"{self.category}: [{', '.join(f'{share:.3f}' for share in self.corners)}]"


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, or a pair of pictures before and after an edit.

    Attributes:
        id: unique in its file.
        image: the picture's file.
        captions: what it shows.
        boxes: where things are in it.
        edited: the picture after the edit; None where there is no pair.
        edited_captions: what that shows.
        instruction: how somebody asked for the edit, where that is known.
    """

    id: str
    image: Path
    captions: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    edited: Path | None = None
    edited_captions: tuple[str, ...] = ()
    instruction: str = ""


class _BoxLine(BaseModel):
    category: _Words
    box: tuple[_Share, _Share, _Share, _Share]


class _Line(BaseModel):
    """A record of a file of lines; other fields that it may have are not used."""

    model_config = ConfigDict(extra="ignore", str_strip_whitespace=True)

    id: str | int | None = None
    image: str
    captions: tuple[_Words, ...] = ()
    boxes: tuple[_BoxLine, ...] = ()
    edited_image: str | None = None
    edited_captions: tuple[_Words, ...] = ()
    instruction: str = Field(default="", max_length=4000)


def read_scenes(
    path: Path, images: Path | None = None, instances: Path | None = None
) -> Iterator[tuple[Origin, Scene | Rejected]]:
    """The scenes of a file, each with its place; `Rejected` for a record that is none.

    Args:
        path: COCO's captions, or JSON lines (or a JSON list) of {"image", "captions", "boxes": [{"category", "box":
            [left, top, right, bottom]}]} with shares from 0 to 1, or of {"image", "edited_image", "captions",
            "edited_captions", "instruction"}.
        images: folder that names of pictures are relative to; None: the folder of the file.
        instances: COCO's boxes for COCO's captions.

    Raises:
        InvalidRequest: there is no such file or folder.
        DataError: a file cannot be read.
    """
    root = path.parent if images is None else images
    for file in (path, instances):
        if file is not None and not file.is_file():
            raise InvalidRequest(f"there is no file {file}")
    if not root.is_dir():
        raise InvalidRequest(f"there is no folder {root}")
    known = dict[str, int]()
    for origin, value in _records(path, instances):
        found = value if isinstance(value, Rejected) else _scene(value, root)
        if isinstance(found, Scene) and found.id in known:
            found = Rejected(f"the record {known[found.id]} has the same id", found.id)
        elif isinstance(found, Scene):
            known[found.id] = origin.line
        yield origin, found


def _records(path: Path, instances: Path | None) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    if _is_coco(path):
        return _coco(path, instances)
    if instances is not None:
        raise InvalidRequest(f"boxes from {instances} go with COCO's captions, and {path} has another form")
    return json_objects(path)


def _is_coco(path: Path) -> bool:
    try:
        return next(iter(json_members(path)), (None, ""))[1] in _COCO_KEYS
    except DataError:  # it does not begin with an object; what cannot be read is told where the records are
        return False


def _coco(path: Path, instances: Path | None) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    """The records of COCO's files in the order of its pictures."""
    captions = dict[Any, list[str]]()
    for origin, value in json_objects(path, "annotations"):
        if isinstance(value, Rejected):
            yield origin, value
        else:
            captions.setdefault(value.get("image_id"), []).append(value.get("caption", ""))
    boxes = {} if instances is None else _coco_boxes(instances)
    for origin, value in json_objects(path, "images"):
        if isinstance(value, Rejected):
            yield origin, value
            continue
        key = value.get("id")
        found = {"id": key, "image": value.get("file_name"), "captions": captions.get(key, [])}
        yield origin, found | {"boxes": boxes.get(key, [])}


def _coco_boxes(path: Path) -> dict[Any, list[dict[str, Any]]]:
    """Boxes by picture. COCO has left, top, width and height in pixels."""
    try:
        names = {value["id"]: value["name"] for _, value in _whole(path, "categories")}
        sizes = {value["id"]: (value["width"], value["height"]) for _, value in _whole(path, "images")}
        found = dict[Any, list[dict[str, Any]]]()
        for _, value in _whole(path, "annotations"):
            left, top, width, height = value["bbox"]
            across, down = sizes[value["image_id"]]
            corners = (left / across, top / down, (left + width) / across, (top + height) / down)
            inside = [min(1.0, max(0.0, share)) for share in corners]
            found.setdefault(value["image_id"], []).append({"category": names[value["category_id"]], "box": inside})
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{path} has not the form of COCO's instances: {type(error).__name__} {error}") from None
    return found


def _whole(path: Path, key: str) -> Iterator[tuple[Origin, dict[str, Any]]]:
    for origin, value in json_objects(path, key):
        if isinstance(value, Rejected):
            raise DataError(f"{path}, {key}, record {origin.line}: {value.reason}")
        yield origin, value


def _scene(value: dict[str, Any], root: Path) -> Scene | Rejected:
    try:
        line = _Line.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return Rejected(f"{place}: {first['msg']}", str(value.get("id", "")))
    key = line.image if line.id is None else str(line.id)
    try:
        image = picture_path(root, line.image)
        edited = None if line.edited_image is None else picture_path(root, line.edited_image)
    except RowError as error:
        return Rejected(str(error), key)
    boxes = tuple(Box(each.category, each.box) for each in line.boxes)
    return Scene(key, image, line.captions, boxes, edited, line.edited_captions, line.instruction)
