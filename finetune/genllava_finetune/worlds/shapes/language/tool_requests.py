"""Ways to ask for what tools do, and to say what came of it."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

_PLEASE: Final = "(please|can you|could you|now|i want you to|i'd like you to|would you|)"

REQUESTS: Final[dict[str, Intent]] = {
    "crop": Intent(
        "tool.crop",
        [
            f"{_PLEASE} (crop|cut) {{picture}} to {{part}}",
            f"{_PLEASE} (cut out|crop|keep only|give me|show me) {{part}} of {{picture}}",
            "(i need|i want|i only need|just) {part} of {picture}",
        ],
    ),
    "rotate": Intent(
        "tool.rotate",
        [
            f"{_PLEASE} (turn|rotate) {{picture}} {{turn}}",
            "{picture}(:| should be) (turned|rotated) {turn}",
            "give {picture} a turn {turn}",
        ],
    ),
    "flip": Intent(
        "tool.flip",
        [
            f"{_PLEASE} (flip|mirror) {{picture}} {{way}}",
            "{picture} (mirrored|flipped) {way}(| please)",
            f"{_PLEASE} (make|show me|give me) a mirror image of {{picture}}, {{way}}",
        ],
    ),
    "grayscale": Intent(
        "tool.grayscale",
        [
            f"{_PLEASE} (make|turn) {{picture}} (black and white|gray|grey|colourless)",
            f"{_PLEASE} (take|remove) (the|all) (colors|colours) (out of|from) {{picture}}",
            "{picture} (in black and white|without colors|without colours|in shades of gray)",
        ],
    ),
    "edge_map": Intent(
        "tool.edges",
        [
            f"{_PLEASE} (show me|find|draw|trace|give me) the (edges|outlines|contours) (of|in) {{picture}}",
            "(only|just) the (edges|outlines) of {picture}",
            f"{_PLEASE} make an edge map of {{picture}}",
        ],
    ),
    "side_by_side": Intent(
        "tool.side_by_side",
        [
            f"{_PLEASE} put (the two|both|these) (pictures|images|drawings) (side by side|beside each other|next to each other)",
            "(both|the two) (pictures|images) (in one|side by side)(| please)",
            f"{_PLEASE} (join|place) the first (picture|image) and the second (one|) side by side",
        ],
    ),
    "upscale": Intent(
        "tool.upscale",
        [
            f"{_PLEASE} (enlarge|upscale|blow up) {{picture}} {{times}} times",
            "{picture} {times} times (as large|larger|bigger)(| please)",
        ],
    ),
    "resize": Intent(
        "tool.resize",
        [
            f"{_PLEASE} (make|resize|scale) {{picture}} (to|) {{width}} pixels wide",
            "{picture} (with a width of|at a width of) {width} pixels",
        ],
    ),
    "measure": Intent(
        "tool.measure",
        [
            "(how large|how big) is {picture} in pixels",
            "(what is|what's|tell me) the size of {picture} in pixels",
            "how many pixels (has|does) {picture} (have|)",
        ],
    ),
    "palette": Intent(
        "tool.palette",
        [
            "(which|what) are the {count} main (colors|colours) of {picture} (as codes|by their codes|in hex)",
            "(give me|list|i need) the (hex|) codes of the {count} (main|most common) (colors|colours) (of|in) {picture}",
            f"{_PLEASE} make a palette of {{count}} (colors|colours) of {{picture}}",
        ],
    ),
    "add_text": Intent(
        "tool.add_text",
        [
            f"{_PLEASE} (write|put|print|add) (the word|the words|) '{{words}}' (on|onto) {{picture}}, {{place}}",
            "{picture} with '{words}' (written on it|on it), {place}",
            f"{_PLEASE} (label|caption) {{picture}} '{{words}}' {{place}}",
        ],
    ),
}
"""By the tool that does it."""

HERE_IT_IS: Final = Intent("tool.done", ["here (it is|you are)", "done", "(that is|that's) done"])

DESCRIPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "crop": ("Keeps what lies in a box and throws the rest of a picture away.", "Gives back a rectangular part."),
    "rotate": ("Turns a picture by some degrees, clockwise.", "Spins a picture about its middle, the way of a clock."),
    "flip": ("Swaps left and right of a picture, or top and bottom.", "Gives the mirror image of a picture."),
    "grayscale": ("Leaves only how light each spot is, and no hue.", "Makes a picture black, white and gray."),
    "edge_map": ("Draws white lines where a picture changes abruptly.", "Traces the outlines of what a picture shows."),
    "resize": ("Gives a picture another width in pixels.", "Changes how many pixels a picture has."),
    "measure": ("Tells width, height, brightness and contrast of a picture.", "Says how large a picture is, in pixels."),
    "palette": ("Lists the colours that cover most of a picture, as codes.", "Finds the dominant colours of a picture."),
    "add_text": ("Writes given words onto a picture.", "Puts lettering on a picture, in a place that is named."),
}
"""Other words for what tools do, for tools that are known by their schema alone."""
