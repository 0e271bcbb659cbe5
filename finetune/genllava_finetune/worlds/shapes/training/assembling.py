"""From the trained parts to the pipeline that ships, and from a pipeline back to parts that can be tuned further."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from transformers import CLIPTextModel, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from genllava.generation_head import GenerationHead
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes.decoder_pipeline import ShapesDecoderPipeline
from genllava.protocols.shapes.processing import build_processor
from genllava_finetune.worlds.shapes.training.image_decoder import new_scheduler

NUM_INFERENCE_STEPS: Final = 4
GUIDANCE_SCALE: Final = 1.0
BRIDGE: Final = "caption"
"""What measured best on the development split (docs/log.md)."""
PLAN_TEMPERATURE: Final = 0.7


def assemble(
    workspace: Path,
    llava: LlavaForConditionalGeneration,
    generation_head: GenerationHead,
    tokenizer: PreTrainedTokenizerFast,
) -> GenLlavaPipeline:
    """The pipeline of a tuned language model and the decoder parts of `workspace`."""
    vision: Any = llava.config.vision_config
    decoder = workspace / "image_decoder"
    controlnets = {folder.name: ControlNetModel.from_pretrained(folder) for folder in _controlnet_folders(workspace)}
    pipeline = GenLlavaPipeline(
        vlm=llava,
        processor=build_processor(tokenizer, vision.image_size, vision.patch_size),
        decoder=ShapesDecoderPipeline(
            unet=UNet2DConditionModel.from_pretrained(decoder / "unet"),
            vae=AutoencoderPatch.from_pretrained(workspace / "autoencoder"),
            scheduler=new_scheduler(),
            text_encoder=CLIPTextModel.from_pretrained(decoder / "text_encoder"),
            tokenizer=PreTrainedTokenizerFast.from_pretrained(decoder / "tokenizer"),
        ),
        generation_head=generation_head,
        controlnets=controlnets,
        protocol="shapes",
        bridge=BRIDGE,
        drawing_options={
            "num_inference_steps": NUM_INFERENCE_STEPS,
            "guidance_scale": GUIDANCE_SCALE,
            "image_guidance_scale": GUIDANCE_SCALE,
        },
        protocol_options={"edits_from_plans": True, "plan_temperature": PLAN_TEMPERATURE},
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def assemble_saved(workspace: Path) -> GenLlavaPipeline:
    """The pipeline of a finished workspace: with the language model after its joint tuning, if that is there."""
    joint = workspace / "joint"
    folder = joint if joint.is_dir() else workspace / "language_model"
    return assemble(
        workspace,
        LlavaForConditionalGeneration.from_pretrained(folder / "llava").eval(),
        GenerationHead.from_pretrained(folder / "generation_head").eval(),
        PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
    )


def save_half(pipeline: GenLlavaPipeline, folder: Path) -> None:
    """Save in half precision, which halves the wheel, and ControlNets in a quarter; loading goes back to single.

    The matrices of a ControlNet lose 3% in eight bits, of which its pictures show nothing (docs/log.md).
    """
    decoder: Any = pipeline.decoder
    for part in (*pipeline.components.values(), *decoder.components.values()):
        if isinstance(part, torch.nn.Module):
            torch.nn.Module.to(part, torch.float16)  # diffusers' own `to` warns where there is nothing to warn of
    for part in pipeline.controlnets.values():
        for parameter in part.parameters():
            parameter.data = parameter.data.to(torch.float8_e4m3fn if parameter.ndim > 1 else torch.float16)
    pipeline.save_pretrained(folder)
    for path in [*folder.rglob("config.json"), *folder.rglob("model_index.json")]:
        path.write_text(json.dumps(_without_places(json.loads(path.read_text())), indent=2) + "\n")


def _without_places(config: Any) -> Any:
    """A config without the paths its parts were loaded from, which say something of this machine only."""
    if not isinstance(config, dict):
        return config
    return {key: _without_places(value) for key, value in config.items() if key != "_name_or_path"}


def unpack(model: Path, workspace: Path, trained: Collection[str] = ()) -> None:
    """Lay out a saved pipeline as finished parts, so that others can be trained from them.

    Args:
        trained: names of the parts that are to be trained, and are therefore not finished.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    pipeline = GenLlavaPipeline.from_pretrained(model)
    decoder: Any = pipeline.decoder
    saved: dict[str, dict[str, Any]] = {
        "autoencoder": {".": decoder.vae},
        "image_decoder": {
            "unet": decoder.unet,
            "text_encoder": decoder.text_encoder,
            "tokenizer": decoder.tokenizer,
        },
        "language_model": {
            "llava": pipeline.vlm,
            "generation_head": pipeline.generation_head,
            "tokenizer": pipeline.processor.tokenizer,
        },
    }
    if pipeline.controlnets:
        saved["controlnet"] = dict(pipeline.controlnets)
    for name, components in saved.items():
        if name in trained or (workspace / name).is_dir():
            continue
        staging = workspace / f"{name}.staging"
        shutil.rmtree(staging, ignore_errors=True)
        for place, component in components.items():
            component.save_pretrained(staging / place)
        staging.rename(workspace / name)


def _controlnet_folders(workspace: Path) -> list[Path]:
    return sorted(path.parent for path in (workspace / "controlnet").glob("*/config.json"))
