"""Makes a random model write what a test wants, by `generate()`'s own means."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genllava.vision_language import VisionLanguage


def writes(model: VisionLanguage, text: str) -> dict[str, Any]:
    """Options of `chat` under which the model writes `text` and ends."""
    ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    return writes_tokens(model, ids)


def writes_tokens(model: VisionLanguage, ids: list[int]) -> dict[str, Any]:
    """The same with tokens."""
    ends = model.model.generation_config.eos_token_id
    plan = [*ids, ends[0] if isinstance(ends, list) else ends]
    start: list[int] = []

    def allowed(batch: int, written: Tensor) -> list[int]:
        start.append(len(written))
        return [plan[min(len(written) - start[0], len(plan) - 1)]]

    return {"prefix_allowed_tokens_fn": allowed, "max_new_tokens": len(plan)}
