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
        kind: of the map, as `generate_from_control` has it, and by which a ControlNet may be named.
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
    kind: str
    weights: str
    output: str
    sd15: str = ""
    sdxl: str = ""
    flux: str = ""
    note: str = ""


CONTROL: Final = (
    ControlRow(
        "CannyDetector",
        _PACKAGE,
        tool="canny",
        kind="canny",
        weights="",
        output="hard edges, white on black",
        sd15=f"{_SD15}canny",
        sdxl="diffusers/controlnet-canny-sdxl-1.0",
        flux="InstantX/FLUX.1-dev-Controlnet-Canny",
        note="OpenCV, without the package's import: that detector is black on modes 1 and CMYK, and fails on LA",
    ),
    ControlRow(
        "LineartDetector",
        _PACKAGE,
        tool="lineart",
        kind="lineart",
        weights="lllyasviel/Annotators: sk_model.pth, sk_model2.pth",
        output="line drawing, white on black",
        sd15=f"{_SD15}lineart",
        sdxl=_UNION,
    ),
    ControlRow(
        "LineartAnimeDetector",
        _PACKAGE,
        tool="lineart_anime",
        kind="lineart",
        weights="lllyasviel/Annotators: netG.pth",
        output="line drawing, white on black",
        sd15="lllyasviel/control_v11p_sd15s2_lineart_anime",
        sdxl=_UNION,
    ),
    ControlRow(
        "LineartStandardDetector",
        _PACKAGE,
        tool="lineart_standard",
        kind="lineart",
        weights="",
        output="soft dark lines, white on black",
        sd15=f"{_SD15}lineart",
        sdxl=_UNION,
        note="pixel for pixel the package's, without its import; drawings in flat colours have no such lines",
    ),
    ControlRow(
        "AnylineDetector",
        _PACKAGE,
        tool="lineart_anyline",
        kind="lineart",
        weights="TheMistoAI/MistoLine: Anyline/MTEED.pth",
        output="all lines, white on black",
        sdxl="TheMistoAI/MistoLine",
    ),
    ControlRow(
        "HEDdetector",
        _PACKAGE,
        tool="soft_edge_hed",
        kind="soft_edge",
        weights="lllyasviel/Annotators: ControlNetHED.pth",
        output="soft edges, white on black",
        sd15=f"{_SD15}softedge",
        sdxl=_UNION,
        flux=_PRO,
    ),
    ControlRow(
        "HEDdetector(scribble)",
        _PACKAGE,
        tool="scribble_hed",
        kind="scribble",
        weights="lllyasviel/Annotators: ControlNetHED.pth",
        output="thick lines, white on black",
        sd15=f"{_SD15}scribble",
        sdxl="xinsir/controlnet-scribble-sdxl-1.0",
    ),
    ControlRow(
        "PidiNetDetector",
        _PACKAGE,
        tool="soft_edge_pidinet",
        kind="soft_edge",
        weights="lllyasviel/Annotators: table5_pidinet.pth",
        output="soft edges, white on black",
        sd15=f"{_SD15}softedge",
        sdxl=_UNION,
        flux=_PRO,
    ),
    ControlRow(
        "PidiNetDetector(scribble)",
        _PACKAGE,
        tool="scribble_pidinet",
        kind="scribble",
        weights="lllyasviel/Annotators: table5_pidinet.pth",
        output="thick lines, white on black",
        sd15=f"{_SD15}scribble",
        sdxl="xinsir/controlnet-scribble-sdxl-1.0",
    ),
    ControlRow(
        "TEEDdetector",
        _PACKAGE,
        tool="soft_edge_teed",
        kind="soft_edge",
        weights="fal-ai/teed: 5_model.pth",
        output="soft edges in steps, white on black",
        sd15=f"{_SD15}softedge",
        sdxl=_UNION,
        flux=_PRO,
    ),
    ControlRow(
        "MLSDdetector",
        _PACKAGE,
        tool="straight_lines",
        kind="straight_lines",
        weights="lllyasviel/Annotators: mlsd_large_512_fp32.pth",
        output="straight lines, white on black",
        sd15=f"{_SD15}mlsd",
        sdxl=_UNION,
    ),
    ControlRow(
        "MidasDetector",
        _PACKAGE,
        tool="depth_midas",
        kind="depth",
        weights="lllyasviel/Annotators: dpt_hybrid-midas-501f0c75.pt",
        output="depth, near is white",
        sd15="lllyasviel/control_v11f1p_sd15_depth",
        sdxl="diffusers/controlnet-depth-sdxl-1.0",
        flux="Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
        note="123 million parameters",
    ),
    ControlRow(
        "MidasDetector(depth_and_normal)",
        _PACKAGE,
        tool="normals_midas",
        kind="normal",
        weights="lllyasviel/Annotators: dpt_hybrid-midas-501f0c75.pt",
        output="normals from slopes of depth",
        sd15="lllyasviel/sd-controlnet-normal",
    ),
    ControlRow(
        "LeresDetector",
        _PACKAGE,
        tool="depth_leres",
        kind="depth",
        weights="lllyasviel/Annotators: res101.pth",
        output="depth, near is white",
        sd15="lllyasviel/control_v11f1p_sd15_depth",
        sdxl="diffusers/controlnet-depth-sdxl-1.0",
        flux="Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
        note="without boosting: to build that network the package parses the command line of the process",
    ),
    ControlRow(
        "ZoeDetector",
        _PACKAGE,
        tool="depth_zoe",
        kind="depth",
        weights="lllyasviel/Annotators: ZoeD_M12_N.pt",
        output="depth, near is white",
        sd15="lllyasviel/control_v11f1p_sd15_depth",
        sdxl="diffusers/controlnet-zoe-depth-sdxl-1.0",
        flux="Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
        note="345 million parameters",
    ),
    ControlRow(
        "DepthAnythingForDepthEstimation",
        _SUCCESSOR,
        tool="depth_map",
        kind="depth",
        weights="depth-anything/Depth-Anything-V2-Small-hf",
        output="depth, near is white",
        sd15="lllyasviel/control_v11f1p_sd15_depth",
        sdxl="diffusers/controlnet-depth-sdxl-1.0",
        flux="Shakker-Labs/FLUX.1-dev-ControlNet-Depth",
    ),
    ControlRow(
        "NormalBaeDetector",
        _PACKAGE,
        tool="normals_bae",
        kind="normal",
        weights="lllyasviel/Annotators: scannet.pt",
        output="normals: red left, green top, blue front",
        sd15=f"{_SD15}normalbae",
        sdxl=_UNION,
    ),
    ControlRow(
        "Sapiens2ForNormalEstimation",
        _SUCCESSOR,
        tool="normals_sapiens",
        kind="normal",
        weights="facebook/sapiens2-normal-0.4b",
        output="normals: x, y, z as red, green, blue",
        sd15=f"{_SD15}normalbae",
        sdxl=_UNION,
        note="its axes were not compared with those that the ControlNets want: see `flip_x` and `flip_y`",
    ),
    ControlRow(
        "OpenposeDetector",
        _PACKAGE,
        tool="pose_openpose",
        kind="pose",
        weights="lllyasviel/Annotators: body_pose_model.pth, hand_pose_model.pth, facenet.pth",
        output="skeletons on black",
        sd15=f"{_SD15}openpose",
        sdxl="xinsir/controlnet-openpose-sdxl-1.0",
        flux=_PRO,
        note="for non-commercial use only, says its licence",
    ),
    ControlRow(
        "VitPoseForPoseEstimation",
        _SUCCESSOR,
        tool="pose_vitpose",
        kind="pose",
        weights="usyd-community/vitpose-base-simple, PekingU/rtdetr_r50vd_coco_o365",
        output="skeletons on black",
        sd15=f"{_SD15}openpose",
        sdxl="xinsir/controlnet-openpose-sdxl-1.0",
        flux=_PRO,
    ),
    ControlRow(
        "DWposeDetector",
        _PACKAGE,
        tool="",
        kind="pose",
        weights="",
        output="skeletons on black",
        sd15=f"{_SD15}openpose",
        note="does not work: it wants mmpose and mmdet, which do not install beside a torch of today: `pose_vitpose`",
    ),
    ControlRow(
        "MediapipeFaceDetector",
        _PACKAGE,
        tool="",
        kind="",
        weights="",
        output="a mesh of the face",
        sd15="CrucibleAI/ControlNetMediaPipeFace",
        note="does not work: without mediapipe it fails, and beside one of today all of controlnet-aux does: "
        "`pose_openpose` with `face`",
    ),
    ControlRow(
        "SamDetector",
        _PACKAGE,
        tool="segment_anything",
        kind="",
        weights="dhkim2810/MobileSAM: mobile_sam.pt",
        output="each thing in a colour of its own",
        note="no public ControlNet reads these colours",
    ),
    ControlRow(
        "UperNetForSemanticSegmentation",
        _SUCCESSOR,
        tool="semantic_segmentation",
        kind="segmentation",
        weights="openmmlab/upernet-convnext-tiny",
        output="the colours of ADE20K",
        sd15=f"{_SD15}seg",
        sdxl=_UNION,
    ),
    ControlRow(
        "ContentShuffleDetector",
        _PACKAGE,
        tool="shuffle",
        kind="shuffle",
        weights="",
        output="the picture, warped",
        sd15="lllyasviel/control_v11e_sd15_shuffle",
        note="pixel for pixel the package's, without its import and without NumPy's global random numbers",
    ),
)
"""All detectors of controlnet-aux 0.0.10, and those of transformers that come after them."""


def control_section() -> Iterator[str]:
    """The table in Markdown, line by line."""
    yield "| detector | tool | kind | weights | map | Stable Diffusion 1.5 | XL | Flux | |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in CONTROL:
        tool = f"[`{row.tool}`](#{row.tool})" if row.tool else "none"
        nets = [f"`{net}`" if net else "" for net in (row.sd15, row.sdxl, row.flux)]
        cells = [f"`{row.detector}` ({row.of})", tool, row.kind, row.weights or "none", row.output, *nets, row.note]
        yield f"| {' | '.join(cells)} |"
