"""Values that pipelines would take without a word, and draw noise or another size."""

from __future__ import annotations

from typing import Any

import pytest

from genllava.errors import InvalidRequest
from genllava.image_decoder.call import check_options


class Pipeline:
    """Stands for any pipeline: only the signature of its call is asked for."""

    def __call__(
        self,
        prompt: str,
        height: int = 64,
        width: int = 64,
        num_inference_steps: int = 2,
        guidance_scale: float = 1.0,
        num_images_per_prompt: int = 1,
        callback_on_step_end: Any = None,
    ) -> None: ...


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"height": 64}, "height and width together"),
        ({"width": 64}, "height and width together"),
        ({"height": 0, "width": 64}, "height must be a whole number"),
        ({"num_inference_steps": 0}, "num_inference_steps must be a whole number"),
        ({"num_inference_steps": -1}, "num_inference_steps must be a whole number"),
        ({"num_images_per_prompt": 0}, "num_images_per_prompt must be a whole number"),
        ({"guidance_scale": float("nan")}, "guidance_scale must be a number"),
        ({"guidance_scale": "high"}, "guidance_scale must be a number"),
        ({"callback_on_step_end": 3}, "must be a function"),
    ],
)
def test_values_that_cannot_be_meant(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_options(Pipeline(), options)


def test_values_that_can() -> None:
    check_options(Pipeline(), {"height": 64, "width": 96, "num_inference_steps": 3, "guidance_scale": 2})
