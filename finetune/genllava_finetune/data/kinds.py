"""The kinds of public data sets that can be prepared: the table of converters by name."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Final

from genllava.errors import InvalidRequest
from genllava_finetune.data.records import Converter

_MODULES: Final[tuple[str, ...]] = (
    "llava",
    "mm_instruct",
    "scienceqa",
    "llava_plus",
    "captions",
    "instructpix2pix",
    "magicbrush",
    "ultraedit",
    "imgedit",
    "sharegpt4o",
    "blip3o",
)
"""Modules of `genllava_finetune.data.converters`, each with its `CONVERTERS: tuple[Converter, ...]`, in the order of
the list that is shown. They are imported when a kind is asked for or listed."""


def converters() -> dict[str, Converter]:
    """All converters by name."""
    known = dict[str, Converter]()
    for module in _MODULES:
        for converter in import_module(f"genllava_finetune.data.converters.{module}").CONVERTERS:
            known[converter.name] = converter
    return known


def find_converter(kind: str) -> Converter:
    """The converter of that name.

    Raises:
        InvalidRequest: there is none; the message names the nearest.
    """
    known = converters()
    if kind in known:
        return known[kind]
    near = get_close_matches(kind, known, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else "genllava data prepare --list names all"
    raise InvalidRequest(f"there is no kind of data set {kind!r}: {hint}")
