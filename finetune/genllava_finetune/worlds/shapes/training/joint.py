"""The language model, and its single-stage tuning with an image decoder: their data and what they leave behind."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import nn
from transformers import (
    CLIPTextModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PreTrainedTokenizerFast,
    SiglipVisionModel,
)

from genllava.generation_head import GenerationHead
from genllava.layout_decoder.autoencoder_patch import AutoencoderPatch
from genllava.protocols.shapes.tokens import BOS, EOS, IMAGE, PAD, QUERY, SEEN
from genllava_finetune.worlds.shapes.dialogue import Dialogue
from genllava_finetune.worlds.shapes.mixture import sample_changes, sample_outline, sample_training_dialogue
from genllava_finetune.worlds.shapes.splits import sample_scene
from genllava_finetune.worlds.shapes.training.assembling import assemble
from genllava_finetune.worlds.shapes.training.dialogues import IGNORE, Encoder, Example, pad
from genllava_finetune.worlds.shapes.training.joint_loss import NUM_QUERIES, ImageDecoderParts, JointLoss
from genllava_finetune.worlds.shapes.training.labels import cell_labels
from genllava_finetune.worlds.shapes.training.language_tokenizer import token_ids, train_tokenizer
from genllava_finetune.worlds.shapes.training.part import Batch, Part
from genllava_finetune.worlds.shapes.training.pictures import contact_sheet, to_pixels
from genllava_finetune.worlds.shapes.training.text_encoder import MAX_LENGTH, WIDTH, tokenize_plans
from genllava_finetune.worlds.shapes.training.vision_tower import to_pixel_values
from genllava_finetune.worlds.shapes.understanding import sample_lookups

LOOKUPS: Final = 8
"""Objects that are looked up in one example, where it is not one of each shape."""
LOOKUP_STEPS: Final = 600
CHANGE_STEPS: Final = 600
OUTLINE_STEPS: Final = 240
"""Steps of the language model's part that are all lookups, then all changes, then outlines of messages: their requests
copied, and which picture gives something to which (a quarter each of a short run, the outlines an eighth)."""
LOOKUP_SHARE: Final = 0.1
"""Share of lookups after that."""
SORT_WINDOW: Final = 8
"""Batches are cut from windows of this many, sorted by length, so that little is padding."""

SAMPLED: Final = (
    "a large red circle at the top left, on white",
    "draw a small blue star in the middle and a large green square below it",
    "three triangles on black",
    "something yellow",
    "two small crosses, one of them pink, on beige",
    "a large cyan diamond to the right of an orange square",
)
"""Requests whose pictures show how training goes."""

LANGUAGE_MODEL: Final[dict[str, Any]] = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "sliding_window": None,
    "tie_word_embeddings": True,
}


def new_llava(vision_tower: SiglipVisionModel, tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """A LLaVA with this vision tower and a fresh language model."""
    vision_config: Any = vision_tower.config
    bos, eos, padding, image = token_ids(tokenizer, BOS, EOS, PAD, IMAGE)
    text_config = MistralConfig(
        vocab_size=len(tokenizer), bos_token_id=bos, eos_token_id=eos, pad_token_id=padding, **LANGUAGE_MODEL
    )
    config = LlavaConfig(
        vision_config=vision_config,
        text_config=text_config,
        image_token_index=image,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        projector_hidden_act="gelu",
        image_seq_length=(vision_config.image_size // vision_config.patch_size) ** 2,
        tie_word_embeddings=True,
    )
    llava = LlavaForConditionalGeneration(config)
    llava.model.vision_tower.load_state_dict(vision_tower.state_dict())
    return llava


def new_generation_head(width: int) -> GenerationHead:
    """The shipped head: 16 visual queries to the 48 x 128 conditioning of our image decoder."""
    return GenerationHead(
        kind="encoder",
        num_queries=NUM_QUERIES,
        input_dim=width,
        output_length=MAX_LENGTH,
        output_dim=WIDTH,
        hidden_dim=192,
        num_layers=2,
        num_heads=6,
    )


class DialoguePart(Part):
    """What the language model's part and the joint part share: the data, and what they leave behind."""

    tokenizer: PreTrainedTokenizerFast
    plan_tokenizer: PreTrainedTokenizerFast
    encoder: Encoder
    with_pixels = False
    """Whether batches carry the pixels of drawings and of what they edit, for the denoising loss."""
    told = 0.0
    """Share of the dialogues whose pictures are told and not shown."""
    blanked = 0.0
    """Share of the dialogues in which some of the assistant's own words are hidden from it."""
    _window: tuple[int, list[list[Example]]] = (-1, [])

    def prepare(self, tokenizer: PreTrainedTokenizerFast, tokens_per_image: int) -> None:
        self.tokenizer = tokenizer
        self.plan_tokenizer = PreTrainedTokenizerFast.from_pretrained(self.needs("image_decoder") / "tokenizer")
        self.encoder = Encoder(tokenizer, tokens_per_image, NUM_QUERIES)

    def examples(self, step: int) -> list[Example]:
        """The dialogues of one step, of similar length."""
        number, place = divmod(step, SORT_WINDOW)
        if self._window[0] != number:
            rng = random.Random(f"{self.name}:{self.seed}:{number}")
            drawn = [self._draw(rng, number * SORT_WINDOW) for _ in range(SORT_WINDOW * self.recipe.batch_size)]
            drawn = [self.encoder.blank(rng, e) if rng.random() < self.blanked else e for e in drawn]
            drawn.sort(key=lambda example: len(example.ids))
            size = self.recipe.batch_size
            batches = [drawn[i : i + size] for i in range(0, len(drawn), size)]
            rng.shuffle(batches)
            self._window = (number, batches)
        return self._window[1][place]

    def _draw(self, rng: random.Random, step: int) -> Example:
        dialogue = sample_training_dialogue(rng, withhold=self.withhold)
        if dialogue is None:
            return self.encoder.null(rng, self.withhold)
        return self.encoder.tell(rng, dialogue) if rng.random() < self.told else self.encoder.encode(rng, dialogue)

    def batch(self, step: int) -> Batch:
        return self.collate(self.examples(step))

    def collate(self, examples: Sequence[Example]) -> Batch:
        """Tensors of dialogues, as `JointLoss` takes them."""
        pictures = [picture for example in examples for picture in example.pictures]
        plans = [plan for example in examples for plan in example.plans]
        batch: Batch = {
            "input_ids": pad([example.ids for example in examples], self.tokenizer.pad_token_id),
            "labels": pad([example.labels for example in examples], IGNORE),
            "pixel_values": to_pixel_values(pictures) if pictures else None,
            "cells": cell_labels([scene for example in examples for scene in example.scenes]) if pictures else None,
            "plan_ids": tokenize_plans(self.plan_tokenizer, plans) if plans else None,
        }
        if self.with_pixels:
            batch |= self._drawings(examples)
        return batch

    @staticmethod
    def _drawings(examples: Sequence[Example]) -> Batch:
        drawings = [drawing for example in examples for drawing in example.drawings]
        if not drawings:
            return {}
        return {
            "target": to_pixels([target for _, target in drawings]),
            "source": to_pixels([target if source is None else source for source, target in drawings]),
            "edited": torch.tensor([source is not None for source, _ in drawings]),
        }

    def layers(self, module: nn.Module) -> list[nn.Module]:
        assert isinstance(module, JointLoss)
        model: Any = module.llava.model
        return [*model.language_model.layers, *model.vision_tower.encoder.layers]

    @torch.no_grad()
    def sample(self, module: nn.Module) -> Image.Image:
        """What the model draws for a few requests now; black where it declines."""
        assert isinstance(module, JointLoss)
        pipeline = assemble(self.workspace, module.llava, module.generation_head, self.tokenizer).to(
            module.llava.device
        )
        drawings = pipeline.generate(list(SAMPLED), seed=0)
        blank = np.zeros((pipeline.protocol.resolution,) * 2 + (3,), np.uint8)
        return contact_sheet(
            [np.stack([blank if drawing.image is None else np.asarray(drawing.image) for drawing in drawings])]
        )

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, JointLoss)
        module.llava.save_pretrained(folder / "llava")
        module.generation_head.save_pretrained(folder / "generation_head")
        self.tokenizer.save_pretrained(folder / "tokenizer")


