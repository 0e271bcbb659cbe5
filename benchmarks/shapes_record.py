"""A record of how the shipped model behaves, and whether it still does: `python -m benchmarks.shapes_record`.

    python -m benchmarks.shapes_record record FILE      # write it, or write down anew what comes of what it asks
    python -m benchmarks.shapes_record compare FILE     # ask the same again, and say what came out otherwise

A record is gzipped JSON. It holds what is asked and shown, and what came of it, so that comparing needs nothing but the
verbs of `GenLlavaPipeline`. How requests are sampled from the generators of the shapes domain, and those typed by hand,
is in `benchmarks.shapes_requests`, and is used where FILE does not exist.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from genllava import GenLlavaPipeline

PROBABILITY: Final = 1e-3
"""How far the probability of a task may be from the recorded one."""
LEVELS: Final = 1
PIXELS: Final = 1e-3
"""Processors may round otherwise: a picture is the same if no channel differs by more levels than that, in no larger
share of its pixels."""

Json = dict[str, Any]


@dataclass(slots=True)
class Record:
    """What was asked, and what came of it.

    Attributes:
        requests: each with its `verb`, `text`, `pictures` (keys), `seed`, and the `result`.
        conversations: each a list of messages with `text`, `pictures`, `seed`, and the `results`.
        pictures: what is shown, by a hash of the pixels.
        drawn: every other row of the pictures of the results, by the hash of the whole: enough to tell how far another
            picture is from it.
    """

    requests: list[Json] = field(default_factory=list)
    conversations: list[list[Json]] = field(default_factory=list)
    pictures: dict[str, Image.Image] = field(default_factory=dict)
    drawn: dict[str, Image.Image] = field(default_factory=dict)

    def show(self, image: Image.Image) -> str:
        """The key of a picture that is shown, which is kept."""
        key = pixel_hash(image)
        self.pictures[key] = image
        return key

    @classmethod
    def load(cls, path: Path) -> Record:
        content = json.loads(gzip.decompress(path.read_bytes()))
        pictures, drawn = ({k: _decoded(text) for k, text in content[name].items()} for name in ("pictures", "drawn"))
        return cls(content["requests"], content["conversations"], pictures, drawn)

    def save(self, path: Path) -> None:
        content: Json = {"requests": self.requests, "conversations": self.conversations}
        content["pictures"] = {key: _encoded(self.pictures[key]) for key in sorted(self.pictures)}
        content["drawn"] = {key: _encoded(self.drawn[key]) for key in sorted(self.drawn)}
        path.write_bytes(gzip.compress(json.dumps(content, separators=(",", ":")).encode(), 9, mtime=0))


def pixel_hash(image: Image.Image) -> str:
    """Identity of a picture: of its mode, size and pixels."""
    head = f"{image.mode}:{image.width}x{image.height}:".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()[:32]


def _encoded(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=100, method=6)
    return base64.b64encode(file.getvalue()).decode()


def _decoded(text: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return image.convert("RGB")


# --- asking ---


def ask(pipe: GenLlavaPipeline, record: Record, request: Json) -> Any:
    """What comes of a request."""
    shown, text, seed = [record.pictures[key] for key in request["pictures"]], request["text"], request["seed"]
    if request["verb"] == "understand":
        return pipe.understand(shown or None, text)
    if request["verb"] == "generate":
        return pipe.generate(text, seed=seed)
    return pipe.edit(shown[0], text, seed=seed)


def converse(pipe: GenLlavaPipeline, record: Record, messages: Sequence[Json]) -> Iterator[Sequence[Any]]:
    """What comes of the messages of a conversation, one after the other."""
    conversation = pipe.conversation()
    for message in messages:
        shown = [record.pictures[key] for key in message["pictures"]]
        yield conversation.ask(message["text"], shown, seed=message["seed"])


def _outcome(result: Any) -> Json:
    """What is compared of a result; its picture is still a picture."""
    return {
        "text": result.text,
        "plan": getattr(result, "plan", None),
        "seen": result.seen,
        "source": getattr(result, "source", None),
        "tasks": dict(result.task_probabilities),
        "image": getattr(result, "image", None),
    }


# --- recording and comparing ---


def write_down(pipe: GenLlavaPipeline, record: Record) -> None:
    """Ask everything, and keep what comes of it in place of what did before."""
    record.drawn = {}

    def kept(result: Any) -> Json:
        outcome = _outcome(result)
        outcome["tasks"] = {token: round(value, 6) for token, value in outcome["tasks"].items()}
        if (image := outcome["image"]) is not None:
            outcome["image"] = pixel_hash(image)
            record.drawn[outcome["image"]] = _thinned(image)
        return outcome

    for request in record.requests:
        request["result"] = kept(ask(pipe, record, request))
    for messages in record.conversations:
        for message, results in zip(messages, converse(pipe, record, messages), strict=True):
            message["results"] = [kept(result) for result in results]


def differences(
    pipe: GenLlavaPipeline, record: Record, *, every: int = 1, progress: Callable[[str], object] = lambda line: None
) -> list[str]:
    """What comes out otherwise than was recorded, a line each; none where all is the same.

    Args:
        every: of how many requests, and of how many conversations, one is asked.
        progress: called with each line as soon as it is known.
    """
    found: list[str] = []

    def note(line: str) -> None:
        found.append(line)
        progress(line)

    for number, request in list(enumerate(record.requests))[::every]:
        for what in _compared(record, request["result"], ask(pipe, record, request)):
            note(f"request {number} ({request['verb']} {request['text']!r}): {what}")
    for number, messages in list(enumerate(record.conversations))[::every]:
        for message, results in zip(messages, converse(pipe, record, messages), strict=True):
            where = f"conversation {number} ({message['text']!r})"
            if len(results) != len(message["results"]):
                note(f"{where}: {len(message['results'])} results became {len(results)}")
            for known, result in zip(message["results"], results, strict=False):
                for what in _compared(record, known, result):
                    note(f"{where}: {what}")
    return found


def _compared(record: Record, known: Json, result: Any) -> Iterator[str]:
    now = _outcome(result)
    for name in ("text", "plan", "seen", "source"):
        if now[name] != known[name]:
            yield f"{name}: {known[name]!r} became {now[name]!r}"
    tasks, before = now["tasks"], known["tasks"]
    if tasks.keys() != before.keys() or any(abs(tasks[token] - before[token]) > PROBABILITY for token in tasks):
        yield f"tasks: {before} became {tasks}"
    image = now["image"]
    if (image is None) != (known["image"] is None):
        yield f"picture: {known['image']} became {image}"
    elif image is not None and pixel_hash(image) != known["image"]:
        yield from _compared_pixels(record.drawn[known["image"]], _thinned(image))


def _compared_pixels(before: Image.Image, now: Image.Image) -> Iterator[str]:
    if (before.mode, before.size) != (now.mode, now.size):
        yield f"picture: {before.mode} {before.size} became {now.mode} {now.size}"
        return
    apart = np.abs(np.asarray(before).astype(int) - np.asarray(now)).max(2)
    count, most = int((apart > 0).sum()), int(apart.max())
    if most > LEVELS or count > PIXELS * apart.size:
        yield f"picture: {count} of {apart.size} pixels that were looked at differ, by {most} levels at most"


def _thinned(image: Image.Image) -> Image.Image:
    """Every other row of a picture."""
    return Image.fromarray(np.asarray(image)[::2])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes_record", description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--every", type=int, default=1, help="compare only one of so many")
    options = parser.parse_args()
    pipe = GenLlavaPipeline.from_pretrained()
    if options.command == "record":
        if options.file.exists():
            record = Record.load(options.file)
        else:
            from benchmarks.shapes_requests import sample

            record = sample()
        write_down(pipe, record)
        record.save(options.file)
        print(f"{len(record.requests)} requests and {len(record.conversations)} conversations: {options.file}")
        return
    record = Record.load(options.file)
    found = differences(pipe, record, every=options.every, progress=lambda line: print(line, flush=True))
    print(f"{len(found)} differences in {len(record.requests)} requests, {len(record.conversations)} conversations")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
