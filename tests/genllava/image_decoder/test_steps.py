"""What happens between the steps: callbacks, previews, stopping, calls from several threads, numbers gone wrong."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessor

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError
from genllava.image_decoder import ImageDecoder
from tests.genllava.image_decoder.small import drawn, options, picture, pixels, plain
from tests.genllava.image_decoder.test_drawing import DISTINCT

Load = Callable[[str], Any]
WITHOUT_CALLBACK = ("pixart_sigma", "longcat_image", "dreamlite")
"""Their calls know no `callback_on_step_end`."""


@pytest.mark.parametrize("name", DISTINCT)
def test_a_callback_sees_every_step_and_can_look(name: str, shared: Load) -> None:
    decoder, seen, looks = ImageDecoder(shared(name)), [], []

    def look(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append((step, float(timestep)))
        looks.append(decoder.preview(pipe, tensors["latents"], aspect=96 / 64))
        return tensors

    chosen = options(name, width=96, callback_on_step_end=look)
    result = decoder.generate(["a red cat"], seeds=[3], options=chosen)[0]
    assert (pixels(result) == drawn(shared(name), name=name, width=96)).all()  # looking changes nothing
    assert [step for step, _ in seen] == [0, 1]
    assert seen[0][1] > seen[1][1]
    assert all(isinstance(image, Image.Image) and image.width * 64 == image.height * 96 for image in looks)
    last = np.asarray(looks[-1].resize((96, 64)), int)
    assert abs(last - pixels(result)).mean() < 12  # the last latents, decoded, are the picture


@pytest.mark.parametrize("name", ["sd15", "pixart_sigma"])
def test_a_callback_can_change_the_latents(name: str, shared: Load) -> None:
    def clear(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(tensors["latents"])}

    changed = drawn(shared(name), name=name, callback_on_step_end=clear)
    assert (changed != drawn(shared(name), name=name)).any()
    assert (changed == drawn(shared(name), "other", 9, name=name, callback_on_step_end=clear)).all()


def test_tensors_that_a_callback_cannot_have(shared: Load) -> None:
    chosen = {"callback_on_step_end": lambda *_: {}, "callback_on_step_end_tensor_inputs": ["latents", "prompt_embeds"]}
    drawn(shared("sd15"), name="sd15", **chosen)
    with pytest.raises(
        InvalidRequest, match="DreamLitePipeline gives callbacks nothing but latents, not prompt_embeds"
    ):
        drawn(shared("dreamlite"), name="dreamlite", **chosen)


def test_what_a_callback_raises_comes_out(shared: Load) -> None:
    def fail(*_: Any) -> dict[str, Any]:
        raise ValueError("mine")

    for name in ("sd15", "dreamlite"):
        with pytest.raises(ValueError, match="mine"):
            drawn(shared(name), name=name, callback_on_step_end=fail)


@pytest.mark.parametrize("name", [*DISTINCT, "instruct_pix2pix", "sdxl_instruct_pix2pix"])
def test_it_stops_when_cancelled(name: str, shared: Load) -> None:
    decoder, editing = ImageDecoder(shared(name)), name.endswith("pix2pix")
    for after in (0, 1):
        asked = iter([False] * after + [True] * 9)
        chosen = {"num_inference_steps": 4, "cancel": lambda asked=asked: next(asked)}
        words: dict[str, Any] = {"seeds": [1], "options": chosen if editing else options(name, **chosen)}
        with pytest.raises(Cancelled):
            _ = decoder.edit([picture(64, 64)], ["a"], **words) if editing else decoder.generate(["a"], **words)
        assert (decoder.counters.unet_rows > 0) == bool(after)
        assert decoder.counters.unet_rows <= 3  # one step of at most three branches


def test_threads_do_not_disturb_each_other(shared: Load) -> None:
    """A scheduler counts its steps, and a pipeline keeps its guidance, in attributes of their own."""
    for name in ("sdxl", "flux"):
        decoder = ImageDecoder(shared(name))
        jobs = [(f"cat {i}", i, 2 + i % 3, 1.5 + i) for i in range(6)]

        def draw(job: tuple[str, int, int, float], decoder: ImageDecoder = decoder, name: str = name) -> Any:
            prompt, seed, steps, scale = job
            chosen = options(name, num_inference_steps=steps, guidance_scale=scale)
            return pixels(decoder.generate([prompt], seeds=[seed], options=chosen)[0])

        alone = [draw(job) for job in jobs]
        rows = decoder.counters.unet_rows
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(draw, jobs))
        assert all((a == b).all() for a, b in zip(alone, together, strict=True))
        assert decoder.counters.unet_rows == 2 * rows


def test_the_pipeline_is_left_as_it_was(shared: Load, capfd: pytest.CaptureFixture[str]) -> None:
    pipeline = shared("sd15")
    scheduler, step = pipeline.scheduler, pipeline.scheduler.step
    before = {name: value for name, value in vars(pipeline).items() if name != "_internal_dict"}
    drawn(pipeline, name="sd15")
    assert pipeline.scheduler is scheduler
    assert pipeline.scheduler.step == step
    assert {name: value for name, value in vars(pipeline).items() if name != "_internal_dict"} == before
    assert "it/s" not in capfd.readouterr().err  # no bar unless the pipeline was given one


@pytest.mark.parametrize("name", ["sd15", "flux", "pixart_sigma", "dreamlite", "qwen_image"])
def test_nan_in_the_denoiser(name: str, own: Load) -> None:
    pipeline = own(name)
    denoiser = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    with torch.no_grad():
        next(denoiser.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=f"{type(pipeline).__name__}: NaN or infinity in the latents after step 1"):
        drawn(pipeline, name=name)


@pytest.mark.parametrize("name", ["sd15", "flux", "pixart_sigma", "dreamlite", "qwen_image", "sana"])
def test_nan_in_the_autoencoder(name: str, own: Load) -> None:
    pipeline = own(name)
    with torch.no_grad():
        next(pipeline.vae.decoder.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=f"{type(pipeline).__name__}: NaN or infinity from its autoencoder"):
        drawn(pipeline, name=name)


def test_nan_in_an_editor(own: Load) -> None:
    pipeline = own("instruct_pix2pix")
    with torch.no_grad():
        next(pipeline.vae.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        ImageDecoder(None, pipeline).edit([picture(64, 64)], ["a"], seeds=[1], options={"num_inference_steps": 2})


def test_a_safety_checker_that_refuses_is_heard(own: Load) -> None:
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    vision = {**small, "image_size": 32, "patch_size": 16, "projection_dim": 8}
    config = CLIPConfig(text_config={**small, "vocab_size": 9}, vision_config=vision, projection_dim=8)
    pipeline = own("sd15")
    size = {"height": 32, "width": 32}
    pipeline.register_modules(
        safety_checker=StableDiffusionSafetyChecker(config).eval(),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size),
    )
    with torch.no_grad():
        pipeline.safety_checker.concept_embeds_weights.fill_(9.0)
    passed = drawn(pipeline, name="sd15")
    assert (passed == pixels(plain(pipeline, 3, prompt="a red cat", **options("sd15"))[0])).all()
    with torch.no_grad():
        pipeline.safety_checker.concept_embeds_weights.fill_(-9.0)
    with pytest.raises(InvalidRequest, match="safety checker of StableDiffusionPipeline blacked out picture 1"):
        drawn(pipeline, name="sd15")
