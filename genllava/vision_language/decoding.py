"""What goes with one call of `generate()`: its options, its stopping, its words as they come."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor
from transformers.generation.streamers import BaseStreamer

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError

_OURS: Final = {
    "inputs": "messages",
    "streamer": "on_text",
    "max_length": "max_new_tokens",
    "generator": "seed",
    "num_return_sequences": "the conversation as often in a list",
    "output_hidden_states": "query_states()",
    **dict.fromkeys(("output_scores", "output_logits", "return_dict_in_generate"), "score()"),
    **dict.fromkeys(("tokenizer", "use_cache", "custom_generate", "output_attentions", "cache_implementation"), "none"),
}
"""Options of `generate()` that cannot be given, and what to give in their place."""


def check_options(options: Mapping[str, Any]) -> None:
    """See that every sampling option is one that `generate()` has.

    Raises:
        InvalidRequest: one is not.
    """
    parameters = inspect.signature(GenerationMixin.generate).parameters
    known = {*vars(GenerationConfig()), *parameters, "seed"} - {"self", "kwargs"}  # type: ignore[no-untyped-call]
    for name, value in options.items():
        if name in _OURS and (name, value) != ("num_return_sequences", 1):
            raise InvalidRequest(f"chat() does not take {name}; in its place: {_OURS[name]}")
        if name not in known or name.startswith("_"):
            raise InvalidRequest(f"unknown sampling option {name!r}: transformers' generate() has none of that name")


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Sampling from a seed. `generate()` draws from the process's own generators, so they are set and put back."""
    if seed is None:
        yield
        return
    devices = [device] if device.type not in ("cpu", "mps") else []
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(seed)
        yield


class Watch(LogitsProcessor):
    """Looks at every step of decoding before its token is chosen.

    Args:
        cancel: asked each time.

    Attributes:
        read: [B, L] all tokens at the last step; None before the first.
    """

    def __init__(self, cancel: Callable[[], bool] | None = None) -> None:
        self.cancel = cancel
        self.read: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self.read = input_ids
        self.ask()
        check_finite(scores)
        return scores

    def ask(self) -> None:
        """Stop if the caller wants to.

        Raises:
            Cancelled: so it is.
        """
        if self.cancel is not None and self.cancel():
            raise Cancelled("answering was cancelled")


def check_finite(logits: Tensor) -> None:
    """See that logits are numbers; minus infinity is how a token is ruled out.

    Raises:
        NonFiniteError: some are NaN or infinite.
    """
    if bool((logits.isnan() | logits.isposinf()).any()):
        raise NonFiniteError(
            "the language model computed NaN or infinity, so there is no answer: load it in bfloat16 or float32, "
            "or check its weights"
        )


class TextStream(BaseStreamer):
    """Hands over the text so far, whenever there is more of it.

    Args:
        words: from token ids to the text that can be shown already; None for no change.
        ends: token ids that end an answer; they are no part of it.
        on_text: gets the text.
    """

    def __init__(
        self, words: Callable[[list[int]], str | None], ends: set[int], on_text: Callable[[str], None]
    ) -> None:
        self.words, self.ends, self.on_text = words, ends, on_text
        self.ids: list[int] | None = None
        self.text = ""

    def put(self, value: Tensor) -> None:
        if self.ids is None:  # the prompt comes first
            self.ids = []
            return
        self.ids += [token for token in value.flatten().tolist() if token not in self.ends]
        text = self.words(self.ids)
        self.show(None if text is None else text.rstrip("\ufffd"))  # half a character is shown with its other half

    def show(self, text: str | None) -> None:
        """Hand `text` over unless it has been."""
        if text is not None and text != self.text:
            self.text = text
            self.on_text(text)

    def end(self) -> None:
        pass
