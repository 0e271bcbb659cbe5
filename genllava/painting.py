"""From plans to pictures: conditioning, denoising, decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genllava import image_decoder
from genllava.captions import encode_captions
from genllava.denoising import denoise
from genllava.errors import InvalidRequest
from genllava.image_decoder import Picture
from genllava.images import letterbox
from genllava.keeping import keep_unchanged
from genllava.options import Conditioner, Settings
from genllava.pipeline_output import Drawing, Stopwatch
from genllava.placing import put_into
from genllava.segments import Plan, Unedited

if TYPE_CHECKING:
    from genllava.pipeline_genllava import GenLlavaPipeline


@torch.no_grad()
def paint(
    pipeline: GenLlavaPipeline,
    plans: Sequence[Plan],
    query_states: Tensor | None,
    sources: Sequence[Picture] | None,
    seeds: Sequence[int],
    settings: Settings,
    unedited: Unedited | None = None,
) -> list[Drawing]:
    """Draw planned pictures, all new (`sources` is None) or all edits.

    Args:
        query_states: [B, N, D], what the language model made of the visual queries; needed by the conditioner
            `head`.
        unedited: sources of edits of which it is known what they show: of these an edit keeps what it was not told to
            change, for as many UNet rows again (see `genllava.keeping`).

    Raises:
        InvalidRequest, NonFiniteError, Cancelled.
    """
    clock = Stopwatch()
    if sources is None or unedited is None:
        drawings = _paint(pipeline, plans, query_states, sources, seeds, settings)
    else:
        anew = bool(pipeline.config["edits_from_plans"])
        starts = [None if anew and row in unedited.rows else source for row, source in enumerate(sources)]
        drawings = _paint(pipeline, plans, query_states, starts, seeds, settings)
        quiet = replace(settings, callback_on_step_end=None)
        kept = [starts[row] for row in unedited.rows]
        picked = [seeds[row] for row in unedited.rows]
        again = _paint(pipeline, unedited.plans, unedited.query_states, kept, picked, quiet)
        for row, same in zip(unedited.rows, again, strict=True):
            drawings[row] = (_put_into if anew else keep_unchanged)(drawings[row], same, sources[row])
    clock.lap("drawing")
    return [replace(drawing, timings=clock.timings) for drawing in drawings]


def _put_into(planned: Drawing, known: Drawing, source: Picture) -> Drawing:
    """What a source becomes, of two drawings from words alone: what is planned for it, and what it shows."""
    assert planned.image is not None
    assert known.image is not None
    image, rows = put_into(source.image, planned.image, known.image), planned.unet_rows + known.unet_rows
    return replace(planned, image=image, latents=None, unet_rows=rows)


def _paint(
    pipeline: GenLlavaPipeline,
    plans: Sequence[Plan],
    query_states: Tensor | None,
    sources: Sequence[Picture | None] | None,
    seeds: Sequence[int],
    settings: Settings,
) -> list[Drawing]:
    """As `paint`, once; an edit whose source is None is drawn as a new picture."""
    if sources is not None and all(source is None for source in sources):
        sources = None
    prompt_embeds, null_embeds = condition(pipeline, plans, query_states, settings.conditioner)
    side = _side(pipeline)
    before = pipeline.counters.unet_rows
    latents = denoise(
        pipeline.unet if sources is None or pipeline.edit_unet is None else pipeline.edit_unet,
        pipeline.scheduler,
        prompt_embeds,
        null_embeds,
        [torch.Generator().manual_seed(seed) for seed in seeds],
        (side, side),
        pipeline.counters,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        image_guidance_scale=settings.image_guidance_scale,
        source_latents=None if sources is None else source_latents(pipeline, sources),
        callback_on_step_end=settings.callback_on_step_end,
        cancel=settings.cancel,
    )
    rows = (pipeline.counters.unet_rows - before) // len(seeds)
    images = image_decoder.decode(pipeline.vae, latents)
    return [
        Drawing(image, None, plan.text, seed, plan.source, drawn, rows)
        for image, plan, seed, drawn in zip(images, plans, seeds, latents.cpu(), strict=True)
    ]


def condition(
    pipeline: GenLlavaPipeline, plans: Sequence[Plan], query_states: Tensor | None, conditioner: Conditioner
) -> tuple[Tensor, Tensor]:
    """Prompt embeddings [B, L, C], and those of an empty request, [1, L, C].

    Raises:
        InvalidRequest: the pipeline lacks the part that the conditioner needs.
    """
    if conditioner == "caption":
        if pipeline.text_encoder is None or pipeline.tokenizer is None:
            raise InvalidRequest("this pipeline has no text encoder, which the conditioner 'caption' needs")
        captions = [*(plan.text for plan in plans), ""]
        embeds = encode_captions(pipeline.text_encoder, pipeline.tokenizer, captions)
        return embeds[:-1], embeds[-1:]
    head = pipeline.generation_head
    if head is None or query_states is None:
        raise InvalidRequest("this pipeline has no generation head, which the conditioner 'head' needs")
    return head(query_states.to(head.dtype)), head.null_embeds


def source_latents(pipeline: GenLlavaPipeline, sources: Sequence[Picture | None]) -> Tensor:
    """[B, C, h, w] as the editing UNet takes them, zeros for None; only pictures without known latents are encoded."""
    shape = (image_decoder.vae_channels(pipeline.vae), _side(pipeline), _side(pipeline))
    pictures = [picture for picture in sources if picture is not None]
    unknown = [p for p in pictures if p.latents is None or tuple(p.latents.shape) != shape]
    if unknown:
        images = [letterbox(picture.image, int(pipeline.config["resolution"])) for picture in unknown]
        encoded = image_decoder.encode(pipeline.vae, images).cpu()
        pipeline.counters.vae_encodes += len(unknown)
        for picture, latents in zip(unknown, encoded, strict=True):
            picture.latents = latents
    latents = torch.zeros(len(sources), *shape)
    scaled = bool(pipeline.config["scale_source_latents"])
    for row, source in enumerate(sources):
        if source is not None and source.latents is not None:
            latents[row] = source.latents if scaled else image_decoder.unscale(pipeline.vae, source.latents)
    return latents


def _side(pipeline: GenLlavaPipeline) -> int:
    """Latents along a side of a picture."""
    return int(pipeline.config["resolution"]) // image_decoder.vae_factor(pipeline.vae)
