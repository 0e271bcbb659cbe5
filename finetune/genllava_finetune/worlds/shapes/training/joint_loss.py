"""The single-stage tuning: one loss over understanding, generation and editing (arXiv 2406.11262).

    loss = cross-entropy of the assistant's words
         + alignment of the generation head's output to the image decoder's text encoder, on the plan
         + denoising through the UNet into head and language model (when an image decoder is given)
         + sight: what lies in each cell, and where each patch is, read linearly from what the projector passes on

Each term is normalised by its own count, so the mixture of tasks does not change the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    CLIPTextModel,
    LlavaForConditionalGeneration,
)

from genllava.generation_head import GenerationHead
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava_finetune.worlds.shapes.training.dialogues import IGNORE
from genllava_finetune.worlds.shapes.training.image_decoder import denoising_error, region_weight
from genllava_finetune.worlds.shapes.training.sight import SIGHT_WEIGHT, Sight

NUM_QUERIES: Final = 16
ALIGN_WEIGHT: Final = 1.0
DENOISE_WEIGHT: Final = 1.0


@dataclass(frozen=True, slots=True)
class ImageDecoderParts:
    """The frozen decoder through which the joint loss denoises."""

    vae: AutoencoderPatch
    unet: Any


def segment_weight(labels: Tensor, seen_id: int) -> Tensor:
    """[N] weights of the learnt tokens: one over the root of the length of their segment.

    A plan has thirty tokens, most of them easy, and a "No." three; weighted alike, the plans drown the answers.

    Args:
        labels: [B, T], N of them to be learnt; a segment is a run of those, and ends after `seen_id`, the token that
            ends what is seen.
    """
    learnt = labels != IGNORE
    inside = F.pad(learnt & (labels != seen_id), (1, 0))[:, :-1]
    starts = learnt & ~inside
    segment = starts.flatten().cumsum(0)[learnt.flatten()] - 1
    return torch.bincount(segment)[segment].float().rsqrt()


class JointLoss(nn.Module):
    """LLaVA, its generation head, and the loss that ties both to an image decoder.

    Attributes:
        rows_at_once: dialogues that go through the language model together, padded to the longest of them. The memory
            of attention grows with the square of that length: on a CPU, a batch of 48 of up to 576 tokens took 21 s
            whole and 5 s in twelves.
    """

    rows_at_once: int = 12

    def __init__(
        self,
        llava: LlavaForConditionalGeneration,
        head: GenerationHead,
        text_encoder: CLIPTextModel,
        query_id: int,
        seen_id: int,
        decoder: ImageDecoderParts | None = None,
    ) -> None:
        super().__init__()
        self.llava = llava
        self.generation_head = head
        self.text_encoder = text_encoder.requires_grad_(False)
        self.query_id = query_id
        self.seen_id = seen_id
        config: Any = llava.config
        self.sight = Sight(config.text_config.hidden_size, config.image_seq_length)
        self.vae = None if decoder is None else decoder.vae.requires_grad_(False)
        self.unet: Any = None if decoder is None else decoder.unet.requires_grad_(False)

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        pixel_values: Tensor | None,
        plan_ids: Tensor | None,
        target: Tensor | None = None,
        source: Tensor | None = None,
        edited: Tensor | None = None,
        cells: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """One step.

        Args:
            input_ids, labels: [B, T], right padded; padding is never attended to by what comes before it.
            pixel_values: [P, 3, 120, 120], all pictures of the batch in reading order.
            plan_ids: [D, 48], the plans of all drawings in reading order.
            cells: what the pictures show, as `cell_labels` makes it.
            target, source: [D, 3, 128, 128] pixels of the drawings and of what they edit; edited: [D] bool.
        """
        features = self.features(pixel_values)
        states = self.hidden_states(input_ids, features)
        cross_entropy, accuracy = self.words(states, labels)
        result = {"cross_entropy": cross_entropy, "token_accuracy": accuracy}
        loss = cross_entropy
        if features is not None and cells is not None:
            sight = self.sight(features, cells)
            result |= {"sight": sight["loss"], "sight_exact": sight["exact"], "place": sight["place"]}
            loss = loss + SIGHT_WEIGHT * sight["loss"]
        if plan_ids is not None:
            at_queries = states[input_ids == self.query_id].unflatten(0, (-1, NUM_QUERIES))
            prompt_embeds = self.generation_head(at_queries).float()
            with torch.no_grad():
                wanted_embeds = self.text_encoder(input_ids=plan_ids).last_hidden_state.float()
            result["align"] = align = (prompt_embeds - wanted_embeds).square().mean() / wanted_embeds.var()
            loss = loss + ALIGN_WEIGHT * align
            if self.unet is not None and target is not None and source is not None and edited is not None:
                result["denoise"] = denoise = self.denoise(prompt_embeds, target, source, edited)
                loss = loss + DENOISE_WEIGHT * denoise
        return {"loss": loss, **result}

    def words(self, states: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy and accuracy of what the assistant says; only those positions go through the head."""
        learnt = labels[:, 1:] != IGNORE
        logits = self.llava.lm_head(states[:, :-1][learnt]).float()
        wanted = labels[:, 1:][learnt]
        weight = segment_weight(labels[:, 1:], self.seen_id)
        errors = F.cross_entropy(logits, wanted, reduction="none")
        return (errors * weight).sum() / weight.sum(), (logits.argmax(-1) == wanted).float().mean()

    def features(self, pixel_values: Tensor | None) -> Tensor | None:
        """Projected features [P, N, D] of pictures."""
        if pixel_values is None:
            return None
        return torch.stack(list(self.llava.model.get_image_features(pixel_values=pixel_values).pooler_output))

    def hidden_states(self, input_ids: Tensor, features: Tensor | None) -> Tensor:
        """Last hidden states [B, T, D] after the final norm, pictures and visual queries in their places."""
        model = self.llava.model
        embeds = model.get_input_embeddings()(input_ids)
        if features is not None:
            places = (input_ids == self.llava.config.image_token_id)[..., None]
            embeds = embeds.masked_scatter(places, features.to(embeds))
        queries = self.generation_head.query_embeds
        places = input_ids == self.query_id
        drawings = int(places.sum()) // NUM_QUERIES
        embeds = embeds.masked_scatter(places[..., None], queries.repeat(drawings, 1).to(embeds.dtype))
        rows = zip(input_ids.split(self.rows_at_once), embeds.split(self.rows_at_once), strict=True)
        return torch.cat([self._decode(ids, few) for ids, few in rows])

    def _decode(self, input_ids: Tensor, embeds: Tensor) -> Tensor:
        """Hidden states [R, T, D] of a few rows, computed up to the end of the longest and zero after it."""
        config: Any = self.llava.config
        padding = config.text_config.pad_token_id
        length = int((input_ids != padding).any(0).nonzero().max()) + 1
        model = self.llava.model.language_model
        states: Tensor = model(inputs_embeds=embeds[:, :length], use_cache=False).last_hidden_state
        return F.pad(states, (0, 0, 0, input_ids.shape[1] - length))

    def denoise(self, prompt_embeds: Tensor, target: Tensor, source: Tensor, edited: Tensor) -> Tensor:
        """The image decoder's own loss; its weights are frozen, its gradient is not."""
        assert self.vae is not None
        assert self.unet is not None
        with torch.no_grad():
            latents = self.vae.encode(target).latents.float()
            seen = self.vae.encode(source).latents.float() * edited[:, None, None, None]
        weight = region_weight(seen, latents, edited)
        return denoising_error(self.unet, latents, seen, prompt_embeds, weight).mean()
