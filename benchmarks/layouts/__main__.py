"""Print which public layouts run, as tables: `python -m benchmarks.layouts [NAME ...]`.

Each layout is saved as a small random checkpoint by the libraries' own classes, put together by
`GenLlavaPipeline.assemble`, and used. What does not run is said with its reason.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.layouts import decoders, vision_language
from genllava import GenerationHead, GenLlavaError, GenLlavaPipeline
from genllava.protocols.visual_queries import head_embeds

PHOTO: Final = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8))
OPTIONS: Final = {"num_inference_steps": 4, "seed": 1}
QUERIES: Final = 4
CARRY: Final = ("qwen_image_edit", "longcat_image", "longcat_image_edit", "dreamlite")
"""Pipelines whose text encoder is a whole vision-language model: all verbs come from one id."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts", description=__doc__)
    parser.add_argument("names", nargs="*", help="layouts; all if none is named")
    chosen = parser.parse_args().names
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        readers = [name for name in vision_language.LAYOUTS if not chosen or name in chosen]
        if readers:
            print("| layout | class | protocol | answers about a picture | several steps in a turn | visual queries |")
            print("|---|---|---|---|---|---|", flush=True)
        for name in readers:
            print(_reader_row(name, root), flush=True)
        drawers = [name for name in decoders.LAYOUTS if not chosen or name in chosen]
        if drawers:
            print("\n| layout | class | draws | edits, by | through a generation head | all verbs from one id |")
            print("|---|---|---|---|---|---|", flush=True)
        for name in drawers:
            print(_decoder_row(name, root), flush=True)


def _saved(name: str, root: Path, layouts: dict[str, Callable[[Path], None]]) -> Path:
    folder = root / name
    if not folder.exists():
        layouts[name](folder)
    return folder


def _reader_row(name: str, root: Path) -> str:
    decoder = _saved("sd15", root, decoders.LAYOUTS)
    try:
        pipe = GenLlavaPipeline.assemble(_saved(name, root, vision_language.LAYOUTS), decoder)
    except GenLlavaError as error:
        return f"| {name} | {error} | | | | |"
    reader = pipe.vision_language
    cells = [
        _try(lambda: bool(pipe.understand(PHOTO, "What is this?", max_new_tokens=8))),
        _try(lambda: bool(pipe.conversation().ask("What is this?", PHOTO, max_steps=2, **OPTIONS))),
        _try(lambda: _queries(reader)),
    ]
    return f"| {name} | {type(pipe.vlm).__name__} | {pipe.protocol.name} | {' | '.join(cells)} |"


def _queries(reader: Any) -> bool:
    names = [f"<query_{number}>" for number in range(QUERIES)]
    reader.add_tokens(names)
    states = reader.query_states([{"role": "user", "content": "Draw a cat."}], "", names)
    return tuple(states.shape) == (1, QUERIES, reader.hidden_size)


def _decoder_row(name: str, root: Path) -> str:
    reader, decoder = _saved("llava15", root, vision_language.LAYOUTS), _saved(name, root, decoders.LAYOUTS)
    try:
        pipe = GenLlavaPipeline.assemble(reader, decoder)
    except GenLlavaError as error:
        return f"| {name} | {error} | | | | |"
    control = {"control_image": PHOTO} if "controlnet" in name else {}
    cells = [
        _try(lambda: pipe.generate("a cat", height=64, width=64, **OPTIONS, **control).image is not None),
        _try(lambda: pipe.edit(PHOTO, "make it blue", **OPTIONS, **control).decoder),
        _try(lambda: _through_head(pipe, control)),
        _try(lambda: _alone(decoder)) if name in CARRY else "",
    ]
    return f"| {name} | {type(pipe.decoder).__name__} | {' | '.join(cells)} |"


def _through_head(pipe: GenLlavaPipeline, control: dict[str, Any]) -> bool:
    image_decoder, reader = pipe.image_decoder, pipe.vision_language
    assert image_decoder is not None
    spec = image_decoder.spec
    head = GenerationHead(
        num_queries=QUERIES, input_dim=reader.hidden_size, output_length=spec.length, output_dim=spec.dim,
        pooled_dim=spec.pooled_dim, hidden_dim=32, num_layers=1, num_heads=4, query_tokens=True,
    )  # fmt: skip
    reader.add_tokens(head.query_names)
    embeds = head_embeds(reader, head, [[{"role": "user", "content": "a cat"}]], [""])
    options = {"num_inference_steps": 2, "height": 64, "width": 64, **control}
    return bool(image_decoder.generate(None, seeds=[1], prompt_embeds=embeds, options=options))


def _alone(folder: Path) -> bool:
    pipe = GenLlavaPipeline.assemble(folder)
    pipe.understand(PHOTO, "What is this?", max_new_tokens=4)
    drawn = pipe.image_decoder is not None and pipe.edit(PHOTO, "make it blue", **OPTIONS).image is not None
    return bool(drawn)


def _try(call: Callable[[], bool | str]) -> str:
    """`yes`, what the call names, or why it does not work."""
    try:
        found = call()
    except GenLlavaError as error:
        return str(error).replace("|", "/")
    return found if isinstance(found, str) else "yes" if found else "no"


if __name__ == "__main__":
    main()
