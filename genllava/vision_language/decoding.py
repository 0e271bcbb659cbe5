"""What goes with one call of `generate()`: its options, its stopping, its words as they come."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, LogitsProcessor
from transformers.generation import BaseStreamer

from genllava.errors import Cancelled, InvalidRequest, NonFiniteError

_OURS: Final = {
    "inputs": "messages",
    "streamer": "on_text",
    "max_length": "max_new_tokens",
    "generator": "seed",
    "tokenizer": "nothing: it is the processor's",
    "num_return_sequences": "the conversation as often in a list",
    "return_dict_in_generate": "score or query_states",
    "output_scores": "score",
    "output_logits": "score",
    "output_hidden_states": "query_states",
    "output_attentions": "the model itself",
    "use_model_defaults": "the options themselves",
    "custom_generate": "the model itself",
    "use_cache": "nothing: it always is",
}
"""Options of `generate()` that cannot be given, and what to give in their place."""


def check_options(options: Mapping[str, Any]) -> None:
    """See that every sampling option is one that `generate()` has.

    Raises:
        InvalidRequest: one is not.
    """
    known = set(vars(GenerationConfig())) | set(inspect.signature(GenerationMixin.generate).parameters) | {"seed"}
    known -= {"self", "kwargs"}
    for name in options:
        if name in _OURS and not (name == "num_return_sequences" and options[name] == 1):
            raise InvalidRequest(f"chat() does not take {name}: give {_OURS[name]}")
        if name not in known or name.startswith("_"):
            raise InvalidRequest(f"unknown sampling option {name!r}: transformers' generate() has none of that name")


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Sampling from a seed. `generate()` draws from the process's own generators, so they are set and put back."""
    if seed is None:
        yield
        return
    kind = device.type if device.type in ("cuda", "mps", "xpu") else None
    with torch.random.fork_rng(enabled=True, **({"device_type": kind} if kind and kind != "mps" else {"devices": []})):
        torch.manual_seed(seed)
        yield


class Watch(LogitsProcessor):
    """Looks at every step of decoding before its token is chosen.

    Args:
        cancel: asked each time.

    Attributes:
        read: [B, L] all tokens at the last step.
        steps: how many there were.
    """

    def __init__(self, cancel: Callable[[], bool] | None = None) -> None:
        self.cancel, self.read, self.steps = cancel, torch.empty(0, 0, dtype=torch.long), 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:  # type: ignore[override]
        self.read = input_ids
        self.steps += 1
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
        words: from token ids to the text that can be shown already.
        ends: token ids that end an answer; they are no part of it.
        on_text: gets the text.
    """

    def __init__(self, words: Callable[[list[int]], str], ends: set[int], on_text: Callable[[str], None]) -> None:
        self.words, self.ends, self.on_text = words, ends, on_text
        self.ids: list[int] | None = None
        self.text = ""

    def put(self, value: Tensor) -> None:
        if self.ids is None:  # the prompt comes first
            self.ids = []
            return
        self.ids += [token for token in value.flatten().tolist() if token not in self.ends]
        self.show(self.words(self.ids).rstrip("\ufffd"))  # half a character is shown with its other half

    def show(self, text: str) -> None:
        """Hand `text` over unless it has been."""
        if text != self.text:
            self.text = text
            self.on_text(text)

    def end(self) -> None:
        pass
