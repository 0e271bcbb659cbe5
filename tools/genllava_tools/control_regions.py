"""Tools that colour a picture region by region, for ControlNets that take a segmentation."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava.errors import CheckpointError
from genllava_tools.ade_colors import ADE_COLORS
from genllava_tools.auto_models import Runner, load
from genllava_tools.aux_detectors import AuxDetector, controlnet_aux
from genllava_tools.control_map import RESOLUTION, Resolution, Source, Working, control_map, finished, working_copy
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

_KINDS: Final = ("upernet", "segformer", "beit")
_MOBILE_SAM: Final = "mobile_sam.pt"
_GOLDEN: Final = 0.618034
"""Steps of this round the circle of hues are all far from one another."""
_NAMED: Final = 0.01
"""Share of the picture from which on a region is named."""
_Map = tuple[Image.Image, str, dict[str, Any]]


def _sam(package: Any, folder: Path) -> Any:
    return package.SamDetector.from_pretrained(str(folder), model_type="vit_t", filename=_MOBILE_SAM)


SAM: Final = AuxDetector(
    model("mobile_sam", "dhkim2810/MobileSAM", (_MOBILE_SAM,)), _sam, ("mask_generator.predictor.model",)
)
SEMANTIC: Final = model("semantic_segmentation", "openmmlab/upernet-convnext-tiny")


@visual_tool(kind="control", needs=[SAM.need()])
def segment_anything(
    image: Source,
    points: Annotated[
        int, Field(ge=2, le=32, description="Along each side, the points at which it looks for something.")
    ] = 16,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Colour everything in a picture that is one thing (Segment Anything): each in a colour of its own, without saying
    what it is. No public ControlNet reads such colours; for those of kind segmentation use `semantic_segmentation`.
    """
    masks = list[NDArray[np.bool_]]()

    def detect(work: Working) -> NDArray[np.uint8]:
        network = detector.mask_generator.predictor.model
        generator = controlnet_aux().segment_anything.SamAutomaticMaskGenerator(network, points_per_side=points)
        found = (each["segmentation"][: work.height, : work.width] for each in generator.generate(work.pixels))
        masks.extend(sorted((mask for mask in found if mask.any()), key=np.sum, reverse=True))
        canvas = np.zeros((work.height, work.width, 3), np.uint8)
        for number, mask in enumerate(masks):  # the small ones lie on the large ones
            canvas[mask] = [round(255 * level) for level in colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.75, 1)]
        return canvas

    empty = "nothing stands out: raise `points`, or give a picture with several things"
    with SAM.ready() as detector:
        made, said, found = control_map(image, resolution, detect, empty, Image.Resampling.NEAREST)
    covered = round(float(np.any(masks, axis=0).mean()), 4)
    said = f"{len(masks)} regions, which cover {covered:.1%} of the picture. {said}"
    return made, said, {"count": len(masks), "share": covered, **found}


@visual_tool(kind="control", needs=[SEMANTIC.need()])
def semantic_segmentation(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Colour a picture by what is where (walls, sky, trees, people and others of the 150 kinds of ADE20K, in their
    colours) for a ControlNet of kind segmentation. Says which kinds are seen and how much of the picture each covers.
    """
    runner = SEMANTIC.loaded(_semantic)
    copy = working_copy(image, resolution)
    made = runner.outputs(runner.processor(images=copy, return_tensors="pt"), finite=("logits",))
    size = [(copy.height, copy.width)]
    (labels,) = runner.processor.post_process_semantic_segmentation(made, target_sizes=size)
    found = labels.cpu().numpy()
    colored = Image.fromarray(np.array(ADE_COLORS, np.uint8)[found])
    empty = "all of it is one kind of thing: give a picture with several"
    image, said, data = finished(colored, image.size, empty, Image.Resampling.NEAREST)
    counts = np.bincount(found.ravel(), minlength=len(ADE_COLORS)) / found.size
    names = runner.model.config.id2label
    shares = {str(names[kind]): round(float(counts[kind]), 4) for kind in np.argsort(-counts) if counts[kind] > 0}
    words = ", ".join(f"{name} {part:.1%}" for name, part in shares.items() if part >= _NAMED)
    return image, f"Seen: {words}. {said}", {"shares": shares, **data}


def _semantic(folder: Path) -> Runner:
    kinds = dict.fromkeys(_KINDS, "AutoImageProcessor")
    runner = load(folder, "AutoModelForSemanticSegmentation", kinds, f"names regions ({', '.join(_KINDS)})")
    if runner.model.config.num_labels != len(ADE_COLORS):
        raise CheckpointError(
            f"it knows {runner.model.config.num_labels} kinds, and not the {len(ADE_COLORS)} of ADE20K"
        )
    return runner
