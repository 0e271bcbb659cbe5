"""Reading the text in a picture, with the PP-OCR models that come in the package `rapidocr`."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava_tools.arguments import BOX_WORDS, Box, Picture
from genllava_tools.coordinates import BoxTuple, box_pixels
from genllava_tools.models import shared
from genllava_tools.packaged import packaged_file, packages, total_size
from genllava_tools.registry import visual_tool

_SURE: Final = 0.8
"""Confidence from which a line counts as text: on photographs without text, patterns are read with less."""
_WIDEST: Final = 1.1
"""Width of a single character, in heights: what is wider is a thing that was taken for a letter."""
_LONGEST: Final = 2000
"""Pixels of the longer side of what is read at once; larger pictures are read at a smaller size."""
_STRIP: Final = 2
"""Longer than so many times their width, large pictures are read in several parts."""
_FLAT: Final = 8
"""Levels of 255 between the darkest and the lightest pixel of a part in which nothing can be written."""

Pixels: TypeAlias = NDArray[np.uint8]
Corners: TypeAlias = NDArray[np.float64]

_lock: Final = threading.Lock()  # the package keeps settings of a call in the object that is called


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text or a word of it.

    Attributes:
        text: what it says.
        confidence: how sure the model is, 0..1.
        corners: of it in pixels, [4, 2], from its own left top one clockwise.
        words: of a line.
    """

    text: str
    confidence: float
    corners: Corners
    words: tuple[Text, ...] = ()

    @property
    def box(self) -> BoxTuple:
        """The box around it, in pixels."""
        (left, top), (right, bottom) = self.corners.min(0).tolist(), self.corners.max(0).tolist()
        return left, top, right, bottom

    @property
    def certain(self) -> bool:
        """Whether it is text for certain."""
        across = float(np.linalg.norm(self.corners[1] - self.corners[0]))
        down = float(np.linalg.norm(self.corners[3] - self.corners[0]))
        return self.confidence >= _SURE and (len(self.text) > 1 or across <= _WIDEST * down)

    def moved(self, factor: Sequence[float], offset: Sequence[float]) -> Text:
        """It elsewhere: each corner times `factor` (x, y), plus `offset`."""
        words = tuple(word.moved(factor, offset) for word in self.words)
        return Text(self.text, self.confidence, self.corners * np.asarray(factor) + np.asarray(offset), words)


@visual_tool(kind="look", needs=packages("rapidocr", "onnxruntime"))
def read_text(
    image: Picture,
    box: Annotated[Box | None, Field(description=f"Read only in this box: {BOX_WORDS}.")] = None,
) -> tuple[str, dict[str, Any]]:
    """Read the text in a picture (OCR): its lines from the top to the bottom, each with its box and how sure it is
    (0 to 1), and the words of each. Give a box to read a part, which also helps with small text in a large picture.
    """
    left, top, right, bottom = box_pixels(box, image.size) if box else (0, 0, *image.size)
    part = np.asarray(image.crop((left, top, right, bottom)))
    found = [line.moved((1, 1), (left, top)) for line in _read(part)]
    lines = in_reading_order([line for line in found if line.certain])
    doubtful = len(found) - len(lines)
    plain = [_plain(line, image) | {"words": [_plain(word, image) for word in line.words]} for line in lines]
    data = {"text": "\n".join(line.text for line in lines), "lines": plain, "doubtful": doubtful}
    notes = ""
    if doubtful:
        notes += f" {doubtful} more {'place' if doubtful == 1 else 'places'} may have text that could not be read."
    if (scale := _LONGEST / max(_window(*part.shape[:2]))) < 1:
        notes += f" It was read at {scale:.0%} of its size: give a box around small text."
    if not lines:
        return f"No text was found.{notes}", data
    words = sum(len(line.words) for line in lines)
    said = [f"{len(lines)} {'line' if len(lines) == 1 else 'lines'} of text with {words} words:{notes}"]
    said += [
        f"{json.dumps(each['text'], ensure_ascii=False)} at {each['box']} (0-1), confidence {each['confidence']:.2f}"
        for each in plain
    ]
    return "\n".join(said), data


def in_reading_order(lines: Sequence[Text]) -> list[Text]:
    """Lines from the top to the bottom, and from the left to the right where they stand side by side."""
    rows: list[list[Text]] = []
    for line in sorted(lines, key=lambda line: line.box[1] + line.box[3]):
        _, top, _, bottom = line.box
        middle = (top + bottom) / 2
        beside = rows[-1][0].box if rows else None
        if beside is not None and beside[1] <= middle <= beside[3] and top <= (beside[1] + beside[3]) / 2 <= bottom:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.box[0])]


