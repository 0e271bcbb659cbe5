"""What each layout of an image decoder does, as a table: `python -m benchmarks.layouts.decoder_report [LAYOUT ...]`.

Every cell is measured on small random weights, with two steps at 64 x 64 pixels where the layout lets one choose.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import diffusers
import numpy as np
import torch
import transformers
from PIL import Image

from benchmarks.layouts.decoders import LAYOUTS
from genllava.errors import Cancelled, GenLlavaError
from genllava.image_decoder import ImageDecoder, PromptEmbeds, load_diffusion, vision_language_of
from genllava.image_decoder.siblings import drawer_of

_STEPS: Final = {"num_inference_steps": 4}
_SMALL: Final = {**_STEPS, "height": 64, "width": 64}
_COLUMNS: Final = (
    "layout",
    "draws with",
    "as plain diffusers",
    "a batch, levels from single",
    "edits with",
    "prompt_embeds",
    "LoRA",
    "preview",
    "stops",
    "vision-language model",
)


def main(names: list[str]) -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    print("| " + " | ".join(_COLUMNS) + " |\n|" + "---|" * len(_COLUMNS))
    with tempfile.TemporaryDirectory() as root:
        for name in names or LAYOUTS:
            LAYOUTS[name](Path(root) / name)
            print("| " + " | ".join(_row(name, load_diffusion(Path(root) / name))) + " |", flush=True)


def _row(name: str, pipeline: Any) -> list[str]:
    decoder = ImageDecoder(pipeline)
    options: dict[str, Any] = dict(_SMALL)
    if name in ("pixart_sigma", "sana"):
        options["use_resolution_binning"] = False
    if name.startswith("longcat"):
        options["enable_prompt_rewrite"] = False
    control = {"control_image": _picture()} if name.startswith("controlnet") else {}

    def draw(prompts: list[str], seeds: list[int], **more: Any) -> Any:
        return decoder.generate(prompts, seeds=seeds, options={**options, **control, **more})

    def alike() -> str:
        ours, drawer = draw(["a cat"], [3])[0].image, drawer_of(pipeline, None)
        own = {**options, **({"image": control["control_image"]} if control else {})}
        own |= {"max_area": 64 * 64} if name == "flux_kontext" else {}
        drawer.set_progress_bar_config(disable=True)
        plain = drawer(prompt="a cat", generator=torch.Generator().manual_seed(3), **own).images[0]
        return "every pixel" if _apart(ours, plain) == 0 else f"up to {_apart(ours, plain)} levels apart"

    def batch() -> str:
        prompts = ["a cat", "two dogs on the moon", "red"]
        pictures, singles = (
            draw(prompts, [3, 4, 5]),
            [draw([p], [s])[0] for p, s in zip(prompts, (3, 4, 5), strict=True)],
        )
        return str(max(_apart(a.image, b.image) for a, b in zip(pictures, singles, strict=True)))

    def edit() -> str:
        size = {} if "edit" in name or "pix2pix" in name else {"height": 64, "width": 96}
        source = _picture(96, 64)
        made = decoder.edit([source], ["red"], seeds=[1], options={**_STEPS, **control, **size})[0]
        return made.pipeline if made.image.size == source.size else f"{made.pipeline}, at {made.image.size}"

    def head() -> str:
        spec = decoder.spec
        pooled = None if spec.pooled_dim is None else torch.randn(1, spec.pooled_dim)
        embeds = PromptEmbeds(torch.randn(1, spec.length, spec.dim), pooled)
        decoder.generate(None, seeds=[1], prompt_embeds=embeds, options={**options, **control})
        length = "any" if spec.variable_length else spec.length
        return (
            f"{length} x {spec.dim}"
            + (f", pooled {spec.pooled_dim}" if pooled is not None else "")
            + (", mask" if spec.mask else "")
        )

    def preview() -> str:
        looks: list[Any] = []
        draw(["a"], [1], callback_on_step_end=lambda p, i, t, kw: looks.append(decoder.preview(p, kw["latents"])) or {})
        return "yes" if len(looks) == _STEPS["num_inference_steps"] and all(looks) else "no"

    def stops() -> str:
        asked = iter([False, True])
        try:
            draw(["a"], [1], cancel=lambda: next(asked))
        except Cancelled:
            return "yes"
        return "no"

    lora = "load_lora_weights" if hasattr(pipeline, "load_lora_weights") else "by the denoiser's add_adapter"
    lora = lora if hasattr(getattr(pipeline, "unet", None) or pipeline.transformer, "add_adapter") else "by peft alone"
    carried = vision_language_of(pipeline)
    cells = [_tried(cell) for cell in (lambda: type(drawer_of(pipeline, None)).__name__, alike, batch, edit, head)]
    cells += [lora, _tried(preview), _tried(stops), "-" if carried is None else type(carried[0]).__name__]
    return [name, *cells]


def _tried(cell: Callable[[], str]) -> str:
    try:
        return cell()
    except GenLlavaError as error:
        return "-" if "only edits" in str(error) else f"no ({str(error).partition(':')[0]})"


def _apart(image: Image.Image, other: Image.Image) -> int:
    return int(abs(np.asarray(image).astype(int) - np.asarray(other).astype(int)).max())


def _picture(width: int = 64, height: int = 64) -> Image.Image:
    patches = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main(sys.argv[1:])
