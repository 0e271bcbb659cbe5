"""Tools that draw the lines in a picture, white on black, for ControlNets that take edges, line art or scribbles.

Where several detectors make one kind of map there is a tool for each, named after both (`soft_edge_hed`); where there
is one, the tool has the name of the map (`straight_lines`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava_tools.aux_detectors import AuxDetector, controlnet_aux
from genllava_tools.control_map import (
    RESOLUTION,
    Resolution,
    Source,
    Working,
    control_map,
    drawn,
    finished,
    working_copy,
)
from genllava_tools.edges import canny_edges
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

_ANNOTATORS: Final = "lllyasviel/Annotators"
_BLUR: Final = 6.0
"""Pixels of the blur that lines are darker than, in `lineart_standard`."""
_FAINT: Final = 8
"""Levels of 255 by which they are darker."""
_MORE: Final = "give a picture with more contrast, or use `canny` with lower `low` and `high`"
_ONE: Final = ("detect_resolution",)
_BOTH: Final = ("detect_resolution", "image_resolution")
"""The arguments by which detectors are told in what size to work, and in what size to give the map back."""
_Map = tuple[Image.Image, str, dict[str, Any]]
Safe = Annotated[bool, Field(description="Round the strength of edges to a few steps, which hides faint ones.")]


def _pretrained(name: str, **named: str) -> Any:
    def load(package: Any, folder: Path) -> Any:
        return getattr(package, name).from_pretrained(str(folder), **named)

    return load


HED: Final = AuxDetector(model("hed", _ANNOTATORS, ("ControlNetHED.pth",)), _pretrained("HEDdetector"), ("netNetwork",))
PIDINET: Final = AuxDetector(
    model("pidinet", _ANNOTATORS, ("table5_pidinet.pth",)), _pretrained("PidiNetDetector"), ("netNetwork",)
)
TEED: Final = AuxDetector(
    model("teed", "fal-ai/teed", ("5_model.pth",)), _pretrained("TEEDdetector", filename="5_model.pth")
)
ANYLINE: Final = AuxDetector(
    model("anyline", "TheMistoAI/MistoLine", ("Anyline/MTEED.pth",)),
    _pretrained("AnylineDetector", filename="Anyline/MTEED.pth"),
    warns=True,  # scikit-image of an argument, NumPy where a picture has no dark lines
)
LINEART: Final = AuxDetector(
    model("lineart", _ANNOTATORS, ("sk_model.pth", "sk_model2.pth")),
    _pretrained("LineartDetector"),
    ("model", "model_coarse"),
)
LINEART_ANIME: Final = AuxDetector(
    model("lineart_anime", _ANNOTATORS, ("netG.pth",)), _pretrained("LineartAnimeDetector")
)
MLSD: Final = AuxDetector(model("mlsd", _ANNOTATORS, ("mlsd_large_512_fp32.pth",)), _pretrained("MLSDdetector"))


@visual_tool(kind="control")
def canny(
    image: Source,
    low: Annotated[int, Field(ge=0, le=1000, description="Edges weaker than this are left out.")] = 100,
    high: Annotated[int, Field(ge=0, le=1000, description="Edges stronger than this are always kept.")] = 200,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Make a map of hard edges (Canny's method) for a ControlNet of kind canny: white lines on black, which keep
    the shapes of a picture while its colours and style are drawn anew. Lower `low` and `high` for more edges.
    """
    edges = canny_edges(working_copy(image, resolution), low, high)
    empty = "no edge is strong enough: lower `low` and `high`, or give a picture that is not flat"
    return _lines(finished(edges.convert("RGB"), image.size, empty, Image.Resampling.NEAREST))


