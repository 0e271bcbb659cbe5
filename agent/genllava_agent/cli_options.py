"""What may be typed after `genllava`: the commands with their arguments and options, and how they are read."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from genllava.errors import InvalidRequest

DECODING: Final = (
    "seed", "num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt", "height", "width",
)  # fmt: skip
"""The options of `generate` and `edit` that the pipeline takes, by its own names."""

Add = Callable[..., object]
"""Adds an argument or an option: `ArgumentParser.add_argument`."""


class _Parser(ArgumentParser):
    """Takes no abbreviations; a mistake is an `InvalidRequest`, told as every other error is told."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest(message)


def command_parser() -> ArgumentParser:
    """Reads a command line; `command` is the name of the command, None if none was typed."""
    from genllava import __version__

    says = "One model that answers questions about pictures, draws them from words, and edits them."
    parser = _Parser(prog="genllava", description=says)
    parser.add_argument("--version", action="version", version=f"genllava {__version__}", help="print it and leave")
    commands = parser.add_subparsers(metavar="COMMAND", dest="command")

    def command(name: str, says: str, *groups: Callable[[Add], None]) -> Add:
        add = commands.add_parser(name, description=says, help=says).add_argument
        for group in groups:
            group(add)
        return add

    add = command("demo", "Ask, draw, edit and converse, and write a contact sheet of it all.", _parts, _placing)
    add("-o", "--output", type=Path, default=Path("genllava-demo.png"), metavar="FILE", help="contact sheet to write")
    add("--seed", type=_number(int, 0, 2**31), default=7, metavar="NUMBER", help="another seed, other pictures")

    says = "Answer a QUESTION about the picture in the file IMAGE."
    add = command("understand", says, _picture, _parts, _placing, _json)
    add("question", metavar="QUESTION", help="what to ask about the picture")

    add = command("generate", "Draw the picture that PROMPT describes.", _drawing, _parts, _placing, _json)
    add("prompt", metavar="PROMPT", help="what to draw")
    for side in ("--height", "--width"):
        add(side, type=_number(int, 1, 16_384), metavar="PIXELS", help="of the picture. Default: the model's")

    says = "Change the picture in the file IMAGE as INSTRUCTION says."
    add = command("edit", says, _picture, _drawing, _parts, _placing, _json)
    add("instruction", metavar="INSTRUCTION", help="what to change")
    _strength(add, "--image-guidance", "how closely to keep the picture")
    add("--overwrite", action="store_true", help="let the output replace IMAGE itself")

    says = "Talk with the model; /help lists commands. Without a terminal, every line of stdin is a request."
    _chat(command("chat", says, _seed, _parts, _placing))
    _evaluate(command("evaluate", "Measure the model on the shapes domain and print the report.", _model, _device))

    add = command("finetune", "Train a model as RECIPE says.")
    add("recipe", metavar="RECIPE", help="name of a recipe that ships (shapes), or a YAML file")
    add("-o", "--output", type=Path, metavar="FOLDER", help="folder for checkpoints and logs")
    add("--quick", action="store_true", help="the short profile: a usable model in less time")
    add("--all", dest="all_parts", action="store_true", help="every part from nothing, then the joint tuning")
    add("--resume", action="store_true", help="go on where an earlier run stopped")

    says = "Say what is installed, and what a model is made of: its parts, licences and sizes, without loading it."
    command("info", says, _parts, _json)("named", nargs="?", metavar="MODEL", help="the same as --model")
    return parser


def _chat(add: Add) -> None:
    add("-t", "--thread", metavar="NAME", help="thread to go on with, or to begin. Default: a new one")
    add("--store", metavar="FOLDER", help="folder that keeps threads, or :memory:. Default: your data folder")
    several: dict[str, Any] = {"action": "append", "default": []}
    shown = "picture for the first request; may be repeated"
    add("-i", "--image", dest="images", metavar="FILE", help=shown, **several)
    most = _number(int, 0, 16)
    add("--verify", type=most, metavar="NUMBER", help="drawings at most for one that is kept; 0 does not check")
    asks = "ask before this: understand, generate, edit; may be repeated"
    add("--approve", metavar="ACTION", help=asks, **several)
    add("--no-pictures", action="store_true", help="show no pictures in the terminal")


def _evaluate(add: Add) -> None:
    add("--split", choices=("test", "dev"), default="test", help="dev while tuning. Default: test")
    add("--json", type=Path, metavar="FILE", help="write the whole report to this file")
    add("--n", type=_number(int, 1, sys.maxsize), default=500, metavar="NUMBER", help="examples for each figure")
    only = "only suites whose name starts so; may be repeated"
    add("--suite", dest="suites", action="append", metavar="NAME", help=only)
    add("--bridge", choices=("head", "caption"), help="what steers the decoder. Default: the model's")


# --- what several commands have ---


def _picture(add: Add) -> None:
    add("image", metavar="IMAGE", help="PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC file; - is standard input")


def _drawing(add: Add) -> None:
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="file to write: .png, .jpg or .webp")
    _seed(add)
    steps = "denoising steps. Default: the model's"
    add("--steps", dest="num_inference_steps", type=_number(int, 1, 1000), metavar="NUMBER", help=steps)
    _strength(add, "--guidance", "how strictly to follow the words")
    add("--negative-prompt", metavar="WORDS", help="what should not be in the picture, where the model takes that")


def _strength(add: Add, name: str, says: str) -> None:
    kept_as = f"{name.removeprefix('--').replace('-', '_')}_scale"
    add(name, dest=kept_as, type=_number(float, 0, 100), metavar="NUMBER", help=f"{says}. Default: the model's")


def _seed(add: Add) -> None:
    says = "the same seed draws the same picture. Default: a new one"
    add("--seed", type=_number(int, 0, 2**63 - 1), metavar="NUMBER", help=says)


def _parts(add: Add) -> None:
    _model(add)
    add("--decoder", help="folder or owner/name of a diffusers pipeline that draws for --model")
    add("--editor", help="the same of one that edits. Default: the decoder does, from image to image")


def _model(add: Add) -> None:
    says = (
        "folder or owner/name on the hub of a saved pipeline or a vision-language model; or shipped. Default: the "
        "configuration file's, else the shipped model"
    )
    add("-m", "--model", help=says)


def _placing(add: Add) -> None:
    says = (
        "of the weights: auto (as saved), float32, bfloat16, float16. Default: auto on a GPU, else float32; the "
        "shipped model is float32"
    )
    add("--dtype", help=says)
    _device(add)


def _device(add: Add) -> None:
    add("--device", help="cpu, cuda, cuda:1, mps, xpu. Default: a GPU where there is one")


def _json(add: Add) -> None:
    add("--json", dest="as_json", action="store_true", help="print the result as JSON")


def _number(kind: type[int] | type[float], least: int, most: int) -> Callable[[str], float]:
    """Reads a number that is within limits."""

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if least <= value <= most:
                return value
        raise ArgumentTypeError(f"{text!r} is not a {'whole ' * (kind is int)}number from {least} to {most}")

    return read
