"""The `genllava` command: ask about a picture, draw one from words, edit one; measure and train the model.

Exit codes: 0 done; 1 the model declined, or a fault that is not the caller's; 2 bad input; 130 Ctrl-C.
Nothing heavy is imported until a command needs it: `genllava --help` must stay quick.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from genllava.errors import InvalidRequest
from genllava_agent.files import check_output, check_picture_output, check_store, read_picture, write_picture
from genllava_agent.loading import KEYS, OPTIONS, check_device, check_model, choose
from genllava_agent.option_parser import OptionParser, options_given
from genllava_agent.reporting import DECLINED, explained, note, one_line, progress

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing, GenLlavaPipeline

_LONGEST: Final = 2000
"""Characters of a prompt, question or instruction."""
_DECODING: Final = (
    "seed", "num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt", "height", "width",
)  # fmt: skip
"""The options of `generate` and `edit` that the pipeline takes, by its own names."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and leave with its exit code; the entry point of the `genllava` script.

    Args:
        arguments: in place of those that the program was called with.
    """
    if not any(name.startswith(("OMP_", "GOMP_", "KMP_")) for name in os.environ):
        # Torch's threads wait spinning by default, which on a busy machine takes time from those that are waited for.
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a character that the terminal lacks must not end the command
                stream.reconfigure(errors="replace")
        parser = _command_parser()
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help()
        code = 0 if options.command is None else COMMANDS[options.command][0](options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more; what is left must not be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DECLINED
    except (Exception, KeyboardInterrupt) as error:
        message, code = explained(error)
        print(one_line(message), file=sys.stderr)
    sys.exit(code)


# Each command checks what was typed first, and then loads the model; it may return an exit code.


def demo(options: Namespace) -> None:
    target = check_picture_output(options.output)
    choice = choose(options_given(options, *KEYS))
    from genllava_agent.demo import run

    run(target, options.seed, choice)


def understand(options: Namespace) -> int:
    _check_request(options.question, "question")
    choice = choose(options_given(options, *KEYS))
    picture = _read(options.image)
    result, seconds = _worked(choice, "looking", lambda pipeline, _: pipeline.understand(picture, options.question))
    if options.as_json:
        _print_json(result, {"answer": result.text}, ("seen", "unsure", "task_probabilities"), seconds)
    else:
        print(result.text)
        note(result.unsure)
    return DECLINED if result.unsure else 0


def generate(options: Namespace) -> int:
    _check_request(options.prompt, "prompt")
    choice = choose(options_given(options, *KEYS))
    return _draw(options, choice, lambda pipeline, given: pipeline.generate(options.prompt, **given))


def edit(options: Namespace) -> int:
    _check_request(options.instruction, "instruction")
    choice = choose(options_given(options, *KEYS))
    picture, source = _read(options.image), Path(options.image)
    target = check_picture_output(options.output)
    if not options.overwrite and target.exists() and source.exists() and target.samefile(source):
        raise InvalidRequest(f"the output would replace {source} itself: give another name, or --overwrite")
    return _draw(options, choice, lambda pipeline, given: pipeline.edit(picture, options.instruction, **given))


def chat(options: Namespace) -> int:
    from genllava_agent.settings import checked

    choice = choose(options_given(options, *KEYS))
    if options.thread is not None and not options.thread.strip():
        raise InvalidRequest("the name of the thread is empty")
    check_store(options.store)
    settings = {**options_given(options, "seed", "verify"), "approve": tuple(options.approve)}
    checked(settings)
    for path in options.images:
        _read(path, from_stdin=False)

    from genllava_agent.terminal.chat import converse

    typed = options_given(options, "thread", "store", *KEYS)
    return converse(typed, choice, options.images, not options.no_pictures, settings)


def evaluate(options: Namespace) -> None:
    check_model(options.model)
    check_device(options.device)
    target = check_output(options.json) if options.json is not None else None

    from genllava_agent.loading import keep_quiet, load_pipeline

    keep_quiet()  # before the libraries are loaded, which warn while they are
    from genllava_finetune.evaluate import command

    names = command.select(options.suites)
    pipeline = load_pipeline(options.model, options.device)
    if options.bridge is not None:
        pipeline.register_to_config(bridge=options.bridge)  # type: ignore[no-untyped-call]
    command.run(pipeline, options.split, options.n, names, target)


def finetune(options: Namespace) -> None:
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise InvalidRequest(f"cannot write {options.output}: it is not a folder")

    from genllava_finetune.train import command

    names = ("recipe", "output", "resume", "dry_run", "quick", "settings", "from_stage", "weights")
    command.run(**options_given(options, *names))


def data(options: Namespace) -> int:
    from genllava_finetune.data import command

    return command.run(options.rest, OptionParser(prog="genllava data", description=COMMANDS["data"][1]))


def info(options: Namespace) -> None:
    if options.named is not None and options.model is not None:
        raise InvalidRequest("give the model once, as MODEL or as --model")
    options.model = options.named or options.model
    choice = choose(options_given(options, *KEYS))

    from genllava_agent.about import describe, table

    report = describe(choice.get("model"), choice.get("decoder"), choice.get("editor"))
    print(json.dumps(report, indent=2, ensure_ascii=False) if options.as_json else table(report))


def tool(options: Namespace) -> int:
    from genllava_agent import tool_command

    return tool_command.run(options.rest)


def serve(options: Namespace) -> int:
    from genllava_agent.serving import command

    return command.run(options.rest)


def web(options: Namespace) -> int:
    from genllava_agent.web import command

    return command.run(options.rest)


def mcp(options: Namespace) -> None:
    from genllava_agent import tool_command

    tool_command.serve(options.http, options.host, options.port, options.seconds)


COMMANDS: Final[dict[str, tuple[Callable[[Namespace], int | None], str]]] = {
    "demo": (demo, "Ask, draw, edit and converse, and write a contact sheet of it all."),
    "understand": (understand, "Answer a QUESTION about the picture in the file IMAGE."),
    "generate": (generate, "Draw the picture that PROMPT describes."),
    "edit": (edit, "Change the picture in the file IMAGE as INSTRUCTION says."),
    "chat": (chat, "Talk with the model; /help lists commands. Without a terminal, every line of stdin is a request."),
    "tool": (tool, "Run a visual tool on pictures; --list names the tools, NAME --help says what one takes."),
    "mcp": (mcp, "Serve the visual tools to programs that speak MCP, on standard input and output or on a local port."),
    "serve": (serve, "Serve the model and the agent to programs that speak OpenAI's interface, over HTTP."),
    "web": (web, "Open a page in the browser on which people talk with the model and the agent."),
    "evaluate": (evaluate, "Measure the model on the shapes domain and print the report."),
    "finetune": (finetune, "Train a model as RECIPE says."),
    "data": (data, "Data for training: prepare public data sets, look into them, check them, write new ones."),
    "info": (
        info,
        "Say what is installed, and what a model is made of: its parts, licences and sizes, without loading it.",
    ),
}
"""By name: what does it, and what it does."""


# --- what may be typed ---


def _command_parser() -> OptionParser:
    """Reads a command line; `command` is the name of the command, None if none was typed."""
    from genllava import __version__

    says = "One model that answers questions about pictures, draws them from words, and edits them."
    parser = OptionParser(prog="genllava", description=says)
    parser.add_argument("--version", action="version", version=f"genllava {__version__}", help="print it and leave")
    made = parser.add_subparsers(metavar="COMMAND", dest="command")
    later = {"add_help": False, "prefix_chars": "\0"}  # their options are read later
    raw: dict[str, Any] = {"tool": later, "data": later, "serve": later, "web": later}
    commands = {
        name: made.add_parser(name, description=says, help=says, **raw.get(name, {}))
        for name, (_, says) in COMMANDS.items()
    }

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

    add(f"{working} evaluate info", "-m --model", OPTIONS["model"])
    add(f"{working} info", "--decoder", OPTIONS["decoder"])
    add(f"{working} info", "--editor", OPTIONS["editor"])
    add(working, "--dtype", OPTIONS["dtype"])
    add(f"{working} evaluate", "--device", OPTIONS["device"])
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

    add("tool", "rest", "the tool's name, its pictures and options", nargs="*")
    add("data", "rest", "a command of it, and its options", nargs="*")
    add("serve web", "rest", "its options", nargs="*")
    add("mcp", "--http", "serve over HTTP; without it, on standard input and output", flag)
    add("mcp", "--host", "address to listen at. Default: 127.0.0.1, this machine only", default="127.0.0.1")
    add("mcp", "--port", "to listen at. Default: 8000", _number(int, 1, 65_535), default=8000)
    add("mcp", "--seconds", "longest that a tool may take. Default: 120", _number(float, 0.1, 86_400), default=120.0)

    splits, bridges = ("test", "dev"), ("head", "caption")
    add("evaluate", "--split", "dev while tuning. Default: test", choices=splits, default="test")
    add("evaluate", "--json", "write the whole report to this file", file)
    add("evaluate", "--n", "examples for each figure", _number(int, 1, sys.maxsize), default=500)
    says = "only suites whose name starts so; may be repeated"
    add("evaluate", "--suite", says, several, dest="suites", metavar="NAME")
    add("evaluate", "--bridge", "what steers the decoder. Default: the model's", choices=bridges)

    add("finetune", "recipe", "a YAML file, or the name of a recipe that ships, such as tiny-real", metavar="RECIPE")
    says = "folder for checkpoints, samples, logs and the model. Default: the recipe's name"
    add("finetune", "-o --output", says, file, metavar="FOLDER")
    add("finetune", "--resume", "go on where an earlier run in that folder stopped", flag)
    add("finetune", "--dry-run", "print what would be trained, memory and time, and train nothing", flag)
    add("finetune", "--quick", "with the settings that the recipe names in quick", flag)
    add("finetune", "--from-stage", "begin with this stage, or the first one named NAME-something", metavar="NAME")
    add("finetune", "--weights", "run with the stages before it; may be repeated", file, several, metavar="FOLDER")
    says = "in the place of what the recipe says: stages.0.steps=10; may be repeated"
    add("finetune", "--set", says, several, dest="settings", metavar="KEY=VALUE", default=[])
    add("info", "named", "the same as --model", nargs="?", metavar="MODEL")
    return parser


def _number(kind: type[int] | type[float], least: float, most: float) -> dict[str, Any]:
    """The settings of an option that is a number within limits."""

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if least <= value <= most:
                return value
        raise ArgumentTypeError(f"{text!r} is not a {'whole ' * (kind is int)}number from {least} to {most}")

    return {"type": read, "metavar": "NUMBER"}


# --- the steps that several commands share ---


def _check_request(text: str, kind: str) -> None:
    """See that `text`, a "prompt", "question" or "instruction", is not empty, not too long, and valid Unicode."""
    if not text.strip():
        raise InvalidRequest(f"the {kind} is empty")
    if len(text) > _LONGEST:
        raise InvalidRequest(f"the {kind} has {len(text):,} characters; at most {_LONGEST:,} are allowed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest(f"the {kind} is not valid UTF-8") from None


def _read(path: str, from_stdin: bool = True) -> Image.Image:
    """The picture that was named; what was left out of it is said."""
    picture = read_picture(path, from_stdin)
    from genllava.images import picture_notes

    note(*picture_notes(picture))
    return picture


def _worked(choice: dict[str, Any], stage: str, work: Callable[[GenLlavaPipeline, Any], Any]) -> tuple[Any, float]:
    """Load the model and let it work, which is given a callback for steps of drawing; the result, and its seconds."""

    def on_step(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        show("drawing", step + 1, getattr(pipeline, "num_timesteps", None))
        return tensors

    with progress() as show:
        show("loading the model")
        from genllava_agent.loading import load_pipeline

        pipeline = load_pipeline(**choice)
        show(stage)
        started = time.perf_counter()
        return work(pipeline, on_step), time.perf_counter() - started


def _draw(options: Namespace, choice: dict[str, Any], draw: Callable[..., Drawing]) -> int:
    """Let the model draw, write and announce the picture; where it answered with words, print them."""
    target, given = check_picture_output(options.output), options_given(options, *_DECODING)
    drawing, seconds = _worked(
        choice, "planning", lambda pipeline, on_step: draw(pipeline, {**given, "callback_on_step_end": on_step})
    )
    if drawing.image is not None:
        write_picture(target, drawing.image)
    if options.as_json:
        written = {"output": None if drawing.image is None else str(options.output)}
        _print_json(drawing, written, ("text", "plan", "seen", "seed", "decoder", "notes", "unsure"), seconds)
    else:
        drawn = f"{options.output}: {drawing.plan} (seed {drawing.seed}, {seconds:.1f} s)"
        print(drawing.text if drawing.image is None else drawn)
        note(*drawing.notes, drawing.unsure)
    return DECLINED if drawing.image is None else 0


def _print_json(result: object, first: dict[str, Any], names: Sequence[str], seconds: float) -> None:
    """Print `first`, those attributes of the result, and how long it took."""
    report = first | {name: getattr(result, name) for name in names} | {"seconds": round(seconds, 3)}
    print(json.dumps(report, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
