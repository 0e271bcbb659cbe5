"""The denoising loop: guidance, schedulers, and stopping in time."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError
from genllava.pipeline_genllava import GenLlavaPipeline
from genllava.protocols.shapes.denoising import Guidance, denoise


@pytest.mark.slow
def test_schedulers_work_where_warnings_are_errors() -> None:
    program = "import torch; from diffusers import DPMSolverMultistepScheduler; "
    program += "from genllava.protocols.shapes import denoising; "
    program += "denoising._set_timesteps(DPMSolverMultistepScheduler(), 4, (8, 8), torch.device('cpu'))"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def run(pipe: GenLlavaPipeline, rows: int = 1, *, seeds: list[int] | None = None, **options: Any) -> Tensor:
    prompts = torch.randn(rows, 12, 32, generator=torch.Generator().manual_seed(1))
    settings: dict[str, Any] = {
        "unet": pipe.decoder.unet,
        "scheduler": pipe.decoder.scheduler,
        "prompt_embeds": prompts,
        "null_embeds": torch.zeros(1, 12, 32),
        "generators": [torch.Generator().manual_seed(seed) for seed in seeds or range(rows)],
        "latent_size": (4, 4),
        "counters": pipe.counters,
        "num_inference_steps": 3,
        "guidance_scale": 2.0,
        "image_guidance_scale": 1.5,
        **options,
    }
    with torch.no_grad():
        return denoise(**settings)


SOURCE = torch.ones(1, 4, 4, 4)


@pytest.mark.parametrize(
    ("text", "image", "source", "branches"),
    [
        (2.0, 1.5, True, 3),
        (2.0, 1.0, True, 2),
        (2.0, 1.5, False, 2),
        (1.0, 1.5, True, 3),
        (1.0, 1.0, True, 1),
        (1.5, 1.5, True, 2),
        (0.0, 1.0, True, 1),
        (1.0, 1.5, False, 1),
    ],
)
def test_only_branches_that_matter_are_computed(
    pipe: GenLlavaPipeline, text: float, image: float, source: bool, branches: int
) -> None:
    pipe.counters.reset()
    run(pipe, guidance_scale=text, image_guidance_scale=image, source_latents=SOURCE if source else None)
    assert pipe.counters.unet_rows == 3 * branches
    assert Guidance(text, image, source).branches == branches


def test_guidance_is_instruct_pix2pix() -> None:
    text, image, none = torch.randn(3, 2, 4, 4, 4).unbind()
    guided = Guidance(7.5, 1.5, True).combine(torch.cat([text, image, none]))
    assert torch.allclose(guided, none + 7.5 * (text - image) + 1.5 * (image - none), atol=1e-5)
    guided = Guidance(7.5, 1.0, True).combine(torch.cat([text, image]))
    assert torch.allclose(guided, image + 7.5 * (text - image), atol=1e-5)
    guided = Guidance(1.0, 1.5, True).combine(torch.cat([text, image, none]))
    assert torch.allclose(guided, none + (text - image) + 1.5 * (image - none), atol=1e-5)
    guided = Guidance(2.0, 2.0, True).combine(torch.cat([text, none]))
    assert torch.allclose(guided, none + 2.0 * (text - none), atol=1e-5)
    sources = Guidance(2.0, 1.5, True).sources(SOURCE)
    assert sources.flatten(1).mean(1).tolist() == [1, 1, 0]
    prompts = Guidance(2.0, 1.5, True).prompts(torch.ones(1, 12, 32), torch.zeros(1, 12, 32))
    assert prompts.flatten(1).mean(1).tolist() == [1, 0, 0]
    assert Guidance(2.0, 2.0, True).sources(SOURCE).flatten(1).mean(1).tolist() == [1, 0]


def test_three_branches_at_image_scale_one_equal_two(pipe: GenLlavaPipeline) -> None:
    two = run(pipe, image_guidance_scale=1.0, source_latents=SOURCE)
    three = run(pipe, image_guidance_scale=1.0 + 1e-6, source_latents=SOURCE)
    assert torch.allclose(two, three, atol=1e-3)


def test_a_unet_that_edits_draws_from_a_source_of_zeros(pipe: GenLlavaPipeline) -> None:
    drawn = run(pipe)
    zeros = run(pipe, image_guidance_scale=1.0, source_latents=torch.zeros(1, 4, 4, 4))
    assert torch.allclose(drawn, zeros, atol=1e-5)
    assert not torch.allclose(drawn, run(pipe, source_latents=SOURCE), atol=1e-3)


def test_a_picture_does_not_depend_on_its_batch(pipe: GenLlavaPipeline) -> None:
    both = run(pipe, 2, seeds=[5, 6])
    prompts = torch.randn(2, 12, 32, generator=torch.Generator().manual_seed(1))
    second = run(pipe, 1, seeds=[6], prompt_embeds=prompts[1:])
    assert torch.allclose(both[1:], second, atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=1e-1)


SCHEDULERS = [
    ("DDIMScheduler", {}),
    ("DDPMScheduler", {}),
    ("PNDMScheduler", {"skip_prk_steps": True}),
    ("LMSDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"prediction_type": "v_prediction"}),
    ("EulerAncestralDiscreteScheduler", {}),
    ("HeunDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
    ("UniPCMultistepScheduler", {}),
    ("LCMScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {"use_dynamic_shifting": True}),
    ("FlowMatchHeunDiscreteScheduler", {}),
]


@pytest.mark.parametrize(("name", "options"), SCHEDULERS)
def test_any_scheduler(pipe: GenLlavaPipeline, name: str, options: dict[str, Any]) -> None:
    scheduler = getattr(diffusers, name)(**options)
    first = run(pipe, 2, scheduler=scheduler, source_latents=SOURCE.expand(2, -1, -1, -1))
    assert torch.isfinite(first).all()
    again = run(pipe, 2, scheduler=scheduler, source_latents=SOURCE.expand(2, -1, -1, -1))
    assert torch.equal(first, again), "a run left something in the scheduler"


def test_flow_steps_are_even_and_none_is_wasted(pipe: GenLlavaPipeline) -> None:
    seen: list[float] = []
    hook = pipe.decoder.unet.register_forward_pre_hook(lambda _, args: seen.append(float(args[1])))
    run(pipe, num_inference_steps=4)
    hook.remove()
    assert seen == pytest.approx([1000, 750, 500, 250])


def test_the_callback_sees_every_step(pipe: GenLlavaPipeline) -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []

    def record(step: int, total: int, latents: Tensor) -> None:
        seen.append((step, total, tuple(latents.shape)))

    run(pipe, callback_on_step_end=record)
    assert seen == [(step, 3, (1, 4, 4, 4)) for step in (1, 2, 3)]


def test_cancelling_takes_effect_within_a_step(pipe: GenLlavaPipeline) -> None:
    steps: list[int] = []
    pipe.counters.reset()
    with pytest.raises(Cancelled, match="after 1 of 3"):
        run(pipe, callback_on_step_end=lambda step, *_: steps.append(step), cancel=lambda: bool(steps))
    assert steps == [1]
    assert pipe.counters.unet_rows == Guidance(2.0, 1.5, False).branches, "rows count as they are computed"


def test_nan_is_an_error_and_not_a_black_picture(own_pipe: GenLlavaPipeline) -> None:
    with pytest.raises(NonFiniteError, match="conditioning"):
        run(own_pipe, prompt_embeds=torch.full((1, 12, 32), torch.nan))
    with pytest.raises(NonFiniteError, match="after step 1"):
        run(own_pipe, source_latents=SOURCE * torch.inf)
    own_pipe.decoder.unet.conv_out.weight.data[0] = torch.nan
    with pytest.raises(NonFiniteError, match="after step 1"):
        run(own_pipe)


@pytest.mark.parametrize(
    "options",
    [
        {"num_inference_steps": 0},
        {"num_inference_steps": 10_000},
        {"guidance_scale": -1.0},
        {"guidance_scale": float("nan")},
        {"image_guidance_scale": float("inf")},
    ],
)
def test_bad_settings(pipe: GenLlavaPipeline, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        run(pipe, **options)


def test_half_precision_weights_keep_full_precision_latents(own_pipe: GenLlavaPipeline) -> None:
    own_pipe.decoder.unet.to(torch.bfloat16)
    assert run(own_pipe).dtype == torch.float32
