"""The tokenizer of the language model: byte-level BPE learnt from conversations, so that no input is ever unknown."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, Final

from genllava.errors import InvalidRequest
from genllava_finetune.worlds.things.conversation.dialogue import make_dialogue
from genllava_finetune.worlds.things.conversation.talk import Called, Drawn, Said
from genllava_finetune.worlds.things.knowledge.things import things
from genllava_finetune.worlds.things.pictures.plan import write_plan

VOCABULARY: Final = 4096
IMAGE: Final = "<image>"
AROUND: Final = "<fake_token_around_image>"
GLOBAL: Final = "<global-img>"
USER: Final = "<user>"
ASSISTANT: Final = "<assistant>"
END: Final = "</s>"
PAD: Final = "<pad>"
_SPECIAL: Final = (PAD, END, USER, ASSISTANT, IMAGE, AROUND, GLOBAL)
_LONGEST: Final = 2048


def _texts(source: random.Random, dialogues: int) -> Iterator[str]:
    for _ in range(dialogues):
        for turn in make_dialogue(source, things()).turns:
            yield turn.text
            for outcome in turn.outcomes:
                if isinstance(outcome, Said):
                    yield f" {outcome.text}"
                elif isinstance(outcome, Drawn):
                    yield f" image_{outcome.source}: {write_plan(outcome.scene)}"
                    yield f"Done: image_{outcome.source} was made.\nimage_{outcome.source}:"
                elif isinstance(outcome, Called):
                    call = {"name": outcome.call.name, "arguments": dict(outcome.call.arguments)}
                    yield f" {json.dumps(call, ensure_ascii=False)}"


def train_tokenizer(seed: int = 0, dialogues: int = 8000) -> Any:
    """A tokenizer whose merges are learnt from so many conversations."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(random.Random(f"things tokenizer {seed}"), dialogues), trainer)
    return _wrapped(tokenizer)


def read_tokenizer(file: str) -> Any:
    """A tokenizer that was learnt before, from its `tokenizer.json`: weights belong to one tokenizer.

    Raises:
        InvalidRequest: there is no such file, or it holds no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        return _wrapped(Tokenizer.from_file(file))
    except Exception as error:  # the library raises nothing more special
        raise InvalidRequest(f"{file} is not the tokenizer.json of a tokenizer: {error}") from error


def _wrapped(tokenizer: Any) -> Any:
    from transformers import PreTrainedTokenizerFast

    wrap: Any = PreTrainedTokenizerFast
    return wrap(
        tokenizer_object=tokenizer,
        bos_token=None,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE, "fake_image_token": AROUND, "global_img_token": GLOBAL},
        model_max_length=_LONGEST,
        clean_up_tokenization_spaces=False,
    )
