"""Small tokenizers of the kinds that public checkpoints have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

_TEXT = (
    "What is shown in this picture? Describe the image in detail, please.",
    "The assistant answers the question of the user about a photograph.",
    "def add(a, b):\n    return a + b  # draw a red circle and a blue square",
)


def byte_level(
    special: Sequence[str],
    *,
    bos: str | None = None,
    eos: str,
    pad: str | None = None,
    plain: Sequence[str] = (),
    begins: bool = False,
    size: int = 360,
    **named: str,
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, as GPT-2, Llama 3, Qwen and Mistral's Tekken have it.

    Args:
        special: special tokens, in the order of their ids.
        bos, eos, pad: which of them begin, end and fill up a text.
        plain: added tokens that are not special, such as `<tool_call>`.
        begins: put `bos` before every text by itself.
        size: tokens to learn, bytes and special ones included.
        named: further named tokens, such as `image_token="<image>"`.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    if begins and bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain])
    return _wrapped(tokenizer, bos=bos, eos=eos, pad=pad, named=named)


def sentence_piece(
    special: Sequence[str], *, bos: str, eos: str, pad: str | None = None, size: int = 420, **named: str
) -> PreTrainedTokenizerFast:
    """A BPE tokenizer over characters with byte fallback and a sign for spaces, as Llama 2 and Mistral 7B have it.

    Args: as of `byte_level`; `special` begins with the unknown token. `bos` is put before every text.
    """
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token=special[0], fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    tokenizer.train_from_iterator(
        _TEXT, trainers.BpeTrainer(vocab_size=size, special_tokens=tokens, show_progress=False)
    )
    tokenizer = _bytes_not_special(tokenizer, special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return _wrapped(tokenizer, bos=bos, eos=eos, pad=pad, unk=special[0], named=named)


def _bytes_not_special(tokenizer: Tokenizer, special: Sequence[str]) -> Tokenizer:
    """The byte tokens are ordinary vocabulary, not special tokens: a user's "<0x41>" is text."""
    import json

    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    return Tokenizer.from_str(json.dumps(state))


def _wrapped(
    tokenizer: Tokenizer,
    *,
    bos: str | None,
    eos: str,
    pad: str | None,
    unk: str | None = None,
    named: dict[str, str],
) -> PreTrainedTokenizerFast:
    tokens: dict[str, Any] = {"bos_token": bos, "eos_token": eos, "pad_token": pad, "unk_token": unk}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        model_max_length=1_000_000,
        extra_special_tokens=named or None,
        **{name: token for name, token in tokens.items() if token is not None},
    )
