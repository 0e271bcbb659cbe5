"""The `genllava` command: ask about a picture, draw one from words, edit one; measure and train the model.

Exit codes: 0 done; 1 the model declined, or a fault that is not the caller's; 2 bad input; 130 Ctrl-C.
Nothing heavy is imported until a command needs it: `genllava --help` must stay quick.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genllava_agent.cli_options import (
    AsJson,
    Decoder,
    Device,
    Dtype,
    Editor,
    Guidance,
    Height,
    ImageGuidance,
    Model,
    NegativePrompt,
    Out,
    Overwrite,
    Picture,
    Seed,
    Steps,
    Width,
)
from genllava_agent.command_steps import deliver, given, load, print_json, read, say
from genllava_agent.reporting import DECLINED, OneLineErrors, stop

if TYPE_CHECKING:
    from genllava import Drawing, Understanding

app = typer.Typer(
    cls=OneLineErrors,
    rich_markup_mode=None,  # plain help: drawing it with rich costs more than the rest of the start-up
    add_completion=False,
    pretty_exceptions_enable=False,
    help="One model that answers questions about pictures, draws them from words, and edits them.",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        from genllava import __version__

        typer.echo(f"genllava {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Contact sheet to write.")] = Path("genllava-demo.png"),
    seed: Annotated[int, typer.Option("--seed", min=0, max=2**31, help="Another seed, other pictures.")] = 7,
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    dtype: Dtype = None,
    device: Device = None,
) -> None:
    """Ask, draw, edit and converse, and write a contact sheet of it all."""
    from genllava_agent.outputs import check_picture_output
    from genllava_agent.user_config import choose

    target = check_picture_output(output)
    choice = choose(model, decoder, editor, dtype, device)

    from genllava_agent.demo import run

    run(target, seed=seed, choice=choice)


@app.command()
def understand(
    image: Picture,
    question: Annotated[str, typer.Argument(help="What to ask about the picture.")],
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Answer a QUESTION about the picture in the file IMAGE."""
    from genllava_agent.inputs import check_request
    from genllava_agent.user_config import choose

    check_request(question, "question")
    choice = choose(model, decoder, editor, dtype, device)
    picture = read(image)

    from genllava_agent.progress import Progress

    with Progress() as progress:
        pipeline = load(choice, progress)
        progress.stage("looking")
        started = time.perf_counter()
        result: Understanding = pipeline.understand(picture, question)
    if as_json:
        print_json(
            {
                "answer": result.text,
                "seen": result.seen,
                "unsure": result.unsure,
                "task_probabilities": result.task_probabilities,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
    else:
        typer.echo(result.text)
        say(result.unsure)
    if result.unsure:
        raise typer.Exit(DECLINED)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    output: Out,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    negative_prompt: NegativePrompt = None,
    height: Height = None,
    width: Width = None,
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Draw the picture that PROMPT describes."""
    from genllava_agent.inputs import check_request
    from genllava_agent.outputs import check_picture_output
    from genllava_agent.user_config import choose

    check_request(prompt, "prompt")
    options = given(
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=guidance,
        negative_prompt=negative_prompt,
        height=height,
        width=width,
    )
    choice = choose(model, decoder, editor, dtype, device)
    target = check_picture_output(output)

    from genllava_agent.progress import Progress

    with Progress() as progress:
        pipeline = load(choice, progress)
        progress.stage("planning")
        started = time.perf_counter()
        drawing: Drawing = pipeline.generate(prompt, callback_on_step_end=progress.on_step, **options)
    deliver(drawing, target, output, time.perf_counter() - started, as_json)


@app.command()
def edit(
    image: Picture,
    instruction: Annotated[str, typer.Argument(help="What to change.")],
    output: Out,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    image_guidance: ImageGuidance = None,
    negative_prompt: NegativePrompt = None,
    overwrite: Overwrite = False,
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    dtype: Dtype = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Change the picture in the file IMAGE as INSTRUCTION says."""
    from genllava_agent.inputs import check_request
    from genllava_agent.outputs import check_other_file, check_picture_output
    from genllava_agent.user_config import choose

    check_request(instruction, "instruction")
    options = given(
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=guidance,
        image_guidance_scale=image_guidance,
        negative_prompt=negative_prompt,
    )
    choice = choose(model, decoder, editor, dtype, device)
    picture = read(image)
    target = check_picture_output(output)
    if not overwrite:
        check_other_file(target, image)

    from genllava_agent.progress import Progress

    with Progress() as progress:
        pipeline = load(choice, progress)
        progress.stage("planning")
        started = time.perf_counter()
        drawing: Drawing = pipeline.edit(picture, instruction, callback_on_step_end=progress.on_step, **options)
    deliver(drawing, target, output, time.perf_counter() - started, as_json)


@app.command()
def chat(
    thread: Annotated[
        str | None, typer.Option("--thread", "-t", help="Thread to go on with, or to begin. Default: a new one.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Folder that keeps threads, or :memory:. Default: your data folder."),
    ] = None,
    images: Annotated[
        list[str] | None, typer.Option("--image", "-i", help="Picture for the first request; may be repeated.")
    ] = None,
    seed: Seed = None,
    verify: Annotated[
        int | None,
        typer.Option("--verify", min=0, max=16, help="Drawings at most for one that is kept; 0 does not check."),
    ] = None,
    approve: Annotated[
        list[str] | None,
        typer.Option("--approve", help="Ask before this: understand, generate, edit; may be repeated."),
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Show no pictures in the terminal.")] = False,
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    dtype: Dtype = None,
    device: Device = None,
) -> None:
    """Talk with the model; /help lists commands. Without a terminal, every line of stdin is a request."""
    from genllava_agent.inputs import check_file, check_store, check_thread
    from genllava_agent.settings import checked
    from genllava_agent.user_config import choose

    choice = choose(model, decoder, editor, dtype, device)
    check_thread(thread)
    check_store(store)
    options = given(seed=seed, verify=verify, approve=tuple(approve or ()))
    checked(options)
    for path in images or ():
        read(check_file(path))

    from genllava_agent.terminal.chat import converse

    attached = [str(Path(path).absolute()) for path in images or ()]
    code = converse(thread, store, choice, attached, shows_pictures=not no_pictures, options=options)
    if code:
        raise typer.Exit(code)


@app.command()
def evaluate(
    split: Annotated[str, typer.Option("--split", help="test, or dev while tuning.")] = "test",
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the whole report to this file.")] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Examples for each figure.")] = 500,
    suites: Annotated[
        list[str] | None, typer.Option("--suite", help="Only suites whose name starts so; may be repeated.")
    ] = None,
    bridge: Annotated[
        str | None,
        typer.Option("--bridge", help="What steers the decoder: head or caption. Default: the model's."),
    ] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Measure the model on the shapes domain and print the report."""
    from genllava_agent.inputs import check_device, check_model
    from genllava_agent.outputs import check_output

    if split not in ("test", "dev"):
        stop(f"error: unknown split {split!r}: test or dev", 2)
    if bridge not in (None, "head", "caption"):
        stop(f"error: unknown bridge {bridge!r}: head or caption", 2)
    check_model(model)
    check_device(device)
    target = check_output(json_path) if json_path is not None else None

    from genllava_agent.loading import keep_quiet, load_pipeline

    keep_quiet()  # before the libraries are loaded, which warn while they are
    from genllava_finetune.evaluate import command

    names = command.select(suites or None)
    pipeline = load_pipeline(model, device)
    if bridge is not None:
        pipeline.register_to_config(bridge=bridge)  # type: ignore[no-untyped-call]
    command.run(pipeline, split, n, names, target)


@app.command()
def finetune(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe that ships (shapes), or a YAML file.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for checkpoints and logs.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The short profile: a usable model in less time.")] = False,
    all_parts: Annotated[bool, typer.Option("--all", help="Every part from nothing, then the joint tuning.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run stopped.")] = False,
) -> None:
    """Train a model as RECIPE says."""
    if output is not None and output.exists() and not output.is_dir():
        stop(f"error: cannot write {output}: it is not a folder", 2)

    from genllava_finetune.train import command

    command.run(recipe=recipe, output=output, quick=quick, all_parts=all_parts, resume=resume)


@app.command()
def info(
    named: Annotated[str | None, typer.Argument(metavar="MODEL", help="The same as --model.")] = None,
    model: Model = None,
    decoder: Decoder = None,
    editor: Editor = None,
    as_json: AsJson = False,
) -> None:
    """Say what is installed, and what a model is made of: its parts, licences and sizes, without loading it."""
    from genllava_agent.user_config import choose

    if named is not None and model is not None:
        stop("error: give the model once, as MODEL or as --model", 2)
    choice = choose(named or model, decoder, editor)

    from genllava_agent.about import describe, table

    report = describe(choice.model, choice.decoder, choice.editor)
    typer.echo(json.dumps(report, indent=2) if as_json else table(report))


def _let_threads_sleep() -> None:
    """Let torch's threads wait for each other asleep.

    By default they wait spinning, and on a machine with other work that takes the time of those that are waited for.
    To be called before torch is loaded; settings of the user's own stay.
    """
    if not any(name.startswith(("OMP_", "GOMP_", "KMP_")) for name in os.environ):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def main() -> None:
    """Run the command line; the entry point of the `genllava` script."""
    _let_threads_sleep()
    app(prog_name="genllava")


if __name__ == "__main__":
    main()
