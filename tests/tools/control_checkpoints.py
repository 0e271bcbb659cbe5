"""Random weights in the layouts that tools of control maps read: files of controlnet-aux, folders of transformers."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
import transformers as t
from tiny_checkpoints import depth_anything

from genllava_tools.aux_detectors import controlnet_aux, quietly


def save_aux(name: str, folder: Path) -> Path:
    """Write the files of a detector of controlnet-aux: one of `AUX`."""
    package = controlnet_aux()
    torch.manual_seed(0)
    with quietly():
        for file, state in AUX[name](package):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, folder / file)
    return folder


def save_transformers(name: str, folder: Path) -> Path:
    """Write a checkpoint of transformers: one of `TRANSFORMERS`."""
    torch.manual_seed(0)
    model, processor = TRANSFORMERS[name]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


_Files = list[tuple[str, Any]]


def _hed(package: Any) -> _Files:
    return [("ControlNetHED.pth", package.hed.ControlNetHED_Apache2().state_dict())]


def _pidinet(package: Any) -> _Files:
    network = package.pidi.pidinet()
    network.classifier.weight.data *= 100  # else all edges are of the same strength
    network.classifier.bias.data.zero_()
    state = network.state_dict()
    return [("table5_pidinet.pth", {"state_dict": {f"module.{key}": value for key, value in state.items()}})]


def _ted(package: Any) -> dict[str, Any]:
    network = package.teed.TED()
    for name, weight in network.named_parameters():
        if name.startswith("up_block") and name.endswith("weight"):
            weight.data *= 3  # else all edges are of one step of strength
    state: dict[str, Any] = network.state_dict()
    return state


def _teed(package: Any) -> _Files:
    return [("5_model.pth", _ted(package))]


def _anyline(package: Any) -> _Files:
    return [("Anyline/MTEED.pth", _ted(package))]


def _mlsd(package: Any) -> _Files:
    return [("mlsd_large_512_fp32.pth", package.mlsd.MobileV2_MLSD_Large().state_dict())]


def _lineart(package: Any) -> _Files:
    return [(file, package.lineart.Generator(3, 1, 3).state_dict()) for file in ("sk_model.pth", "sk_model2.pth")]


def _lineart_anime(package: Any) -> _Files:
    norm = functools.partial(torch.nn.InstanceNorm2d, affine=False, track_running_stats=False)
    return [("netG.pth", package.lineart_anime.UnetGenerator(3, 1, 8, 64, norm_layer=norm).state_dict())]


def _normal_bae(package: Any) -> _Files:
    settings = types.SimpleNamespace(architecture="BN", sampling_ratio=0.4, importance_ratio=0.7)
    network = package.normalbae.NNET(settings)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # random layers without trained norms fade out
            layer.train().momentum = 1.0
    with torch.no_grad():
        network(torch.rand(1, 3, 64, 64), mode="test")
    return [("scannet.pt", {"model": network.state_dict()})]


def _midas(package: Any) -> _Files:
    network = package.midas.api.DPTDepthModel(path=None, backbone="vitb_rn50_384", non_negative=True)
    return [("dpt_hybrid-midas-501f0c75.pt", network.state_dict())]


def _leres(package: Any) -> _Files:
    state = package.leres.RelDepthModel(backbone="resnext101").state_dict()
    return [("res101.pth", {"depth_model": {f"module.{key}": value for key, value in state.items()}})]


def _zoe(package: Any) -> _Files:
    network = package.zoe.ZoeDepth.build_from_config(package.zoe.get_config("zoedepth", "infer"))
    return [("ZoeD_M12_N.pt", {"model": network.state_dict()})]


def _openpose(package: Any) -> _Files:
    def without_first_word(state: dict[str, Any]) -> dict[str, Any]:
        return {key.partition(".")[2]: value for key, value in state.items()}

    body, hand = package.open_pose.body.bodypose_model(), package.open_pose.hand.handpose_model()
    return [
        ("body_pose_model.pth", without_first_word(body.state_dict())),
        ("hand_pose_model.pth", without_first_word(hand.state_dict())),
        ("facenet.pth", package.open_pose.face.FaceNet().state_dict()),
    ]


def _mobile_sam(package: Any) -> _Files:
    network = package.segment_anything.sam_model_registry["vit_t"]()
    quality = network.mask_decoder.iou_prediction_head.layers[-1]
    torch.nn.init.zeros_(quality.weight)
    torch.nn.init.constant_(quality.bias, 0.95)  # else no mask is kept
    for head in network.mask_decoder.output_hypernetworks_mlps:
        head.layers[-1].weight.data *= 1e4
        head.layers[-1].bias.data *= 1e4
    return [("mobile_sam.pt", network.state_dict())]


AUX: Final[dict[str, Callable[[Any], _Files]]] = {
    "hed": _hed,
    "pidinet": _pidinet,
    "teed": _teed,
    "anyline": _anyline,
    "mlsd": _mlsd,
    "lineart": _lineart,
    "lineart_anime": _lineart_anime,
    "normal_bae": _normal_bae,
    "midas": _midas,
    "leres": _leres,
    "zoe": _zoe,
    "openpose": _openpose,
    "mobile_sam": _mobile_sam,
}


def people(sure: bool = True) -> tuple[Any, Any]:
    """A detector of people that is sure of all of its boxes, or of none."""
    config = t.RTDetrConfig(
        backbone_config=t.RTDetrResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=16, encoder_in_channels=[16, 16, 16], encoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_ffn_dim=16, decoder_attention_heads=2, decoder_layers=2, d_model=16, num_queries=6,
        decoder_in_channels=[16, 16, 16], num_denoising=0, id2label={0: "person", 1: "bicycle"},
        disable_custom_kernels=True,
    )  # fmt: skip
    model = t.RTDetrForObjectDetection(config)
    for head in model.model.decoder.class_embed:
        head.weight.data *= 0.1
        head.bias.data = torch.tensor([3.0 if sure else -1.0, -3.0])
    return model, t.RTDetrImageProcessor(size={"height": 64, "width": 64})


def pose(num_experts: int = 1, joints: int = 17) -> tuple[Any, Any]:
    config = t.VitPoseConfig(
        backbone_config=t.VitPoseBackboneConfig(
            image_size=[64, 48], patch_size=[16, 16], hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            mlp_ratio=2, num_experts=num_experts, part_features=8 if num_experts > 1 else 256,
        ),
        num_labels=joints, use_simple_decoder=True, scale_factor=4,
    )  # fmt: skip
    model = t.VitPoseForPoseEstimation(config)
    model.head.conv.weight.data *= 30  # joints are found
    return model, t.VitPoseImageProcessor(size={"height": 64, "width": 48})


def normals() -> tuple[Any, Any]:
    config = t.Sapiens2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=[64, 48],
        patch_size=16, num_labels=3,
        head_config={"upsample_out_channels": [16, 8, 8, 8], "use_pixel_shuffle": True, "conv_out_channels": [8]},
    )  # fmt: skip
    return t.Sapiens2ForNormalEstimation(config), t.Sapiens2ImageProcessor(
        size={"height": 64, "width": 48}, do_pad=True
    )


def semantic(kinds: int = 150) -> tuple[Any, Any]:
    config = t.UperNetConfig(
        backbone_config=t.ConvNextConfig(
            hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        hidden_size=16, num_labels=kinds, use_auxiliary_head=False,
    )  # fmt: skip
    model = t.UperNetForSemanticSegmentation(config)
    return model, t.SegformerImageProcessor(size={"height": 64, "width": 64})


TRANSFORMERS: Final[dict[str, Callable[[], tuple[Any, Any]]]] = {
    "depth": depth_anything,
    "people": people,
    "pose": pose,
    "normals": normals,
    "semantic_segmentation": semantic,
}
