"""The `genllava` command: ask about a picture, draw one from words, edit one; measure and train the model.

Exit codes: 0 done; 1 the model declined, or a fault that is not the caller's; 2 bad input; 130 Ctrl-C.
Nothing heavy is imported until a command needs it: `genllava --help` must stay quick.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from genllava.errors import InvalidRequest
from genllava_agent.cli_options import DECODING, command_parser
from genllava_agent.inputs import check_device, check_model, check_request, check_store, read_picture
from genllava_agent.loading import KEYS, choose
from genllava_agent.outputs import check_output, check_picture_output, write_picture
from genllava_agent.reporting import DECLINED, explained, note, one_line, progress

if TYPE_CHECKING:
    from PIL import Image

    from genllava import Drawing, GenLlavaPipeline


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
        parser = command_parser()
        options = parser.parse_args(arguments)
        if options.command is None:
            parser.print_help()
        code = 0 if options.command is None else COMMANDS[options.command](options) or 0
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
    choice = choose(_given(options, *KEYS))
    from genllava_agent.demo import run

    run(target, options.seed, choice)


def understand(options: Namespace) -> int:
    check_request(options.question, "question")
    choice = choose(_given(options, *KEYS))
    picture = _read(options.image)
    result, seconds = _worked(choice, "looking", lambda pipeline, _: pipeline.understand(picture, options.question))
    if options.as_json:
        _print_json(result, {"answer": result.text}, ("seen", "unsure", "task_probabilities"), seconds)
    else:
        print(result.text)
        note(result.unsure)
    return DECLINED if result.unsure else 0


def generate(options: Namespace) -> int:
    check_request(options.prompt, "prompt")
    choice = choose(_given(options, *KEYS))
    return _draw(options, choice, lambda pipeline, given: pipeline.generate(options.prompt, **given))


def edit(options: Namespace) -> int:
    check_request(options.instruction, "instruction")
    choice = choose(_given(options, *KEYS))
    picture, source = _read(options.image), Path(options.image)
    target = check_picture_output(options.output)
    if not options.overwrite and target.exists() and source.exists() and target.samefile(source):
        raise InvalidRequest(f"the output would replace {source} itself: give another name, or --overwrite")
    return _draw(options, choice, lambda pipeline, given: pipeline.edit(picture, options.instruction, **given))


def chat(options: Namespace) -> int:
    from genllava_agent.settings import checked

    choice = choose(_given(options, *KEYS))
    if options.thread is not None and not options.thread.strip():
        raise InvalidRequest("the name of the thread is empty")
    check_store(options.store)
    settings = {**_given(options, "seed", "verify"), "approve": tuple(options.approve)}
    checked(settings)
    for path in options.images:
        _read(path, from_stdin=False)

    from genllava_agent.terminal.chat import converse

    typed = _given(options, "thread", "store", *KEYS)
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

    command.run(**_given(options, "recipe", "output", "quick", "all_parts", "resume"))


def info(options: Namespace) -> None:
    if options.named is not None and options.model is not None:
        raise InvalidRequest("give the model once, as MODEL or as --model")
    options.model = options.named or options.model
    choice = choose(_given(options, *KEYS))

    from genllava_agent.about import describe, table

    report = describe(choice.get("model"), choice.get("decoder"), choice.get("editor"))
    print(json.dumps(report, indent=2, ensure_ascii=False) if options.as_json else table(report))


COMMANDS: Final[dict[str, Callable[[Namespace], int | None]]] = {
    run.__name__: run for run in (demo, understand, generate, edit, chat, evaluate, finetune, info)
}


def _given(options: Namespace, *names: str) -> dict[str, Any]:
    """Those of the named options that were given; what was not is the model's to decide."""
    return {name: value for name in names if (value := getattr(options, name, None)) is not None}


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
    target, given = check_picture_output(options.output), _given(options, *DECODING)
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
