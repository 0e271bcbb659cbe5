"""What diffusers offers beside the call: schedulers, LoRAs, offloading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict

from genllava.errors import Cancelled, InvalidRequest
from genllava.image_decoder import ImageDecoder
from tests.genllava.image_decoder.small import drawn, options, picture, pixels, plain

Load = Callable[[str], Any]
WITH_LORA = ("sd15", "sdxl", "sd35", "flux", "sana", "qwen_image", "instruct_pix2pix")


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("sd15", "EulerDiscreteScheduler"),
        ("sd15", "HeunDiscreteScheduler"),
        ("sd15", "EulerAncestralDiscreteScheduler"),
        ("sd21", "DPMSolverMultistepScheduler"),
        ("sdxl", "UniPCMultistepScheduler"),
        ("sd35", "FlowMatchHeunDiscreteScheduler"),
        ("pixart_sigma", "DDIMScheduler"),
    ],
)
def test_a_scheduler_of_ones_own(name: str, scheduler: str, own: Load) -> None:
    pipeline = own(name)
    before = drawn(pipeline, name=name, num_inference_steps=3)
    kind = getattr(diffusers, scheduler)
    pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
    after = drawn(pipeline, name=name, num_inference_steps=3)
    expected = plain(pipeline, 3, prompt="a red cat", **options(name, num_inference_steps=3))[0]
    assert (after != before).any()
    assert (after == pixels(expected)).all()
    if name == "sd15":  # the sibling that edits has it too
        edited = ImageDecoder(pipeline).edit(
            [picture(64, 64)], ["a"], seeds=[1], options={"num_inference_steps": 4, "strength": 0.5}
        )
        sibling = diffusers.StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False)
        chosen = {"num_inference_steps": 4, "strength": 0.5}
        expected = plain(sibling, 1, prompt="a", image=picture(64, 64), **chosen)[0]
        assert (pixels(edited[0]) == pixels(expected)).all()


def save_lora(pipeline: Any, folder: Path) -> None:
    """A LoRA of random weights for the attention of the denoiser, as training scripts of diffusers save one."""
    part = "unet" if hasattr(pipeline, "unet") else "transformer"
    denoiser = getattr(pipeline, part)
    torch.manual_seed(0)
    denoiser.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    with torch.no_grad():
        for name, weight in denoiser.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    layers = {f"{part}_lora_layers": get_peft_model_state_dict(denoiser)}
    type(pipeline).save_lora_weights(folder, **layers)


@pytest.mark.parametrize("name", WITH_LORA)
def test_a_lora(name: str, own: Load, tmp_path: Path) -> None:
    save_lora(own(name), tmp_path)
    pipeline = own(name)
    decoder = ImageDecoder(pipeline)

    def made() -> Any:
        if name == "instruct_pix2pix":
            small = {"num_inference_steps": 2}
            return pixels(decoder.edit([picture(64, 64)], ["a red cat"], seeds=[3], options=small)[0])
        return drawn(pipeline, name=name)

    before = made()
    pipeline.load_lora_weights(tmp_path, weight_name="pytorch_lora_weights.safetensors")
    with_it = made()
    assert (before != with_it).any()
    arguments = {"image": picture(64, 64), "num_inference_steps": 2} if name == "instruct_pix2pix" else options(name)
    assert (with_it == pixels(plain(pipeline, 3, prompt="a red cat", **arguments)[0])).all()
    pipeline.unload_lora_weights()
    assert (made() == before).all()


@pytest.mark.parametrize("name", ["dreamlite", "longcat_image"])
def test_a_lora_where_only_the_denoiser_takes_one(name: str, own: Load) -> None:
    pipeline = own(name)
    before = drawn(pipeline, name=name)
    denoiser = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    denoiser.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_q", "to_v"]))
    assert (drawn(pipeline, name=name) != before).any()
    denoiser.disable_adapters()
    assert (drawn(pipeline, name=name) == before).all()


@pytest.mark.parametrize("name", ["sd15", "sd35", "flux", "qwen_image", "longcat_image", "dreamlite"])
def test_offloading(name: str, own: Load) -> None:
    """On the CPU itself, where each model moves from it to it: the hooks are those of an accelerator."""
    pipeline = own(name)
    before = drawn(pipeline, name=name)
    decoder = ImageDecoder(pipeline)
    decoder.enable_model_cpu_offload(device="cpu")
    hooks = [module for module in pipeline.components.values() if hasattr(module, "_hf_hook")]
    assert len(hooks) >= 3
    assert (drawn(pipeline, name=name) == before).all()
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        decoder.generate(["a"], seeds=[1], options=options(name, cancel=lambda: next(asked)))
    assert (drawn(pipeline, name=name) == before).all()
    assert [module for module in pipeline.components.values() if hasattr(module, "_hf_hook")] == hooks
    if name in ("sd15", "sd35"):
        edited = decoder.edit([picture(64, 64)], ["a"], seeds=[1], options={"num_inference_steps": 4})
        assert edited[0].pipeline.endswith("Img2ImgPipeline")


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator to offload from")
def test_offloading_without_an_accelerator(own: Load) -> None:
    with pytest.raises(InvalidRequest, match=r"StableDiffusionPipeline cannot be offloaded: .*accelerator"):
        ImageDecoder(own("sd15")).enable_model_cpu_offload()


def test_another_precision(own: Load) -> None:
    decoder = ImageDecoder(own("sd15").to(torch.bfloat16))
    result = decoder.generate(["a red cat"], seeds=[3], options=options("sd15"))[0]
    expected = plain(decoder.pipeline, 3, prompt="a red cat", **options("sd15"))[0]
    assert (pixels(result) == pixels(expected)).all()
