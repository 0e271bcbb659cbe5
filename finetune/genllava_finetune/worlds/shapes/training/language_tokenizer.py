"""The tokenizer of the language model: byte-level BPE learnt from the grammar, so that no input is ever unknown."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from genllava.protocols.shapes import layout
from genllava.protocols.shapes.tokens import BOS, EOS, PAD, SPECIAL_TOKENS
from genllava_finetune.worlds.shapes.mixture import sample_training_dialogue
from genllava_finetune.worlds.shapes.splits import NOTHING, Withheld

VOCABULARY: Final = 1536
MODEL_MAX_LENGTH: Final = 2048


def _texts(rng: random.Random, count: int, withhold: Withheld) -> Iterator[str]:
    for _ in range(count):
        dialogue = sample_training_dialogue(rng, withhold=withhold)
        for turn in dialogue.turns if dialogue else ():
            yield layout.normalize_user_text(turn.user)
            yield from (step.text for step in turn.steps)


def train_tokenizer(
    seed: int, dialogues: int = 20_000, withhold: Withheld = NOTHING
) -> PreTrainedTokenizerFast:
    """Learn the merges from `dialogues` training dialogues; digits stay single so that numbers compose."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=20,
    )
    tokenizer.train_from_iterator(_texts(random.Random(f"tokenizer:{seed}"), dialogues, withhold), trainer)
    extra = [token for token in SPECIAL_TOKENS if token not in (BOS, EOS, PAD)]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=extra,
        model_max_length=MODEL_MAX_LENGTH,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def token_ids(tokenizer: PreTrainedTokenizerBase, *tokens: str) -> list[int]:
    """The ids of single tokens.

    Raises:
        KeyError: the tokenizer does not have one of them.
    """
    vocabulary = tokenizer.get_vocab()
    return [vocabulary[token] for token in tokens]
