"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Picture = Annotated[
    str,
    typer.Argument(metavar="IMAGE", help="PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC file; - is standard input."),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Folder or owner/name on the hub of a saved pipeline or a vision-language model; or shipped. "
        "Default: the configuration file's, else the shipped model.",
    ),
]
Decoder = Annotated[
    str | None,
    typer.Option("--decoder", help="Folder or owner/name of a diffusers pipeline that draws for --model."),
]
Editor = Annotated[
    str | None,
    typer.Option("--editor", help="The same of one that edits. Default: the decoder does, from image to image."),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="Of the weights: auto (as saved), float32, bfloat16, float16. Default: auto on a GPU, else float32; the "
        "shipped model is float32.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, cuda:1, mps, xpu. Default: a GPU where there is one."),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, max=2**63 - 1, help="The same seed draws the same picture. Default: a new one."),
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, max=1000, help="Denoising steps. Default: the model's.")]
Guidance = Annotated[
    float | None,
    typer.Option("--guidance", min=0.0, max=100.0, help="How strictly to follow the words. Default: the model's."),
]
ImageGuidance = Annotated[
    float | None,
    typer.Option("--image-guidance", min=0.0, max=100.0, help="How closely to keep the picture. Default: the model's."),
]
NegativePrompt = Annotated[
    str | None, typer.Option("--negative-prompt", help="What should not be in the picture, where the model takes that.")
]
Height = Annotated[
    int | None, typer.Option("--height", min=1, max=16_384, help="Of the picture, in pixels. Default: the model's.")
]
Width = Annotated[
    int | None, typer.Option("--width", min=1, max=16_384, help="Of the picture, in pixels. Default: the model's.")
]
Out = Annotated[Path, typer.Option("--output", "-o", help="File to write: .png, .jpg or .webp.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Let the output replace IMAGE itself.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