@visual_tool(kind="control", needs=[LINEART.need()])
def lineart(
    image: Source,
    coarse: Annotated[bool, Field(description="Draw fewer and thicker lines, as in a sketch.")] = False,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Make a line drawing of a photograph for a ControlNet of kind lineart: white lines on black, as a pen would draw
    them. For drawings in anime style use `lineart_anime`.
    """
    return _detected(LINEART, image, resolution, coarse=coarse)


@visual_tool(kind="control", needs=[LINEART_ANIME.need()])
def lineart_anime(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a line drawing of a picture in anime style for a ControlNet of kind lineart that was trained on them: white
    lines on black. For photographs use `lineart`.
    """
    return _detected(LINEART_ANIME, image, resolution)


@visual_tool(kind="control")
def lineart_standard(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a line drawing for a ControlNet of kind lineart: white where a picture is darker than what is around it.
    The simple way, without a trained model: for photographs and pencil drawings; drawings in flat bright colours have
    no such lines.
    """
    import cv2

    copy = working_copy(image, resolution)
    pixels = np.asarray(copy, np.float32)
    darker: NDArray[np.float32] = np.asarray(cv2.GaussianBlur(pixels, (0, 0), _BLUR) - pixels).min(2).clip(0, 255)
    seen = darker[darker > _FAINT]
    scale = 127 / max(16.0, float(np.median(seen))) if seen.size else 127 / 16
    found = Image.fromarray((darker * scale).clip(0, 255).astype(np.uint8))
    empty = "nothing is darker than what is around it, as in drawings in flat colours: use `canny`"
    return _lines(finished(found.convert("RGB"), image.size, empty))


@visual_tool(kind="control", needs=[ANYLINE.need()])
def lineart_anyline(image: Source, resolution: Resolution = 1280) -> _Map:
    """Make a detailed map of all lines for the ControlNet MistoLine: white on black, edges of things and fine lines
    within them.
    """
    return _detected(ANYLINE, image, resolution, _ONE)


@visual_tool(kind="control", needs=[HED.need()])
def soft_edge_hed(image: Source, safe: Safe = False, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a map of soft edges (HED) for a ControlNet of kind soft_edge: white on black, the stronger the lighter.
    It leaves more freedom than `canny`: the large shapes are kept and fine lines are not.
    """
    return _detected(HED, image, resolution, safe=safe)


@visual_tool(kind="control", needs=[PIDINET.need()])
def soft_edge_pidinet(image: Source, safe: Safe = False, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a map of soft edges (PiDiNet) for a ControlNet of kind soft_edge: white on black. It is quicker than
    `soft_edge_hed`.
    """
    return _detected(PIDINET, image, resolution, safe=safe)


@visual_tool(kind="control", needs=[TEED.need()])
def soft_edge_teed(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a map of soft edges (TEED) for a ControlNet of kind soft_edge: white on black, in a few steps of strength.
    It is the quickest of the tools that do so.
    """
    return _detected(TEED, image, resolution, _ONE)


@visual_tool(kind="control", needs=[HED.need()])
def scribble_hed(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a scribble of a picture (HED) for a ControlNet of kind scribble: thick white lines on black, as drawn by
    hand. It keeps least of all maps of lines: only where things are, roughly.
    """
    return _detected(HED, image, resolution, scribble=True)


@visual_tool(kind="control", needs=[PIDINET.need()])
def scribble_pidinet(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a scribble of a picture (PiDiNet) for a ControlNet of kind scribble: thick white lines on black, as drawn
    by hand. It is quicker than `scribble_hed`.
    """
    return _detected(PIDINET, image, resolution, scribble=True)


@visual_tool(kind="control", needs=[MLSD.need()])
def straight_lines(
    image: Source,
    threshold: Annotated[float, Field(ge=0.01, le=0.95, description="How sure it has to be of a line.")] = 0.1,
    shortest: Annotated[
        float, Field(ge=0, le=1, description="The shortest line, as a part of the picture's longer side.")
    ] = 0,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Make a map of the straight lines in a picture (M-LSD) for a ControlNet that was trained on them: thin white
    lines on black. For rooms, buildings and streets. Says how many lines there are.
    """
    count = 0

    def detect(work: Working) -> NDArray[np.uint8]:
        nonlocal count
        import cv2

        lines = _straight(detector, work, threshold, max(0.1, shortest * max(work.width, work.height) / 2))
        canvas = np.zeros(work.pixels.shape[:2], np.uint8)
        for left, top, right, bottom in lines:
            cv2.line(canvas, (left, top), (right, bottom), 255, 1)
        inside = [line for line in lines if min(line[::2]) < work.width and min(line[1::2]) < work.height]
        count = len(inside)
        return canvas

    empty = "no straight line was found: lower `threshold` or `shortest`, or use `canny`"
    with MLSD.ready() as detector:
        made, said, found = _lines(control_map(image, resolution, detect, empty, Image.Resampling.NEAREST))
    lines = "1 straight line" if count == 1 else f"{count} straight lines"
    return made, f"{lines}. {said}", {"count": count, **found}


def _straight(detector: Any, work: Working, threshold: float, shortest: float) -> list[list[int]]:
    """The lines [left, top, right, bottom] in pixels. The detector's own call would take any failure for none."""
    import torch

    pred_lines, size = controlnet_aux().mlsd.pred_lines, list(work.pixels.shape[:2])
    with torch.no_grad():
        try:
            lines = pred_lines(work.pixels, detector.model, size, threshold, shortest)
        except IndexError:  # of an empty array: there is none
            return []
    return [[int(place) for place in line] for line in lines]


def _detected(
    aux: AuxDetector, image: Image.Image, resolution: int, sizes: tuple[str, ...] = _BOTH, **options: bool
) -> _Map:
    """The map that a detector makes of the padded copy, whose size it is told by its arguments `sizes`."""

    def detect(work: Working) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = detector(work.pixels, output_type="np", **dict.fromkeys(sizes, work.side), **options)
        return found

    with aux.ready() as detector:
        return _lines(control_map(image, resolution, detect, _MORE))


def _lines(made: _Map) -> _Map:
    image, said, found = made
    found["share"] = drawn(image)
    return image, f"Lines cover {found['share']:.1%} of the picture. {said}", found
