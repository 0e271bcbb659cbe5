"""What steers a drawing besides words: control maps, each for the ControlNet of its name, and how strongly."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from PIL import Image

from genllava.errors import ImageRejected, InvalidRequest
from genllava.image_decoder.conditioning import call_parameters
from genllava.image_decoder.sizes import canvas_for, grain_of
from genllava.requests import as_image


@dataclass(frozen=True, slots=True)
class Control:
    """What the ControlNets of a call are given.

    Attributes:
        names: of the ControlNets.
        rows: their control maps (RGB, at their own sizes) in the order of the names: one row for all pictures of a
            call, or one for each.
        scales: how strongly each ControlNet steers, 1 as trained.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Image.Image, ...], ...]
    scales: tuple[float, ...]

    @property
    def differs(self) -> bool:
        """Whether pictures of the call have maps of their own."""
        return len(self.rows) > 1

    def row(self, number: int) -> tuple[Image.Image, ...]:
        """The maps of picture `number` of the call, counted from 0."""
        return self.rows[number if self.differs else 0]

    def arguments(self, pipeline: Any, maps: tuple[Image.Image, ...]) -> dict[str, Any]:
        """`maps` and the scales as arguments of the call of one of diffusers' ControlNet pipelines."""
        parameters, scale = call_parameters(pipeline), "controlnet_conditioning_scale"
        name = "control_image" if "control_image" in parameters else "image"
        if len(self.names) == 1:
            return {name: maps[0], scale: self.scales[0]}
        given: dict[str, Any] = {name: list(maps), scale: list(self.scales)}
        if "control_mode" in parameters:  # Flux: without one for each, its image-to-image pipelines use no ControlNet
            given["control_mode"] = [None] * len(maps)
        return given


def read_control(control: Any, control_scale: Any, known: Collection[str], count: int) -> Control | None:
    """The options `control` and `control_scale` of a drawing, checked; None where nothing steers it.

    Args:
        control: a control map by the name of each ControlNet; a list has one for each of `count` pictures.
        control_scale: one number for all of them, or one by name; those that are not named steer as trained.
        known: names of the ControlNets there are.
        count: pictures of the call.

    Raises:
        InvalidRequest: a name that is not known, no map at all, a list of another length, or a scale that is no number.
        ImageRejected: a map was not let in.
    """
    if control is None:
        if control_scale is not None:
            raise InvalidRequest("control_scale is without effect here: there are no control maps, give control={...}")
        return None
    if not isinstance(control, Mapping) or not control:
        raise InvalidRequest("control is a control map by the name of each ControlNet, such as {'canny': edges}")
    for name in control:
        if name not in known:
            there = f"there are {', '.join(sorted(known))}" if known else "there are none"
            raise InvalidRequest(
                f"there is no ControlNet {name!r}: {there}; load one with "
                f"pipe.load_controlnet({name!r}, 'folder or hub id')"
            )
    columns = [_maps(name, value, count) for name, value in control.items()]
    longest = max(map(len, columns))
    rows = zip(*(column if len(column) == longest else column * longest for column in columns), strict=True)
    return Control(tuple(control), tuple(rows), _scales(tuple(control), control_scale))


def drawing_size(pipeline: Any, control: Control, number: int, width: Any, height: Any) -> tuple[int, int]:
    """(width, height) of picture `number` of a call, which has the proportions of its control maps.

    Args:
        width, height: as they were asked for; where they are None, the picture has the size of its first map, or where
            that is much larger or smaller than what the pipeline was trained on, that area in its proportions.

    Raises:
        InvalidRequest: a map has other proportions.
    """
    grain, maps = grain_of(pipeline), control.row(number)
    if width is None or height is None:
        scaled = canvas_for(pipeline, maps[0].size, None, None).scaled
        width, height = (max(1, round(side / grain)) * grain for side in scaled)
    for name, each in zip(control.names, maps, strict=True):
        check_proportions(name, each.size, (width, height), grain)
    return width, height


def check_proportions(name: str, size: tuple[int, int], drawn: tuple[int, int], grain: int) -> None:
    """See that a control map has the proportions of what is drawn, to the pixels by which sizes are rounded.

    Raises:
        InvalidRequest: it has not.
    """
    across, down = drawn[0] - size[0] * drawn[1] / size[1], drawn[1] - size[1] * drawn[0] / size[0]
    if min(abs(across), abs(down)) >= grain:
        raise InvalidRequest(
            f"the control map {name!r} is {size[0]}x{size[1]} and the picture {drawn[0]}x{drawn[1]}: give a map of the "
            "picture's proportions, or a height and width of the map's"
        )


def _maps(name: str, value: Any, count: int) -> tuple[Image.Image, ...]:
    """The control maps of one name: one for all pictures, or as many as there are."""
    several = isinstance(value, (list, tuple))
    if several and len(value) != count:
        raise InvalidRequest(f"control {name!r} has {len(value)} maps for {count} pictures: give one, or one for each")
    try:
        return tuple(as_image(each) for each in (value if several else [value]))
    except ImageRejected as error:
        raise ImageRejected(f"control {name!r}: {error.reason}") from None


def _scales(names: tuple[str, ...], given: Any) -> tuple[float, ...]:
    by_name = given if isinstance(given, Mapping) else dict.fromkeys(names, 1.0 if given is None else given)
    if unknown := [name for name in by_name if name not in names]:
        raise InvalidRequest(f"control_scale names {unknown[0]!r}, of which there is no control map here")
    for name, value in by_name.items():
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < 0:
            raise InvalidRequest(f"the control_scale of {name!r} must be a number from 0, not {value!r}")
    return tuple(float(by_name.get(name, 1.0)) for name in names)
