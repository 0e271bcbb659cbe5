"""Part 2: the small text encoder of the image decoder, pretrained to understand plans.

Stable Diffusion conditions on a text encoder that was trained before it; so do we. Ours learns that nine questions,
"what is in this cell?", can be answered by cross-attention over its output, which is how the UNet will use it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from genllava_finetune.worlds.shapes.plan import any_plan
from genllava_finetune.worlds.shapes.scene import BACKGROUNDS, CELLS, COLORS, SHAPES, SIZES
from genllava_finetune.worlds.shapes.splits import sample_scene
from genllava_finetune.worlds.shapes.training.labels import CellReadout, cell_labels
from genllava_finetune.worlds.shapes.training.part import Batch, Part

MAX_LENGTH: Final = 48
WIDTH: Final = 128
BOS, EOS, PAD, UNK = "<s>", "</s>", "<pad>", "<unk>"


def plan_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer of plans: one token per word and comma, always padded to 48."""
    words = [
        *SIZES,
        *COLORS,
        *SHAPES,
        *BACKGROUNDS,
        *" ".join(CELLS).split(),
        "a",
        "at",
        "the",
        "on",
        "nothing",
        ",",
    ]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([PAD, BOS, EOS, UNK, *words]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        padding_side="right",
    )


def tokenize_plans(tokenizer: PreTrainedTokenizerFast, plans: Sequence[str]) -> Tensor:
    """[B, 48] token ids, as Stable Diffusion's pipelines make them: padded to the full length."""
    ids: Tensor = tokenizer(
        list(plans), padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
    ).input_ids
    return ids


class PlanReading(nn.Module):
    """The text encoder under a cross-attention readout of nine cells."""

    def __init__(self, vocab_size: int, bos: int, eos: int, pad: int) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocab_size,
                hidden_size=WIDTH,
                intermediate_size=4 * WIDTH,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=MAX_LENGTH,
                projection_dim=WIDTH,
                bos_token_id=bos,
                eos_token_id=eos,
                pad_token_id=pad,
            )
        )
        self.questions = nn.Parameter(torch.randn(len(CELLS) + 1, WIDTH) * 0.5)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.readout = CellReadout(WIDTH)

    def forward(self, input_ids: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        states = self.text_encoder(input_ids=input_ids).last_hidden_state
        questions = self.questions.expand(len(states), -1, -1)
        answers, _ = self.attention(questions, states, states, need_weights=False)
        result: dict[str, Tensor] = self.readout(answers[:, :-1], answers[:, -1], labels)
        return result


class TextEncoder(Part):
    name = "text_encoder"

    def build(self) -> nn.Module:
        self.tokenizer = plan_tokenizer()
        t = self.tokenizer
        return PlanReading(len(t), t.bos_token_id, t.eos_token_id, t.pad_token_id)

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self.name}:{self.seed}:{step}")
        scenes = [sample_scene(rng, "train", withhold=self.withhold) for _ in range(self.recipe.batch_size)]
        ids = tokenize_plans(self.tokenizer, [any_plan(rng, scene) for scene in scenes])
        return {"input_ids": ids, "labels": cell_labels(scenes)}

    def export(self, module: nn.Module, folder: Path) -> None:
        assert isinstance(module, PlanReading)
        module.text_encoder.save_pretrained(folder / "text_encoder")
        self.tokenizer.save_pretrained(folder / "tokenizer")
