"""An example call of each tool, for the page of all tools. Pictures are named: photographs, or what `STEPS` make."""

from __future__ import annotations

from typing import Any, Final

PHOTOGRAPHS: Final = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "page": "page.png",
    "rocket": "rocket.jpg",
}
"""Photographs that scikit-image ships."""

_CUP: Final = (0.2, 0.08, 0.85, 0.97)
_FACE: Final = (0.34, 0.08, 0.56, 0.42)
_SPOON: Final = (0.64, 0.5, 0.95, 0.95)

STEPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "cup_mask": ("segment", {"image": "coffee", "box": _CUP}),
    "cup": ("cut_out", {"image": "coffee", "mask": "cup_mask"}),
    "dark_cat": ("adjust", {"image": "cat", "brightness": 0.5}),
    "small_rocket": ("resize", {"image": "rocket", "width": 120}),
    "drawn": ("generate_image", {"prompt": "a blue square on a white background", "seed": 3}),
    "edges": ("canny", {"image": "drawn"}),
}
"""Pictures that tools make for the examples of others."""

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "zoom_in": {"image": "cat", "box": (0.3, 0.25, 0.6, 0.6)},
    "crop": {"image": "cat", "box": (0.25, 0.1, 0.75, 0.9)},
    "measure": {"image": "coffee"},
    "palette": {"image": "rocket", "count": 5},
    "histogram": {"image": "coffee"},
    "compare": {"image": "cat", "other": "dark_cat"},
    "read_text": {"image": "page"},
    "detect": {"image": "cat", "labels": ["a cat's eye"]},
    "segment": {"image": "coffee", "box": _CUP},
    "count_objects": {"image": "coins"},
    "edge_map": {"image": "cat"},
    "depth_map": {"image": "astronaut"},
    "classify": {"image": "cat", "labels": ["a cat", "a dog", "a bird"]},
    "caption": {"image": "cat"},
    "find_faces": {"image": "astronaut"},
    "check_safety": {"image": "astronaut"},
    "resize": {"image": "cat", "width": 150},
    "upscale": {"image": "small_rocket", "factor": 2},
    "rotate": {"image": "cat", "angle": 30},
    "flip": {"image": "cat"},
    "pad": {"image": "cat", "top": 0.1, "bottom": 0.1, "left": 0.1, "right": 0.1, "color": "teal"},
    "adjust": {"image": "rocket", "brightness": 1.4, "contrast": 1.2},
    "grayscale": {"image": "cat"},
    "blur": {"image": "astronaut", "box": _FACE},
    "pixelate": {"image": "astronaut", "box": _FACE},
    "stylize": {"image": "rocket", "style": "starry_night"},
    "cut_out": {"image": "coffee", "mask": "cup_mask"},
    "paste": {"image": "cat", "other": "cup", "box": (0.6, 0.5, 1, 1)},
    "side_by_side": {"image": "cat", "other": "coffee"},
    "grid": {"images": ["cat", "coffee", "rocket", "astronaut"], "cell": 120},
    "remove_background": {"image": "coffee", "box": _CUP},
    "remove_object": {"image": "coffee", "box": _SPOON},
    "inpaint": {"image": "coffee", "mask": "cup_mask", "prompt": "a bowl of soup"},
    "replace_object": {"image": "coffee", "prompt": "a bowl of soup", "box": _CUP},
    "outpaint": {"image": "cat", "prompt": "a cat on a sofa", "left": 0.25, "right": 0.25},
    "draw_boxes": {"image": "astronaut", "boxes": [_FACE], "labels": ["face"], "color": "lime"},
    "draw_points": {"image": "cat", "points": [(0.37, 0.4), (0.72, 0.45)], "labels": ["left eye", "right eye"]},
    "draw_arrow": {"image": "rocket", "start": (0.8, 0.8), "end": (0.55, 0.5), "color": "yellow"},
    "add_text": {"image": "cat", "text": "Good morning!", "position": "bottom"},
    "highlight": {"image": "coffee", "mask": "cup_mask"},
    "canny": {"image": "cat"},
    "lineart": {"image": "cat"},
    "lineart_anime": {"image": "cat"},
    "lineart_standard": {"image": "cat"},
    "lineart_anyline": {"image": "cat"},
    "soft_edge_hed": {"image": "cat"},
    "soft_edge_pidinet": {"image": "cat"},
    "soft_edge_teed": {"image": "cat"},
    "scribble_hed": {"image": "cat"},
    "scribble_pidinet": {"image": "cat"},
    "straight_lines": {"image": "rocket"},
    "depth_midas": {"image": "coffee"},
    "depth_leres": {"image": "coffee"},
    "depth_zoe": {"image": "coffee"},
    "normals_midas": {"image": "coffee"},
    "normals_bae": {"image": "coffee"},
    "normals_sapiens": {"image": "astronaut"},
    "pose_openpose": {"image": "astronaut"},
    "pose_vitpose": {"image": "astronaut"},
    "segment_anything": {"image": "coffee"},
    "semantic_segmentation": {"image": "rocket"},
    "shuffle": {"image": "coffee"},
    "generate_image": {"prompt": "a red circle on a white background", "seed": 1},
    "edit_image": {"image": "drawn", "instruction": "make the square green", "seed": 1},
    "generate_from_control": {"prompt": "a red square on a white background", "canny": "edges", "seed": 1},
}
