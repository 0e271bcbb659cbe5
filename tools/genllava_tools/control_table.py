"""Which detectors of control maps there are, which tool runs each, and which public ControlNets read its maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_UNION: Final = "xinsir/controlnet-union-sdxl-1.0"
_PRO: Final = "Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro-2.0"
_SD15: Final = "lllyasviel/control_v11p_sd15_"
_PACKAGE: Final = "controlnet-aux"
_SUCCESSOR: Final = "transformers"


@dataclass(frozen=True, slots=True)
class ControlRow:
    """A detector.

    Attributes:
        detector: its class.
        of: the package that has it.
        tool: the one that runs it; empty where it does not work.
        weights: the repository on the hub and its files; empty where it needs none.
        output: what its map looks like.
        sd15: a ControlNet for Stable Diffusion 1.5 that reads such maps, on the hub; empty where there is none.
        sdxl: the same for Stable Diffusion XL; `controlnet-union` is a `ControlNetUnionModel` of diffusers.
        flux: the same for Flux.
        note: what there is to know; of what does not work, why, and what to use instead.
    """

    detector: str
    of: str
    tool: str
    weights: str
    output: str
    sd15: str = ""
    sdxl: str = ""
    flux: str = ""
    note: str = ""


CONTROL: Final = (
    ControlRow(
        "CannyDetector", _PACKAGE, "canny", "", "hard edges, white on black",
        f"{_SD15}canny", "diffusers/controlnet-canny-sdxl-1.0", "InstantX/FLUX.1-dev-Controlnet-Canny",
        "OpenCV, without the package's import; that detector is black on pictures of mode 1 and CMYK, and fails on LA",
    ),
    ControlRow(
        "LineartDetector", _PACKAGE, "lineart", "lllyasviel/Annotators: sk_model.pth, sk_model2.pth",
        "line drawing, white on black", f"{_SD15}lineart", _UNION,
    ),
    ControlRow(
        "LineartAnimeDetector", _PACKAGE, "lineart_anime", "lllyasviel/Annotators: netG.pth",
        "line drawing, white on black", "lllyasviel/control_v11p_sd15s2_lineart_anime", _UNION,
    ),
    ControlRow(
        "LineartStandardDetector", _PACKAGE, "lineart_standard", "", "soft dark lines, white on black",
        f"{_SD15}lineart", _UNION, "",
        "pixel for pixel the package's, without its import; drawings in flat colours have no such lines",
    ),
    ControlRow(
        "AnylineDetector", _PACKAGE, "lineart_anyline", "TheMistoAI/MistoLine: Anyline/MTEED.pth",
        "all lines, white on black", "", "TheMistoAI/MistoLine",
    ),
    ControlRow(
        "HEDdetector", _PACKAGE, "soft_edge_hed", "lllyasviel/Annotators: ControlNetHED.pth",
        "soft edges, white on black", f"{_SD15}softedge", _UNION, _PRO,
    ),
    ControlRow(
        "HEDdetector(scribble)", _PACKAGE, "scribble_hed", "lllyasviel/Annotators: ControlNetHED.pth",
        "thick lines, white on black", f"{_SD15}scribble", "xinsir/controlnet-scribble-sdxl-1.0",
    ),
    ControlRow(
        "PidiNetDetector", _PACKAGE, "soft_edge_pidinet", "lllyasviel/Annotators: table5_pidinet.pth",
        "soft edges, white on black", f"{_SD15}softedge", _UNION, _PRO,
    ),
    ControlRow(
        "PidiNetDetector(scribble)", _PACKAGE, "scribble_pidinet", "lllyasviel/Annotators: table5_pidinet.pth",
        "thick lines, white on black", f"{_SD15}scribble", "xinsir/controlnet-scribble-sdxl-1.0",
    ),
    ControlRow(
        "TEEDdetector", _PACKAGE, "soft_edge_teed", "fal-ai/teed: 5_model.pth", "soft edges in steps, white on black",
        f"{_SD15}softedge", _UNION, _PRO,
    ),
    ControlRow(
        "MLSDdetector", _PACKAGE, "straight_lines", "lllyasviel/Annotators: mlsd_large_512_fp32.pth",
        "straight lines, white on black", f"{_SD15}mlsd", _UNION,
    ),
    ControlRow(
        "MidasDetector", _PACKAGE, "depth_midas", "lllyasviel/Annotators: dpt_hybrid-midas-501f0c75.pt",
        "depth, near is white", "lllyasviel/control_v11f1p_sd15_depth", "diffusers/controlnet-depth-sdxl-1.0",
        "Shakker-Labs/FLUX.1-dev-ControlNet-Depth", "123 million parameters",
    ),
    ControlRow(
        "MidasDetector(depth_and_normal)", _PACKAGE, "normals_midas",
        "lllyasviel/Annotators: dpt_hybrid-midas-501f0c75.pt", "normals from slopes of depth",
        "lllyasviel/sd-controlnet-normal",
    ),
    ControlRow(
        "LeresDetector", _PACKAGE, "depth_leres", "lllyasviel/Annotators: res101.pth", "depth, near is white",
        "lllyasviel/control_v11f1p_sd15_depth", "diffusers/controlnet-depth-sdxl-1.0",
        "Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
        "without boosting: to build that network the package parses the command line of the process",
    ),
    ControlRow(
        "ZoeDetector", _PACKAGE, "depth_zoe", "lllyasviel/Annotators: ZoeD_M12_N.pt", "depth, near is white",
        "lllyasviel/control_v11f1p_sd15_depth", "diffusers/controlnet-zoe-depth-sdxl-1.0",
        "Shakker-Labs/FLUX.1-dev-ControlNet-Depth", "345 million parameters",
    ),
    ControlRow(
        "DepthAnythingForDepthEstimation", _SUCCESSOR, "depth_map", "depth-anything/Depth-Anything-V2-Small-hf",
        "depth, near is white",
        "lllyasviel/control_v11f1p_sd15_depth", "diffusers/controlnet-depth-sdxl-1.0",
        "Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
    ),
    ControlRow(
        "NormalBaeDetector", _PACKAGE, "normals_bae", "lllyasviel/Annotators: scannet.pt",
        "normals: red left, green top, blue front", f"{_SD15}normalbae", _UNION,
    ),
    ControlRow(
        "Sapiens2ForNormalEstimation", _SUCCESSOR, "normals_sapiens", "facebook/sapiens2-normal-0.4b",
        "normals: x, y, z as red, green, blue", f"{_SD15}normalbae", _UNION, "",
        "its axes were not compared with those that the ControlNets want: see `flip_x` and `flip_y`",
    ),
    ControlRow(
        "OpenposeDetector", _PACKAGE, "pose_openpose",
        "lllyasviel/Annotators: body_pose_model.pth, hand_pose_model.pth, facenet.pth", "skeletons on black",
        f"{_SD15}openpose", "xinsir/controlnet-openpose-sdxl-1.0", _PRO,
        "for non-commercial use only, says its licence",
    ),
    ControlRow(
        "VitPoseForPoseEstimation", _SUCCESSOR, "pose_vitpose",
        "usyd-community/vitpose-base-simple, PekingU/rtdetr_r50vd_coco_o365", "skeletons on black",
        f"{_SD15}openpose", "xinsir/controlnet-openpose-sdxl-1.0", _PRO,
    ),
    ControlRow(
        "DWposeDetector", _PACKAGE, "", "", "skeletons on black", f"{_SD15}openpose", "", "",
        "does not work: it wants mmpose and mmdet, which do not install beside a torch of today: `pose_vitpose`",
    ),
    ControlRow(
        "MediapipeFaceDetector", _PACKAGE, "", "", "a mesh of the face", "CrucibleAI/ControlNetMediaPipeFace", "", "",
        "does not work: without mediapipe it fails, and beside one of today all of controlnet-aux does: "
        "`pose_openpose` with `face`",
    ),
    ControlRow(
        "SamDetector", _PACKAGE, "segment_anything", "dhkim2810/MobileSAM: mobile_sam.pt",
        "each thing in a colour of its own", "", "", "", "no public ControlNet reads these colours",
    ),
    ControlRow(
        "UperNetForSemanticSegmentation", _SUCCESSOR, "semantic_segmentation", "openmmlab/upernet-convnext-tiny",
        "the colours of ADE20K", f"{_SD15}seg", _UNION,
    ),
    ControlRow(
        "ContentShuffleDetector", _PACKAGE, "shuffle", "", "the picture, warped",
        "lllyasviel/control_v11e_sd15_shuffle", "", "",
        "pixel for pixel the package's, without its import and without NumPy's global random numbers",
    ),
)  # fmt: skip
"""All detectors of controlnet-aux 0.0.10, and those of transformers that come after them."""


def control_section() -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield "| detector | tool | weights | map | Stable Diffusion 1.5 | XL | Flux | |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in CONTROL:
        tool = f"[`{row.tool}`](#{row.tool})" if row.tool else "none"
        nets = [f"`{net}`" if net else "" for net in (row.sd15, row.sdxl, row.flux)]
        cells = [f"`{row.detector}` ({row.of})", tool, row.weights or "none", row.output, *nets, row.note]
        yield f"| {' | '.join(cells)} |"
