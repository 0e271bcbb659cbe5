"""What may be typed after `genllava`: the commands with their arguments and options, and how they are read."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from genllava.errors import InvalidRequest

DECODING: Final = (
    "seed", "num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt", "height", "width",
)  # fmt: skip
"""The options of `generate` and `edit` that the pipeline takes, by its own names."""
COMMANDS: Final = {
    "demo": "Ask, draw, edit and converse, and write a contact sheet of it all.",
    "understand": "Answer a QUESTION about the picture in the file IMAGE.",
    "generate": "Draw the picture that PROMPT describes.",
    "edit": "Change the picture in the file IMAGE as INSTRUCTION says.",
    "chat": "Talk with the model; /help lists commands. Without a terminal, every line of stdin is a request.",
    "evaluate": "Measure the model on the shapes domain and print the report.",
    "finetune": "Train a model as RECIPE says.",
    "info": "Say what is installed, and what a model is made of: its parts, licences and sizes, without loading it.",
}


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
    made = parser.add_subparsers(metavar="COMMAND", dest="command")
    commands = {name: made.add_parser(name, description=says, help=says) for name, says in COMMANDS.items()}

    def add(owners: str, names: str, says: str, *kinds: dict[str, Any], **settings: Any) -> None:
        """Add an option or argument to the commands that have it; several names have a space between them."""
        for kind in kinds:
            settings = kind | settings
        for owner in owners.split():
            commands[owner].add_argument(*names.split(), help=says, **settings)

    drawing, working = "generate edit", "demo understand generate edit chat"
    flag, several, file = {"action": "store_true"}, {"action": "append"}, {"type": Path, "metavar": "FILE"}
    strength = _number(float, 0, 100)

    says = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF or HEIC file; - is standard input"
    add("understand edit", "image", says, metavar="IMAGE")
    add(drawing, "-o --output", "file to write: .png, .jpg or .webp", file, required=True)
    says = "the same seed draws the same picture. Default: a new one"
    add(f"{drawing} chat", "--seed", says, _number(int, 0, 2**63 - 1))
    says = "denoising steps. Default: the model's"
    add(drawing, "--steps", says, _number(int, 1, 1000), dest="num_inference_steps")
    says = "how strictly to follow the words. Default: the model's"
    add(drawing, "--guidance", says, strength, dest="guidance_scale")
    says = "what should not be in the picture, where the model takes that"
    add(drawing, "--negative-prompt", says, metavar="WORDS")

    says = "folder or owner/name on the hub of a saved pipeline or a vision-language model; or shipped. Default: the "
    add(f"{working} evaluate info", "-m --model", f"{says}configuration file's, else the shipped model")
    says = "folder or owner/name of a diffusers pipeline that draws for --model"
    add(f"{working} info", "--decoder", says)
    says = "the same of one that edits. Default: the decoder does, from image to image"
    add(f"{working} info", "--editor", says)
    says = "of the weights: auto (as saved), float32, bfloat16, float16. Default: auto on a GPU, else float32; the "
    add(working, "--dtype", f"{says}shipped model is float32")
    add(f"{working} evaluate", "--device", "cpu, cuda, cuda:1, mps, xpu. Default: a GPU where there is one")
    add("understand generate edit info", "--json", "print the result as JSON", flag, dest="as_json")

    add("demo", "-o --output", "contact sheet to write", file, default=Path("genllava-demo.png"))
    add("demo", "--seed", "another seed, other pictures", _number(int, 0, 2**31), default=7)
    add("understand", "question", "what to ask about the picture", metavar="QUESTION")
    add("generate", "prompt", "what to draw", metavar="PROMPT")
    for side in ("--height", "--width"):
        add("generate", side, "of the picture. Default: the model's", _number(int, 1, 16_384), metavar="PIXELS")
    add("edit", "instruction", "what to change", metavar="INSTRUCTION")
    says = "how closely to keep the picture. Default: the model's"
    add("edit", "--image-guidance", says, strength, dest="image_guidance_scale")
    add("edit", "--overwrite", "let the output replace IMAGE itself", flag)

    add("chat", "-t --thread", "thread to go on with, or to begin. Default: a new one", metavar="NAME")
    says = "folder that keeps threads, or :memory:. Default: your data folder"
    add("chat", "--store", says, metavar="FOLDER")
    says = "picture for the first request; may be repeated"
    add("chat", "-i --image", says, several, default=[], dest="images", metavar="FILE")
    add("chat", "--verify", "drawings at most for one that is kept; 0 does not check", _number(int, 0, 16))
    says = "ask before this: understand, generate, edit; may be repeated"
    add("chat", "--approve", says, several, default=[], metavar="ACTION")
    add("chat", "--no-pictures", "show no pictures in the terminal", flag)

    splits, bridges = ("test", "dev"), ("head", "caption")
    add("evaluate", "--split", "dev while tuning. Default: test", choices=splits, default="test")
    add("evaluate", "--json", "write the whole report to this file", file)
    add("evaluate", "--n", "examples for each figure", _number(int, 1, sys.maxsize), default=500)
    says = "only suites whose name starts so; may be repeated"
    add("evaluate", "--suite", says, several, dest="suites", metavar="NAME")
    add("evaluate", "--bridge", "what steers the decoder. Default: the model's", choices=bridges)

    add("finetune", "recipe", "name of a recipe that ships (shapes), or a YAML file", metavar="RECIPE")
    add("finetune", "-o --output", "folder for checkpoints and logs", file, metavar="FOLDER")
    add("finetune", "--quick", "the short profile: a usable model in less time", flag)
    add("finetune", "--all", "every part from nothing, then the joint tuning", flag, dest="all_parts")
    add("finetune", "--resume", "go on where an earlier run stopped", flag)
    add("info", "named", "the same as --model", nargs="?", metavar="MODEL")
    return parser


def _number(kind: type[int] | type[float], least: int, most: int) -> dict[str, Any]:
    """The settings of an option that is a number within limits."""

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if least <= value <= most:
                return value
        raise ArgumentTypeError(f"{text!r} is not a {'whole ' * (kind is int)}number from {least} to {most}")

    return {"type": read, "metavar": "NUMBER"}
