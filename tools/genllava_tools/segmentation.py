"""The mask of an object, by a model that segments what a point or a box shows it (SAM)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from genllava_tools.auto_models import Runner, load
from genllava_tools.coordinates import BoxTuple, PointTuple
from genllava_tools.models import model
from genllava_tools.pictures import mask_image

SEGMENTATION: Final = model("segmentation", "facebook/sam2.1-hiera-tiny", helps=("segment", "remove_background"))
_KINDS: Final = {"sam": "SamProcessor", "sam2": "Sam2Processor", "sam2_video": "Sam2Processor"}


@dataclass(frozen=True, slots=True)
class Segmented:
    """What the model segmented.

    Attributes:
        mask: L, 255 where the objects are, as large as the picture.
        scores: how far the model expects each object's mask to overlap with the true one, 0..1.
    """

    mask: Image.Image
    scores: tuple[float, ...]


def segment_boxes(image: Image.Image, boxes: Sequence[BoxTuple]) -> Segmented:
    """The objects that fill boxes, in one mask.

    Raises:
        ToolUnavailable, CheckpointError, NotEnoughMemory: the segmentation model cannot be loaded.
        NonFiniteError: it gave NaN.
    """
    corners = [[edge * side for edge, side in zip(box, image.size * 2, strict=True)] for box in boxes]
    return _segmented(image, {"input_boxes": [corners]}, several=False)


def segment_point(image: Image.Image, point: PointTuple) -> Segmented:
    """The object at a point: of the three that the model offers, from a part to the whole, the one it is surest of.

    Raises:
        ToolUnavailable, CheckpointError, NotEnoughMemory, NonFiniteError: as `segment_boxes`.
    """
    place = [point[0] * image.width, point[1] * image.height]
    return _segmented(image, {"input_points": [[[place]]], "input_labels": [[[1]]]}, several=True)


def _segmented(image: Image.Image, where: dict[str, Any], several: bool) -> Segmented:
    runner = SEGMENTATION.loaded(_load)
    inputs = runner.processor(images=image, **where, return_tensors="pt")
    sizes = [inputs.pop("original_sizes")]
    if "reshaped_input_sizes" in inputs:  # SAM 1 pads to a square
        sizes.append(inputs.pop("reshaped_input_sizes"))
    made = runner.outputs({**inputs, "multimask_output": several}, finite=("pred_masks", "iou_scores"))
    whole, scores = np.zeros((image.height, image.width), bool), list[float]()
    for masks, sure in zip(made.pred_masks[0], made.iou_scores[0], strict=True):
        best = int(sure.argmax())
        (found,) = runner.processor.image_processor.post_process_masks(
            [masks[None, best : best + 1].float().cpu()], *sizes
        )
        whole |= found[0, 0].numpy()
        scores.append(round(float(sure[best]), 4))
    return Segmented(mask_image(whole), tuple(scores))


def _load(folder: Path) -> Runner:
    return load(folder, "AutoModelForMaskGeneration", _KINDS, f"segments what it is shown ({', '.join(_KINDS)})")
