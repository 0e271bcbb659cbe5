"""How near things are: depth from a single picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genllava.errors import NonFiniteError
from genllava_tools.arguments import Picture
from genllava_tools.auto_models import Runner, load
from genllava_tools.models import model
from genllava_tools.registry import visual_tool

DEPTH: Final = model("depth", "depth-anything/Depth-Anything-V2-Small-hf")
_KINDS: Final = ("depth_anything", "prompt_depth_anything", "dpt", "zoedepth", "depth_pro", "glpn")


@visual_tool(kind="look", needs=[DEPTH.need()])
def depth_map(image: Picture) -> tuple[Image.Image, str, dict[str, Any]]:
    """Estimate how near everything in a picture is: a gray picture, the brighter the nearer, stretched from black (the
    farthest) to white (the nearest). Says in which part of the picture the nearest and the farthest places are, and
    how far they are in metres if the model knows metres. It can steer a ControlNet of kind depth.
    """
    depth, metres = estimate(image)
    low, high = float(depth.min()), float(depth.max())
    near = (high - depth if metres else depth - low) / (high - low) if high > low else np.zeros_like(depth)
    drawn = Image.fromarray((near * 255).round().astype(np.uint8))
    places = {"nearest": _place(near, int(near.argmax())), "farthest": _place(near, int(near.argmin()))}
    found: dict[str, Any] = {"metres": metres, "range": [float(f"{end:.4g}") for end in (low, high)], **places}
    if high == low:
        said = "Everything is equally near, so that the map is black."
    elif metres:
        said = f"The model gives {low:.2f} to {high:.2f} metres; white is {low:.2f} m, black {high:.2f} m."
    else:
        said = f"The model gives nearness without a unit, from {low:.4g} (black) to {high:.4g} (white)."
    where = f" Nearest at {places['nearest']}, farthest at {places['farthest']} (0-1)." if high > low else ""
    return drawn, f"Near is bright. {said}{where} Estimated by the depth model {DEPTH.title}.", found


def estimate(image: Image.Image) -> tuple[NDArray[np.float32], bool]:
    """Depth of a picture.

    Returns:
        [H, W], as large as the picture; and whether it is metres, so that small is near. It is nearness in a scale of
        the model's own otherwise, so that large is near.

    Raises:
        ToolUnavailable, CheckpointError, NotEnoughMemory: the depth model cannot be loaded.
        NonFiniteError: it gave NaN.
    """
    runner = DEPTH.loaded(_load)
    made = runner.outputs(runner.processor(images=image, return_tensors="pt"), finite=("predicted_depth",))
    size = [(image.height, image.width)]  # of the picture, which each processor reads as what it needs
    (found,) = runner.processor.post_process_depth_estimation(made, size)
    depth = np.asarray(found["predicted_depth"].float().cpu().numpy(), np.float32)
    if not np.isfinite(depth).all():
        raise NonFiniteError(f"the depth model {DEPTH.title} gave depths that are not finite: nothing can be shown")
    return depth, _in_metres(runner)


def _in_metres(runner: Runner) -> bool:
    """Whether a model gives distance in metres rather than nearness (inverse depth) in a scale of its own."""
    config = runner.model.config
    if runner.kind in ("depth_anything", "prompt_depth_anything"):
        return bool(config.depth_estimation_type == "metric")
    # DPT: MiDaS' own give nearness; those with a projection are DINOv2's, which give metres.
    return bool(config.add_projection) if runner.kind == "dpt" else True


def _place(values: NDArray[np.float32], at: int) -> list[float]:
    row, column = divmod(at, values.shape[1])
    return [round((column + 0.5) / values.shape[1], 4), round((row + 0.5) / values.shape[0], 4)]


def _load(folder: Path) -> Runner:
    kinds = dict.fromkeys(_KINDS, "AutoImageProcessor")
    return load(folder, "AutoModelForDepthEstimation", kinds, f"estimates depth ({', '.join(_KINDS)})")
