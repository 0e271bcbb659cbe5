"""ScienceQA: multiple-choice questions, many with a picture, with a lecture and a solution.

Two layouts: the original folder with `problems.json` (`{id: {question, choices, answer, hint, image, lecture, solution,
split, ...}}`) and `images/{split}/{id}/{image}`, and the table of the hub, with the pictures in it. Only questions of
the split `train` are for training; others are listed as left out.

Each answer names the letter of the right choice. Three kinds differ in what stands around it: the lecture and the
solution before it (as in the format QCM-LEA), after it (QCM-ALE), or nothing (QCM-A). The user's last line says which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from genllava_finetune.data.converters.hub_tables import table_rows
from genllava_finetune.data.converters.json_records import json_members
from genllava_finetune.data.converters.llava import text_of
from genllava_finetune.data.errors import RowError
from genllava_finetune.data.picture_paths import picture_path
from genllava_finetune.data.records import Converter, Record, Rejected, Source
from genllava_finetune.data.rows import Row, read_row

_LICENSE = "CC-BY-NC-SA-4.0"
_PROBLEMS = "problems.json"
_COLUMNS = ("image", "question", "choices", "answer", "hint", "lecture", "solution")

_Form = Callable[[str, str], str]
"""What the assistant says, from the explanation (may be empty) and the letter."""


def _explained(explanation: str, letter: str) -> str:
    return f"{explanation}\nThe answer is {letter}.".lstrip()


def _answer_first(explanation: str, letter: str) -> str:
    return f"The answer is {letter}.\n{explanation}".rstrip()


def _letter_only(explanation: str, letter: str) -> str:
    return letter


def _read(source: Source, kind: str, form: _Form, asks: str) -> Iterator[Record]:
    location = Path(source.location)
    folder = location.parent if location.name == _PROBLEMS else location
    make = partial(_row, kind=kind, form=form, asks=asks)
    if (folder / _PROBLEMS).is_file():
        return _problems(folder, source.images or folder / "images", make)
    return _table(source, make)


def _problems(folder: Path, images: Path, make: Callable[..., Row]) -> Iterator[Record]:
    for origin, id, problem in json_members(folder / _PROBLEMS):
        yield Record(origin, (_problem_row(id, problem, images, make),))


def _problem_row(id: str, problem: Any, images: Path, make: Callable[..., Row]) -> Row | Rejected:
    if isinstance(problem, Rejected):
        return Rejected(problem.reason, id)
    if not isinstance(problem, Mapping):
        return Rejected("the record is no JSON object", id)
    split, name = problem.get("split"), problem.get("image")
    if split != "train":
        return Rejected(f"a split that is held out for evaluation is not read: {split!r:.40}", id)
    try:
        if name is not None and not (isinstance(name, str) and name):
            raise RowError(f"the picture has no file name: {name!r:.80}")
        return make(problem, picture_path(images, f"{split}/{id}/{name}") if name else None, id=id)
    except RowError as error:
        return Rejected(str(error), id)


def _table(source: Source, make: Callable[..., Row]) -> Iterator[Record]:
    for origin, problem in table_rows(source, _COLUMNS):
        if isinstance(problem, Rejected):
            yield Record(origin, (problem,))
            continue
        id = f"{Path(origin.file).stem}-{origin.line}"
        try:
            yield Record(origin, (make(problem, _cell_picture(problem["image"]), id=id),))
        except RowError as error:
            yield Record(origin, (Rejected(str(error), id),))


def _cell_picture(cell: Any) -> bytes | None:
    """The picture in a cell of the table."""
    if cell is None:
        return None
    content = cell.get("bytes") if isinstance(cell, Mapping) else None
    if not isinstance(content, bytes):
        raise RowError(f"the picture is not in the table: {cell!r:.120}")
    return content


def _row(problem: Mapping[str, Any], picture: Any, *, id: str, kind: str, form: _Form, asks: str) -> Row:
    choices, answer = problem.get("choices"), problem.get("answer")
    if not isinstance(choices, list) or not 0 < len(choices) <= len(ascii_uppercase):
        raise RowError(f"choices is no list of 1 to {len(ascii_uppercase)} texts: {choices!r:.120}")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise RowError(f"the answer is no number of a choice: {answer!r:.40} of {len(choices)}")
    lines = [f"Question: {text_of(problem.get('question'), 'question').strip()}"]
    if hint := _optional(problem, "hint"):
        lines.append(f"Context: {hint}")
    options = (f"({ascii_uppercase[n]}) {text_of(choice, f'choice {n}').strip()}" for n, choice in enumerate(choices))
    lines += [f"Options: {' '.join(options)}", asks]
    explanation = "\n".join(part for key in ("lecture", "solution") if (part := _optional(problem, key)))
    shown = [] if picture is None else [{"type": "image"}]
    messages = [
        {"role": "user", "content": [*shown, {"type": "text", "text": "\n".join(lines)}]},
        {"role": "assistant", "content": [{"type": "text", "text": form(explanation, ascii_uppercase[answer])}]},
    ]
    images = [] if picture is None else [picture]
    return read_row({"images": images, "messages": messages, "source": kind, "license": _LICENSE, "id": f"{kind}:{id}"})


def _optional(problem: Mapping[str, Any], key: str) -> str:
    value = problem.get(key)
    if value is not None and not isinstance(value, str):
        raise RowError(f"a text is missing: {key}, {value!r:.80}")
    return (value or "").strip()


def _converter(kind: str, form: _Form, asks: str, summary: str) -> Converter:
    return Converter(kind, _LICENSE, f"ScienceQA: {summary}", partial(_read, kind=kind, form=form, asks=asks))


CONVERTERS: tuple[Converter, ...] = (
    _converter(
        "scienceqa",
        _explained,
        "Explain what leads to the answer, then name its letter.",
        "lecture and solution, then the letter (QCM-LEA)",
    ),
    _converter(
        "scienceqa_answer_first",
        _answer_first,
        "Name the letter of the answer, then explain it.",
        "the letter, then lecture and solution (QCM-ALE)",
    ),
    _converter("scienceqa_letter", _letter_only, "Answer with the letter alone.", "the letter alone (QCM-A)"),
)