def _plain(part: Text, image: Image.Image) -> dict[str, Any]:
    left, top, right, bottom = part.box
    across, down = image.size
    places = (left / across, top / down, right / across, bottom / down)
    box = [round(min(1.0, max(0.0, place)), 4) for place in places]
    return {"text": part.text, "box": box, "confidence": round(part.confidence, 3)}


def _read(pixels: Pixels) -> list[Text]:
    """The lines in a picture [H, W, 3]; a long one is read in parts that overlap."""
    height, width = pixels.shape[:2]
    along = 0 if width >= height else 1
    whole, length = max(width, height), max(_window(height, width))
    if length == whole:
        return _read_part(pixels)
    step = length - length // 8
    starts = [*range(0, whole - length, step), whole - length]
    overlaps = [(start + before + length) / 2 for before, start in itertools.pairwise(starts)]
    found = list[Text]()
    for start, first, last in zip(starts, (0.0, *overlaps), (*overlaps, float(whole)), strict=True):
        part = pixels[:, start : start + length] if along == 0 else pixels[start : start + length]
        offset = (start, 0) if along == 0 else (0, start)
        for line in _read_part(part):
            moved = line.moved((1, 1), offset)
            own = [word for word in moved.words if first <= _middle(word, along) < last]
            if own:  # what the part beside has, too, is left to it
                found.append(moved if len(own) == len(moved.words) else _line_of(own))
    return _joined(found) if along == 0 else found


def _joined(lines: list[Text]) -> list[Text]:
    """Lines whose halves were read in different parts, in one piece again."""
    made = list[Text]()
    for line in in_reading_order(lines):
        if made:
            _, top, right, bottom = made[-1].box
            height = bottom - top
            overlap = min(bottom, line.box[3]) - max(top, line.box[1])
            if overlap > height / 2 and right - height / 2 < line.box[0] < right + height:
                made[-1] = _line_of([*made[-1].words, *line.words])
                continue
        made.append(line)
    return made


def _line_of(words: Sequence[Text]) -> Text:
    boxes = np.asarray([word.box for word in words])
    (left, top), (right, bottom) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    corners = np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)])
    confidence = float(np.mean([word.confidence for word in words]))
    return Text(" ".join(word.text for word in words), confidence, corners, tuple(words))


def _middle(part: Text, along: int) -> float:
    return (part.box[along] + part.box[along + 2]) / 2


def _window(height: int, width: int) -> tuple[int, int]:
    """The size of what is read at once of a picture."""
    longer = min(max(height, width), max(_LONGEST, _STRIP * min(height, width)))
    return (longer, width) if height > width else (height, longer)


def _read_part(pixels: Pixels) -> list[Text]:
    """The lines in one part of a picture; it is also read upside down where that may be better."""
    if np.ptp(pixels) < _FLAT:
        return []
    upright = list(_recognised(pixels))
    if all(line.confidence >= _SURE for line in upright):
        return upright
    height, width = pixels.shape[:2]
    turned = [line.moved((-1, -1), (width, height)) for line in _recognised(pixels[::-1, ::-1])]
    return max(upright, turned, key=lambda lines: sum(len(line.text) * line.confidence for line in lines))


def _recognised(pixels: Pixels) -> Iterator[Text]:
    engine = _engine()
    with _lock:
        result = engine(np.ascontiguousarray(pixels[..., ::-1]))  # it takes BGR
    texts = getattr(result, "txts", None)
    if not texts:
        return
    words = result.word_results if len(getattr(result, "word_results", ())) == len(texts) else [()] * len(texts)
    for text, score, corners, parts in zip(texts, result.scores, result.boxes, words, strict=True):
        line = Text(text.strip(), float(score), np.asarray(corners, np.float64))
        own = [Text(word, float(sure), np.asarray(at, np.float64)) for word, sure, at in parts if at is not None]
        yield Text(line.text, line.confidence, line.corners, tuple(own) or (line,))


def _engine() -> Any:
    find = functools.partial(packaged_file, "rapidocr")
    detection, recognition = find("models/*_det_*.onnx"), find("models/*_rec_*.onnx")

    def load() -> Any:
        from rapidocr import RapidOCR

        return RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.return_word_box": True,
                "Global.text_score": 0.0,  # what is doubtful is counted here
                "Global.use_cls": False,  # the classifier of directions turns upright lines around (0.93 sure of it)
                "Global.max_side_len": _LONGEST,
                "Det.limit_side_len": 480,  # of its own 736, small pictures take twice as long and patterns become text
                "Det.model_path": str(detection),  # with a path, nothing is ever downloaded
                "Rec.model_path": str(recognition),
            }
        )

    return shared(("ocr", "rapidocr"), load, total_size([detection, recognition]))