class LanguageModel(DialoguePart):
    """Part 5: the language model and the generation head, before any pixel of the decoder is involved."""

    name = "language_model"
    told = 0.5

    def _draw(self, rng: random.Random, step: int) -> Example:
        """Nothing but lookups at first, those of shapes before any others, then changes, then outlines; then dialogues.

        To find the place of a thing that is named takes two steps of attention, neither of which is of use alone. Among
        dialogues it was not learnt in 8,000 steps; by itself it took that model 150 more. So it was with what a change
        does to a plan, with finding the next of several requests, and with which of two pictures is meant to change
        (docs/log.md).
        """
        lookups, changes = (min(steps, self.recipe.steps // 4) for steps in (LOOKUP_STEPS, CHANGE_STEPS))
        outlines = min(OUTLINE_STEPS, self.recipe.steps // 8)
        if step < lookups or (step >= lookups + changes + outlines and rng.random() < LOOKUP_SHARE):
            scene = sample_scene(rng, "train", withhold=self.withhold)
            turn = sample_lookups(rng, scene, LOOKUPS, by_shape=step < lookups // 2, withhold=self.withhold)
            return self.encoder.tell(rng, Dialogue((turn,)))
        if step < lookups + changes:
            return self.encoder.tell(rng, sample_changes(rng, withhold=self.withhold))
        if step < lookups + changes + outlines:
            return self.encoder.outline(sample_outline(rng, self.withhold))
        return super()._draw(rng, step)

    def build(self) -> nn.Module:
        vision = SiglipVisionModel.from_pretrained(self.needs("vision_tower"))
        tokenizer = train_tokenizer(self.seed, withhold=self.withhold)
        llava = new_llava(vision, tokenizer)
        self.prepare(tokenizer, llava.config.image_seq_length)
        text_encoder = CLIPTextModel.from_pretrained(self.needs("image_decoder") / "text_encoder").eval()
        head = new_generation_head(LANGUAGE_MODEL["hidden_size"])
        query_id, seen_id = token_ids(tokenizer, QUERY, SEEN)
        return JointLoss(llava, head, text_encoder, query_id, seen_id)


class Joint(DialoguePart):
    """Part 6: the single stage, everything trained but the image decoder and its text encoder."""

    name = "joint"
    with_pixels = True

    def build(self) -> nn.Module:
        language = self.needs("language_model")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(language / "tokenizer")
        llava = LlavaForConditionalGeneration.from_pretrained(language / "llava")
        head = GenerationHead.from_pretrained(language / "generation_head")
        self.prepare(tokenizer, llava.config.image_seq_length)
        text_encoder = CLIPTextModel.from_pretrained(self.needs("image_decoder") / "text_encoder").eval()
        decoder = ImageDecoderParts(
            AutoencoderPatch.from_pretrained(self.needs("autoencoder")),
            UNet2DConditionModel.from_pretrained(self.needs("image_decoder") / "unet"),
        )
        query_id, seen_id = token_ids(tokenizer, QUERY, SEEN)
        return JointLoss(llava, head, text_encoder, query_id, seen_id, decoder)
