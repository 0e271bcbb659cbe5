"""Tools that make maps of depth and of surfaces' normals, for ControlNets that take either."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from genllava.errors import CheckpointError
from genllava_tools.auto_models import Runner, load
from genllava_tools.aux_detectors import AuxDetector
from genllava_tools.control_map import RESOLUTION, Resolution, Source, Working, control_map
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

_ANNOTATORS: Final = "lllyasviel/Annotators"
_ZOE: Final = "ZoeD_M12_N.pt"
_LERES: Final = "res101.pth"
_FLAT: Final = "the picture looks flat all over: give one with things near and far"
_Map = tuple[Image.Image, str, dict[str, Any]]


def _midas(package: Any, folder: Path) -> Any:
    return package.MidasDetector.from_pretrained(str(folder))


def _leres(package: Any, folder: Path) -> Any:
    """Without its second network, for boosting: to build that, the package parses the command line of the process."""
    import torch

    saved = torch.load(folder / _LERES, map_location="cpu", weights_only=True)["depth_model"]
    network = package.leres.RelDepthModel(backbone="resnext101")
    network.load_state_dict(package.leres.strip_prefix_if_present(saved, "module."), strict=True)
    return package.LeresDetector(network, None)  # in training mode, as the package runs it: norms are of the picture


def _zoe(package: Any, folder: Path) -> Any:
    """And see that all its weights are there: where some do not fit, the package goes on with random ones."""
    import torch

    detector = package.ZoeDetector.from_pretrained(str(folder))
    saved = torch.load(folder / _ZOE, map_location="cpu", weights_only=True, mmap=True)["model"]
    wanted = (name for name in detector.model.state_dict() if not name.endswith("relative_position_index"))
    if lacking := next((name for name in wanted if name not in saved), None):
        raise CheckpointError(f"its file lacks the weight {lacking}")
    return detector


def _normal_bae(package: Any, folder: Path) -> Any:
    return package.NormalBaeDetector.from_pretrained(str(folder))


MIDAS: Final = AuxDetector(model("midas", _ANNOTATORS, ("dpt_hybrid-midas-501f0c75.pt",)), _midas)
LERES: Final = AuxDetector(model("leres", _ANNOTATORS, (_LERES,)), _leres)
ZOE: Final = AuxDetector(model("zoe", _ANNOTATORS, (_ZOE,)), _zoe)
NORMAL_BAE: Final = AuxDetector(model("normal_bae", _ANNOTATORS, ("scannet.pt",)), _normal_bae)
NORMALS: Final = model("normals", "facebook/sapiens2-normal-0.4b")


@visual_tool(kind="control", needs=[MIDAS.need()])
def depth_midas(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a depth map (MiDaS) for a ControlNet of kind depth: near is white, far is black. ControlNets for Stable
    Diffusion 1.5 were trained on such maps; `depth_map` makes finer ones with a newer model.
    """
    return _depth(MIDAS, image, resolution)


@visual_tool(kind="control", needs=[LERES.need()])
def depth_leres(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a depth map (LeReS) for a ControlNet of kind depth: near is white, far is black. It shows more of what is
    far than `depth_midas`.
    """
    return _depth(LERES, image, resolution)


@visual_tool(kind="control", needs=[ZOE.need()])
def depth_zoe(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a depth map (ZoeDepth) for a ControlNet of kind depth: near is white, far is black. It is the largest and
    slowest of the tools that do so; for rooms.
    """
    return _depth(ZOE, image, resolution)


@visual_tool(kind="control", needs=[MIDAS.need()])
def normals_midas(
    image: Source,
    background: Annotated[
        float, Field(ge=0, le=1, description="What is farther than this (0 the farthest, 1 the nearest) is left flat.")
    ] = 0.1,
    resolution: Resolution = RESOLUTION,
) -> _Map:
    """Make a map of surfaces' directions (normals, from the slopes of MiDaS' depth) for the first ControlNet of kind
    normal, sd-controlnet-normal. For later ones use `normals_bae`.
    """

    def detect(work: Working) -> NDArray[np.uint8]:
        options = {"depth_and_normal": True, "bg_th": background, "output_type": "np"}
        _, normals = detector(work.pixels, detect_resolution=work.side, image_resolution=work.side, **options)
        found: NDArray[np.uint8] = normals
        return found

    with MIDAS.ready() as detector:
        return control_map(image, resolution, detect, _FLAT)


@visual_tool(kind="control", needs=[NORMAL_BAE.need()])
def normals_bae(image: Source, resolution: Resolution = RESOLUTION) -> _Map:
    """Make a map of surfaces' directions (normals, by Bae's model) for a ControlNet of kind normal: blue faces the
    camera, red the left, green the top.
    """
    with NORMAL_BAE.ready() as detector:
        return control_map(image, resolution, _call(detector), _FLAT)


@visual_tool(kind="control", needs=[NORMALS.need()])
def normals_sapiens(
    image: Source,
    flip_x: Annotated[bool, Field(description="Turn left and right (red) around.")] = False,
    flip_y: Annotated[bool, Field(description="Turn top and bottom (green) around.")] = False,
    resolution: Resolution = 1024,
) -> _Map:
    """Make a map of surfaces' directions (normals, by Sapiens2, a model of people): x, y, z of the camera are red,
    green, blue. Turn axes around with `flip_x` and `flip_y` where a ControlNet was trained on others.
    """
    runner = NORMALS.loaded(_sapiens)

    def detect(work: Working) -> NDArray[np.uint8]:
        inputs = runner.processor(work.pixels, return_tensors="pt")
        made = runner.outputs(inputs, finite=("normals",))
        (found,) = runner.processor.post_process_normal_estimation(
            made, source_sizes=[work.pixels.shape[:2]], do_remove_padding=bool(runner.processor.do_pad)
        )
        axes = found["normals"].float().cpu().numpy().transpose(1, 2, 0)
        axes /= np.maximum(np.linalg.norm(axes, axis=2, keepdims=True), 1e-6)  # they were interpolated
        signs = np.array([-1 if flip_x else 1, -1 if flip_y else 1, 1], np.float32)
        shades: NDArray[np.uint8] = np.rint((axes * signs + 1) * 127.5).clip(0, 255).astype(np.uint8)
        return shades

    return control_map(image, resolution, detect, _FLAT)


def _depth(aux: AuxDetector, image: Image.Image, resolution: int) -> _Map:
    with aux.ready() as detector:
        made, said, found = control_map(image, resolution, _call(detector), _FLAT)
    return made, f"Near is white and far is black. {said}", found


def _call(detector: Any) -> Any:
    def detect(work: Working) -> Any:
        return detector(work.pixels, detect_resolution=work.side, image_resolution=work.side, output_type="np")

    return detect


def _sapiens(folder: Path) -> Runner:
    return load(folder, "AutoModelForNormalEstimation", {"sapiens2": "AutoImageProcessor"}, "finds normals (sapiens2)")
