"""The `genllava` command: ask about a picture, draw one from words, edit one; measure and train the model.

Exit codes: 0 done; 1 the model declined, or a fault that is not the caller's; 2 bad input; 130 Ctrl-C.
Nothing heavy is imported until a command needs it: `genllava --help` must stay quick.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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

Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", help="Folder of a saved model, or owner/name on the hub. Default: the shipped model."
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
Out = Annotated[Path, typer.Option("--output", "-o", help="File to write: .png, .jpg or .webp.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Picture = Annotated[str, typer.Argument(metavar="IMAGE", help="PNG, JPEG, WebP or GIF file.")]


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
    device: Device = None,
) -> None:
    """Ask, draw, edit and converse, and write a contact sheet of it all."""
    from genllava_agent.inputs import check_device, check_model
    from genllava_agent.outputs import check_picture_output

    target = check_picture_output(output)
    check_model(model)
    check_device(device)

    from genllava_agent.demo import run

    run(target, seed=seed, model=model, device=device)


@app.command()
def understand(
    image: Picture,
    question: Annotated[str, typer.Argument(help="What to ask about the picture.")],
    model: Model = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Answer a QUESTION about the picture in the file IMAGE."""
    from genllava_agent.inputs import check_device, check_model, check_request, read_picture

    check_request(question, "question")
    check_model(model)
    check_device(device)
    picture = read_picture(image)

    from genllava_agent.loading import load_pipeline
    from genllava_agent.progress import Progress

    with Progress() as progress:
        progress.stage("loading the model")
        pipeline = load_pipeline(model, device)
        progress.stage("looking")
        started = time.perf_counter()
        result: Understanding = pipeline.understand(picture, question)
    if as_json:
        _print_json(
            {
                "answer": result.text,
                "seen": result.seen,
                "task_probabilities": result.task_probabilities,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
    else:
        typer.echo(result.text)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    output: Out,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    model: Model = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Draw the picture that PROMPT describes."""
    from genllava_agent.inputs import check_device, check_model, check_request
    from genllava_agent.outputs import check_picture_output

    check_request(prompt, "prompt")
    options = _given(seed=seed, num_inference_steps=steps, guidance_scale=guidance)
    check_model(model)
    check_device(device)
    target = check_picture_output(output)

    from genllava_agent.loading import load_pipeline
    from genllava_agent.progress import Progress

    with Progress() as progress:
        progress.stage("loading the model")
        pipeline = load_pipeline(model, device)
        progress.stage("planning")
        started = time.perf_counter()
        drawing: Drawing = pipeline.generate(prompt, callback_on_step_end=progress.on_step, **options)
    _deliver(drawing, target, output, time.perf_counter() - started, as_json)


@app.command()
def edit(
    image: Picture,
    instruction: Annotated[str, typer.Argument(help="What to change.")],
    output: Out,
    seed: Seed = None,
    steps: Steps = None,
    guidance: Guidance = None,
    image_guidance: ImageGuidance = None,
    model: Model = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Change the picture in the file IMAGE as INSTRUCTION says."""
    from genllava_agent.inputs import check_device, check_model, check_request, read_picture
    from genllava_agent.outputs import check_picture_output

    check_request(instruction, "instruction")
    options = _given(
        seed=seed,
        num_inference_steps=steps,
        guidance_scale=guidance,
        image_guidance_scale=image_guidance,
    )
    check_model(model)
    check_device(device)
    picture = read_picture(image)
    target = check_picture_output(output)

    from genllava_agent.loading import load_pipeline
    from genllava_agent.progress import Progress

    with Progress() as progress:
        progress.stage("loading the model")
        pipeline = load_pipeline(model, device)
        progress.stage("planning")
        started = time.perf_counter()
        drawing: Drawing = pipeline.edit(picture, instruction, callback_on_step_end=progress.on_step, **options)
    _deliver(drawing, target, output, time.perf_counter() - started, as_json)


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
    device: Device = None,
) -> None:
    """Talk with the model; /help lists commands. Without a terminal, every line of stdin is a request."""
    from genllava_agent.inputs import check_device, check_model, check_store, check_thread, read_picture
    from genllava_agent.settings import checked

    check_model(model)
    check_device(device)
    check_thread(thread)
    check_store(store)
    options = _given(seed=seed, verify=verify, approve=tuple(approve or ()))
    checked(options)
    for path in images or ():
        read_picture(path)

    from genllava_agent.terminal.chat import converse

    attached = [str(Path(path).absolute()) for path in images or ()]
    code = converse(thread, store, model, device, attached, shows_pictures=not no_pictures, options=options)
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
    conditioner: Annotated[
        str | None,
        typer.Option("--conditioner", help="What steers the decoder: head or caption. Default: the model's."),
    ] = None,
    model: Model = None,
    device: Device = None,
) -> None:
    """Measure the model on the shapes domain and print the report."""
    from genllava_agent.inputs import check_device, check_model
    from genllava_agent.outputs import check_output

    if split not in ("test", "dev"):
        stop(f"error: unknown split {split!r}: test or dev", 2)
    if conditioner not in (None, "head", "caption"):
        stop(f"error: unknown conditioner {conditioner!r}: head or caption", 2)
    check_model(model)
    check_device(device)
    target = check_output(json_path) if json_path is not None else None

    from genllava_agent.loading import load_pipeline
    from genllava_finetune.evaluate import command

    names = command.select(suites or None)
    pipeline = load_pipeline(model, device)
    if conditioner is not None:
        pipeline.register_to_config(conditioner=conditioner)  # type: ignore[no-untyped-call]
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
def info(model: Model = None, as_json: AsJson = False) -> None:
    """Say what is installed, and what the model is made of."""
    from genllava_agent.inputs import check_model

    check_model(model)

    from genllava_agent.about import describe, table

    report = describe(model)
    typer.echo(json.dumps(report, indent=2) if as_json else table(report))


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; what was not is the model's to decide."""
    return {name: value for name, value in options.items() if value is not None}


def _print_json(report: dict[str, Any]) -> None:
    typer.echo(json.dumps(report, indent=2, ensure_ascii=False))


def _deliver(drawing: Drawing, target: Path, shown: Path, seconds: float, as_json: bool) -> None:
    """Write and announce a drawing; where the model answered with words, print them and leave with 1."""
    if drawing.image is not None:
        from genllava_agent.outputs import write_picture

        write_picture(target, drawing.image)
    if as_json:
        _print_json(
            {
                "output": str(shown) if drawing.image is not None else None,
                "text": drawing.text,
                "plan": drawing.plan,
                "seen": drawing.seen,
                "seed": drawing.seed,
                "seconds": round(seconds, 3),
            }
        )
    elif drawing.image is not None:
        typer.echo(f"{shown}: {drawing.plan} (seed {drawing.seed}, {seconds:.1f} s)")
    else:
        typer.echo(drawing.text)
    if drawing.image is None:
        raise typer.Exit(DECLINED)


def main() -> None:
    """Run the command line; the entry point of the `genllava` script."""
    app(prog_name="genllava")


if __name__ == "__main__":
    main()
