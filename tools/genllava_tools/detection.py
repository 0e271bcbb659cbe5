"""Finding things by words: a model that detects what it is told to look for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from PIL import Image
from pydantic import Field

from genllava.errors import InvalidRequest
from genllava_tools.arguments import Label, Picture
from genllava_tools.auto_models import Runner, load
from genllava_tools.coordinates import BoxTuple
from genllava_tools.mark import boxed
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

if TYPE_CHECKING:
    import torch

    _Rows = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    """Boxes [N, 4] in pixels, scores [N], and which label each is [N]."""

DETECTION: Final = model(
    "detection",
    "google/owlv2-base-patch16-ensemble",
    helps=("segment", "count_objects", "remove_background"),
)
LISTED: Final = 100
"""Things whose boxes are given, at most; all of them are counted."""
_THRESHOLDS: Final = {"owlv2": 0.2, "owlvit": 0.1, "grounding-dino": 0.3, "mm-grounding-dino": 0.3}
"""Scores from which on a thing counts as found, where the caller names none: they mean other things by layout."""
_SAME: Final = 0.5
"""Overlap (intersection over union) from which on two boxes of a label are the same thing."""
_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that was found.

    Attributes:
        label: which of the words it is.
        score: how sure the model is, 0..1.
        box: where, in fractions of the picture.
    """

    label: str
    score: float
    box: BoxTuple


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, the surest first.

    Attributes:
        things: each of them once.
        threshold: the least score.
        by: in words, what found them.
    """

    things: tuple[Thing, ...]
    threshold: float
    by: str

    def listed(self) -> dict[str, Any]:
        """Count, boxes, labels and scores as plain values."""
        shown = self.things[:LISTED]
        return {
            "count": len(self.things),
            "boxes": [thing.box for thing in shown],
            "labels": [thing.label for thing in shown],
            "scores": [thing.score for thing in shown],
        }

    def said(self) -> str:
        """Each of them in words, up to a number that can be read."""
        words = "; ".join(f"{thing.label} {thing.score:.2f} at {list(thing.box)}" for thing in self.things[:_SHOWN])
        return words + (f"; and {len(self.things) - _SHOWN} more" if len(self.things) > _SHOWN else "")


def find_things(image: Image.Image, labels: Sequence[str], threshold: float | None = None) -> Found:
    """Find things in a picture by words.

    Args:
        labels: what to look for.
        threshold: the least score; the layout's usual one, where none is given.

    Raises:
        ToolUnavailable: the detection model is not on this machine.
        CheckpointError: it is another kind of model, or damaged.
        InvalidRequest: a label is empty or too long for it.
        NonFiniteError: it gave NaN.
    """
    wanted = list(dict.fromkeys(" ".join(label.split()) for label in labels))
    if not all(wanted):
        raise InvalidRequest("a label is empty: say in a few words what to look for")
    runner = DETECTION.loaded(_load)
    least = _THRESHOLDS[runner.kind] if threshold is None else threshold
    look = _owl if runner.kind in ("owlv2", "owlvit") else _grounding_dino
    things = _once(*look(runner, image, wanted, least), wanted, image.size)
    return Found(tuple(things), least, f"the detection model {DETECTION.title}")


@visual_tool(kind="look", needs=[DETECTION.need()])
def detect(
    image: Picture,
    labels: Annotated[
        list[Label], Field(min_length=1, max_length=20, description="What to look for, each in a few words: a red cup.")
    ],
    threshold: Annotated[
        float | None, Field(ge=0.01, le=0.99, description="How sure the model has to be of each, 0 to 1.")
    ] = None,
) -> tuple[str, dict[str, Any]] | tuple[Image.Image, str, dict[str, Any]]:
    """Find things in a picture by words: the box of each, how sure the model is, and the picture with the boxes drawn.
    Lower `threshold` to find more, raise it to find only what is sure. Where nothing is found no picture is made.
    """
    found = find_things(image, labels, threshold)
    missing = [label for label in labels if " ".join(label.split()) not in {thing.label for thing in found.things}]
    none = f" Not found: {', '.join(missing)}." if missing else ""
    sure = f"with a score of {found.threshold:g} or more, by {found.by}"
    if not found.things:
        return f"Found nothing {sure}.{none}", found.listed()
    shown = found.things[:LISTED]
    words = [f"{thing.label} {thing.score:.2f}" for thing in shown]
    said = f"Found {len(found.things)} {sure}; boxes are 0-1: {found.said()}.{none}"
    return boxed(image, [thing.box for thing in shown], words), said, found.listed()


def _load(folder: Path) -> Runner:
    kinds = dict.fromkeys(_THRESHOLDS, "AutoProcessor")
    return load(folder, "AutoModelForZeroShotObjectDetection", kinds, f"finds things by words ({', '.join(kinds)})")


def _owl(runner: Runner, image: Image.Image, labels: list[str], threshold: float) -> _Rows:
    longest = runner.model.config.text_config.max_position_embeddings
    inputs = runner.prepared(labels, longest, text=[labels], images=image)
    made = runner.outputs(inputs, finite=("logits", "pred_boxes"))
    size = [(image.height, image.width)]
    (found,) = runner.processor.post_process_grounded_object_detection(made, threshold=threshold, target_sizes=size)
    return found["boxes"], found["scores"], found["labels"]


def _grounding_dino(runner: Runner, image: Image.Image, labels: list[str], threshold: float) -> _Rows:
    """Its scores are of the tokens of the text: a box has the label of the token that scores highest."""
    import torch

    text = ". ".join(label.lower().replace(".", " ").strip() for label in labels) + "."
    inputs = runner.prepared([text], runner.model.config.max_text_len, text=text, images=image)
    stop = runner.processor.tokenizer.convert_tokens_to_ids(".")
    ends = (inputs["input_ids"][0] == stop).nonzero().flatten().tolist()
    starts = [1, *(end + 1 for end in ends[:-1])]  # the first token begins the text
    if any(start == end for start, end in zip(starts, ends, strict=True)):
        raise InvalidRequest("a label has no words in it: say what to look for")
    made = runner.outputs(inputs, finite=("pred_boxes",))
    tokens = made.logits[0].float().sigmoid()
    by_label = torch.stack([tokens[:, start:end].amax(1) for start, end in zip(starts, ends, strict=True)], 1)
    runner.check_finite("logits", by_label)  # those behind the text are minus infinity
    scores, places = by_label.max(1)
    kept = scores > threshold
    centers, sizes = made.pred_boxes[0][kept].float().split(2, 1)
    scale = torch.tensor([*image.size, *image.size], device=centers.device)
    return torch.cat([centers - sizes / 2, centers + sizes / 2], 1) * scale, scores[kept], places[kept]


def _once(
    boxes: torch.Tensor, scores: torch.Tensor, places: torch.Tensor, labels: Sequence[str], size: tuple[int, int]
) -> Iterator[Thing]:
    """Boxes in pixels as things, the surest first; of those of one label that are about the same only the surest."""
    from torchvision.ops import batched_nms  # type: ignore[import-untyped]

    for row in batched_nms(boxes.float(), scores.float(), places, _SAME).tolist():
        within = [min(max(edge / side, 0.0), 1.0) for edge, side in zip(boxes[row].tolist(), size * 2, strict=True)]
        left, top, right, bottom = (round(edge, 4) for edge in within)
        if left < right and top < bottom:  # else all of it lies outside
            yield Thing(labels[int(places[row])], round(float(scores[row]), 4), (left, top, right, bottom))
