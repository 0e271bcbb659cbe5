"""A real model that a test makes write and prefer what it wants, and pipelines of small random checkpoints for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.layouts import decoders, vision_language
from genllava import GenLlavaPipeline, VisionLanguage

STRONG = 1e4
"""Added to the logit of a token that is to be written."""
LIKELY = 1e3
"""Added to those of a choice that is to be preferred; finite, so that scores stay numbers."""
SMALL: dict[str, Any] = {"num_inference_steps": 2, "height": 64, "width": 64}


class Forced(VisionLanguage):
    """Everything is real: the template, the tokens, `generate()`, the parsing; only the logits are pushed.

    Attributes:
        script: what it writes next, call of `chat` by call. A token that is not in the text, such as the end of the
            message, follows by itself; a text that ends with a token of `stop` ends there.
        prefers: what it prefers next, call of `score` by call; None: whatever it likes.
        read: the prompts that it was given by `chat`, rendered.
        asked: those of `score`.
        shown: the pictures of the prompts of `chat`.
        choices: what was scored.
        scores: of them.
    """

    def __init__(
        self, model: Any, processor: Any, script: Sequence[str] = (), prefers: Sequence[str | None] = ()
    ) -> None:
        super().__init__(model, processor)
        self.script, self.prefers = list(script), list(prefers)
        self.read: list[str] = []
        self.asked: list[str] = []
        self.shown: list[list[Image.Image]] = []
        self.choices: list[list[str]] = []
        self.scores: list[list[float]] = []

    def chat(self, messages: Any, **options: Any) -> Any:
        several = bool(messages) and isinstance(messages[0], list)
        prompt = self._prompt(messages[0] if several else messages, options.get("tools"), options.get("prefix", ""))
        self.read.append(prompt.text)
        self.shown.append(prompt.pictures)
        assert self.script, f"nothing was to be written here: {prompt.text}"
        text, end = self.script.pop(0), self.end_token
        for token in options.get("stop", ()):
            if text.endswith(token):
                text, end = text.removesuffix(token), token
        ids = [*self._ids(text), self.tokenizer.convert_tokens_to_ids(end)]
        step = iter(ids)

        def write(logits: torch.Tensor, tokens: torch.Tensor) -> None:
            logits[:, -1, next(step)] += STRONG

        with self._pushed(write):
            return super().chat(messages, **options)

    def score(self, messages: Any, choices: Sequence[str], **options: Any) -> list[float]:
        self.asked.append(self._prompt(messages, options.get("tools"), options.get("prefix", "")).text)
        self.choices.append(list(choices))
        wanted = self.prefers.pop(0)
        assert wanted is None or wanted in choices, (wanted, choices)
        rows = iter(choices)

        def push(logits: torch.Tensor, tokens: torch.Tensor) -> None:
            if next(rows) == wanted:
                for place, token in enumerate(tokens[0, 1 - logits.shape[1] :]):
                    logits[0, place, token] += LIKELY

        with self._pushed(push):
            self.scores.append(super().score(messages, choices, **options))
        return self.scores[-1]

    def says(self, text: str, *calls: tuple[str, dict[str, Any]]) -> str:
        """A reply with calls of tools, as this model's template writes it."""
        asked = [{"role": "user", "content": [{"type": "text", "text": "a"}]}]
        made = [
            {"type": "function", "id": f"aaaaaaaa{number}", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls)
        ]
        reply = {"role": "assistant", "content": [{"type": "text", "text": text}], "tool_calls": made}
        tools: Any = [{"type": "function", "function": {"name": name, "parameters": {}}} for name, _ in calls]
        before, both = (
            self.processor.apply_chat_template(talk, tools=tools, tokenize=False, add_generation_prompt=prompt)
            for talk, prompt in ((asked, True), ([*asked, reply], False))
        )
        assert both.startswith(before)
        return str(both[len(before) :]).rstrip().removesuffix(self.end_token)

    def done(self) -> None:
        """Everything that was to be written was written."""
        assert (self.script, self.prefers) == ([], [])

    def _ids(self, text: str) -> list[int]:
        """The tokens of a text that is the middle of a message."""
        before = list(self.tokenizer("x", add_special_tokens=False)["input_ids"])
        both = list(self.tokenizer("x" + text, add_special_tokens=False)["input_ids"])
        if both[: len(before)] == before:
            return both[len(before) :]
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    @contextmanager
    def _pushed(self, push: Callable[[torch.Tensor, torch.Tensor], None]) -> Iterator[None]:
        def hook(module: Any, args: Any, given: dict[str, Any], output: Any) -> None:
            push(output.logits, given["input_ids"])

        handle = self.model.register_forward_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


def force(pipe: GenLlavaPipeline, script: Sequence[str] = (), prefers: Sequence[str | None] = ()) -> Forced:
    """Make a pipeline's protocol speak with a forced model."""
    forced = Forced(pipe.vlm, pipe.processor, script, prefers)
    forced.counters = forced.reader.counters = pipe.counters
    pipe.protocol.parts.vision_language = forced
    return forced


class Layouts:
    """Small random checkpoints in public layouts, written when they are first wanted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._assembled: dict[str, GenLlavaPipeline] = {}

    def __call__(self, name: str) -> Path:
        """The folder of one."""
        known = vision_language.LAYOUTS | decoders.LAYOUTS
        if not (self._root / name).exists():
            known[name](self._root / name)
        return self._root / name

    def shared(self, *parts: str | None, **options: Any) -> GenLlavaPipeline:
        """The same, put together once: for tests that leave its parts and settings alone."""
        key = repr((parts, options))
        if key not in self._assembled:
            self._assembled[key] = self.assemble(*parts, **options)  # type: ignore[arg-type]
        pipe = self._assembled[key]
        pipe.protocol.parts.vision_language = pipe.parts().vision_language  # none that was forced before
        return pipe

    def assemble(
        self, vlm: str, decoder: str | None = None, editor: str | None = None, **options: Any
    ) -> GenLlavaPipeline:
        """Several of them put together, to draw in two steps."""
        if decoder is not None:
            options.setdefault("num_inference_steps", 2)
        folders = [None if name is None else self(name) for name in (vlm, decoder, editor)]
        return GenLlavaPipeline.assemble(*folders, device="cpu", **options)  # type: ignore[arg-type]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coloured patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


def pixels(image: Any) -> Any:
    """[H, W, 3] of a picture, or of the one of a drawing."""
    return np.asarray(image if isinstance(image, Image.Image) else image.image)


def same(one: Any, other: Any) -> bool:
    """Whether two pictures are equal."""
    return pixels(one).shape == pixels(other).shape and bool((pixels(one) == pixels(other)).all())


def some(names: Any, fast: Sequence[str]) -> list[Any]:
    """Values of a parameter, of which only a few are fast."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]
