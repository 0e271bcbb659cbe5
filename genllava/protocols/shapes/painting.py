"""From plans to pictures: conditioning, denoising, decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genllava.errors import InvalidRequest
from genllava.images import letterbox
from genllava.options import Bridge
from genllava.pipeline_output import Drawing, Stopwatch
from genllava.protocols.shapes import latents as autoencoding
from genllava.protocols.shapes.captions import encode_captions
from genllava.protocols.shapes.denoising import denoise
from genllava.protocols.shapes.keeping import keep_unchanged
from genllava.protocols.shapes.latents import Picture
from genllava.protocols.shapes.options import Settings
from genllava.protocols.shapes.parts import ShapesParts
from genllava.protocols.shapes.placing import put_into
from genllava.protocols.shapes.segments import Plan, Unedited
from genllava.protocols.shapes.source_size import at_source_size
from genllava.protocols.shapes.steering import Steering


@torch.no_grad()
def paint(
    parts: ShapesParts,
    plans: Sequence[Plan],
    query_states: Tensor | None,
    sources: Sequence[Picture] | None,
    seeds: Sequence[int],
    settings: Settings,
    unedited: Unedited | None = None,
    steering: Steering | None = None,
) -> list[Drawing]:
    """Draw planned pictures, all new (`sources` is None) or all edits.

    Args:
        query_states: [B, N, D], what the language model made of the visual queries; needed by the bridge `head`.
        unedited: sources of edits of which it is known what they show: of these an edit keeps what it was not told to
            change, for as many UNet rows again (see `genllava.keeping`).
        steering: of new pictures: ControlNets with their maps.

    Raises:
        InvalidRequest, NonFiniteError, Cancelled.
    """
    clock = Stopwatch()
    if sources is None or unedited is None:
        drawings = _paint(parts, plans, query_states, sources, seeds, settings, steering)
    else:
        anew = bool(parts.config["edits_from_plans"])
        starts = [None if anew and row in unedited.rows else source for row, source in enumerate(sources)]
        drawings = _paint(parts, plans, query_states, starts, seeds, settings)
        quiet = replace(settings, callback_on_step_end=None)
        kept = [starts[row] for row in unedited.rows]
        picked = [seeds[row] for row in unedited.rows]
        again = _paint(parts, unedited.plans, unedited.query_states, kept, picked, quiet)
        for row, same in zip(unedited.rows, again, strict=True):
            drawings[row] = (_put_into if anew else keep_unchanged)(drawings[row], same, sources[row])
    if sources is not None:
        drawings = [at_source_size(drawing, source) for drawing, source in zip(drawings, sources, strict=True)]
    clock.lap("drawing")
    return [replace(drawing, timings=clock.timings) for drawing in drawings]


def _put_into(planned: Drawing, known: Drawing, source: Picture) -> Drawing:
    """What a source becomes, of two drawings from words alone: what is planned for it, and what it shows."""
    assert planned.image is not None
    assert known.image is not None
    image, rows = put_into(source.image, planned.image, known.image), planned.unet_rows + known.unet_rows
    return replace(planned, image=image, latents=None, unet_rows=rows)


def _paint(
    parts: ShapesParts,
    plans: Sequence[Plan],
    query_states: Tensor | None,
    sources: Sequence[Picture | None] | None,
    seeds: Sequence[int],
    settings: Settings,
    steering: Steering | None = None,
) -> list[Drawing]:
    """As `paint`, once; an edit whose source is None is drawn as a new picture."""
    if sources is not None and all(source is None for source in sources):
        sources = None
    prompt_embeds, null_embeds = condition(parts, plans, query_states, settings.bridge)
    side = _side(parts)
    before, callback = parts.counters.unet_rows, settings.callback_on_step_end
    latents = denoise(
        parts.unet,
        parts.scheduler,
        prompt_embeds,
        null_embeds,
        [torch.Generator().manual_seed(seed) for seed in seeds],
        (side, side),
        parts.counters,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        image_guidance_scale=settings.image_guidance_scale,
        source_latents=None if sources is None else source_latents(parts, sources),
        steering=steering,
        callback_on_step_end=None if callback is None else parts.decoder.reports_to(callback),
        cancel=settings.cancel,
    )
    rows = (parts.counters.unet_rows - before) // len(seeds)
    images = autoencoding.decode(parts.vae, latents)
    return [
        Drawing(image, None, plan.text, seed, plan.source, drawn, rows, decoder=type(parts.decoder).__name__)
        for image, plan, seed, drawn in zip(images, plans, seeds, latents.cpu(), strict=True)
    ]


def condition(
    parts: ShapesParts, plans: Sequence[Plan], query_states: Tensor | None, bridge: Bridge
) -> tuple[Tensor, Tensor]:
    """Prompt embeddings [B, L, C], and those of an empty request, [1, L, C].

    Raises:
        InvalidRequest: the pipeline lacks the part that the conditioner needs.
    """
    if bridge == "caption":
        if parts.text_encoder is None or parts.tokenizer is None:
            raise InvalidRequest("this pipeline has no text encoder, which the bridge 'caption' needs")
        captions = [*(plan.text for plan in plans), ""]
        embeds = encode_captions(parts.text_encoder, parts.tokenizer, captions)
        return embeds[:-1], embeds[-1:]
    head = parts.generation_head
    if head is None or query_states is None:
        raise InvalidRequest("this pipeline has no generation head, which the bridge 'head' needs")
    return head(query_states.to(head.dtype)), head.null_embeds


def source_latents(parts: ShapesParts, sources: Sequence[Picture | None]) -> Tensor:
    """[B, C, h, w] as the editing UNet takes them, zeros for None; only pictures without known latents are encoded."""
    shape = (autoencoding.vae_channels(parts.vae), _side(parts), _side(parts))
    pictures = [picture for picture in sources if picture is not None]
    unknown = [p for p in pictures if p.latents is None or tuple(p.latents.shape) != shape]
    if unknown:
        images = [letterbox(picture.image, int(parts.resolution)) for picture in unknown]
        encoded = autoencoding.encode(parts.vae, images).cpu()
        parts.counters.vae_encodes += len(unknown)
        for picture, latents in zip(unknown, encoded, strict=True):
            picture.latents = latents
    latents = torch.zeros(len(sources), *shape)
    for row, source in enumerate(sources):
        if source is not None and source.latents is not None:
            latents[row] = source.latents
    return latents


def _side(parts: ShapesParts) -> int:
    """Latents along a side of a picture."""
    return int(parts.resolution) // autoencoding.vae_factor(parts.vae)
