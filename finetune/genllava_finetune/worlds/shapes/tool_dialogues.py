"""Dialogues in which tools are called, with what they really gave, as training rows (`data/rows.py`)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from PIL import Image

from genllava.errors import GenLlavaError
from genllava.protocols.verbs import image_name
from genllava_finetune.data.rows import Row, read_row
from genllava_finetune.worlds.grammar import Forms, add_noise, fill
from genllava_finetune.worlds.shapes.language.tool_requests import DESCRIPTIONS, HERE_IT_IS, REQUESTS
from genllava_finetune.worlds.shapes.outside import sample_outside
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.plan import write_plan
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import CELLS
from genllava_finetune.worlds.shapes.splits import NOTHING, Split, Withheld, sample_scene
from genllava_finetune.worlds.shapes.understanding import sample_question
from genllava_tools.registry import find
from genllava_tools.results import ToolResult
from genllava_tools.tool import Need, VisualTool

Kind = Literal["needed", "needless", "error", "unfamiliar"]
"""A tool is needed; none is; one fails, and is called again or that is said; one is known by its schema alone."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_PARTS: Final[dict[str, tuple[float, float, float, float]]] = {
    "the left half": (0, 0, 0.5, 1), "the right half": (0.5, 0, 1, 1), "the upper half": (0, 0, 1, 0.5),
    "the lower half": (0, 0.5, 1, 1), "the top left quarter": (0, 0, 0.5, 0.5),
    "the top right quarter": (0.5, 0, 1, 0.5), "the bottom left quarter": (0, 0.5, 0.5, 1),
    "the bottom right quarter": (0.5, 0.5, 1, 1), "the middle": (0.25, 0.25, 0.75, 0.75),
}  # fmt: skip
_TURNS: Final = {
    "by 90 degrees": 90, "by 180 degrees": 180, "to the right": 90, "to the left": -90, "upside down": 180,
    "by 90 degrees counter-clockwise": -90, "by 270 degrees clockwise": 270, "by a quarter clockwise": 90,
}  # fmt: skip
_WAYS: Final = {
    "left to right": "horizontal", "horizontally": "horizontal", "upside down": "vertical", "vertically": "vertical",
    "top to bottom": "vertical", "sideways": "horizontal",
}  # fmt: skip
_WORDS: Final = ("hello", "good morning", "sale", "figure 1", "my drawing", "exit", "thank you", "page 2", "draft")
_NAMED: Final = ("it", "the picture", "this picture", "the image", "image 1", "this drawing")
_SYLLABLES: Final = ("ba", "do", "fi", "ga", "ke", "lu", "mo", "ni", "pa", "ri", "su", "ta", "vo", "zu")
_OFTEN: Final = {"upscale": 1}
"""How often a tool is asked for; others four times. Its model takes half a second."""
_CHAINED: Final = 0.3
_LOOKED_AT: Final = 0.4
_MENDED: Final = 0.7
_OFFERED: Final = (3, 6)


@dataclass(frozen=True, slots=True)
class ToolDialogue:
    """A row, and what is known of it.

    Attributes:
        names: which tool each name that is offered stands for.
        unavailable: the tool that cannot be used, where one cannot.
    """

    row: Row
    kind: Kind
    names: dict[str, str]
    unavailable: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that one call of a tool does.

    Attributes:
        tool: its name.
        words: that fill its sentence.
        arguments: but for the pictures.
        wrong: arguments that the tool refuses; None where there are none.
        tell: what is said of the result; None where its picture speaks for itself.
    """

    tool: str
    words: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, Any] | None = None
    tell: Callable[[ToolResult], str] | None = None


def tool_dialogues(
    seed: int,
    count: int,
    kind: Kind | None = None,
    split: Split = "train",
    forms: Forms = "train",
    *,
    withhold: Withheld = NOTHING,
) -> Iterator[ToolDialogue]:
    """Dialogues, the same for the same seed; of one kind, or of all in turn."""
    for number in range(count):
        rng = random.Random(f"tool dialogues {seed} {number}")
        identity = f"shapes-tools:{seed}:{number}"
        yield sample_tool_dialogue(rng, kind or KINDS[number % len(KINDS)], split, forms, identity, withhold=withhold)


def sample_tool_dialogue(
    rng: random.Random, kind: Kind, split: Split, forms: Forms, identity: str, *, withhold: Withheld = NOTHING
) -> ToolDialogue:
    """One dialogue of a kind; `identity` is its row's id, and `withhold` what is never shown or asked for."""
    if kind == "needless":
        return _needless(rng, split, forms, identity, withhold)
    ask = _ask(rng, unfamiliar=kind == "unfamiliar", refusable=False)
    if kind == "error":
        mended = rng.random() < _MENDED
        ask = _ask(rng, unfamiliar=False, refusable=mended)
        return _Dialogue(rng, split, forms, kind, ask, identity, withhold).failed(mended)
    return _Dialogue(rng, split, forms, kind, ask, identity, withhold).done()


class _Dialogue:
    """A dialogue as it is written: pictures are numbered as they come in."""

    def __init__(
        self,
        rng: random.Random,
        split: Split,
        forms: Forms,
        kind: Kind,
        ask: Ask,
        identity: str,
        withhold: Withheld,
    ) -> None:
        self.rng, self.forms, self.kind, self.ask, self.identity = rng, forms, kind, ask, identity
        count = 2 if ask.tool == "side_by_side" else 1
        self.images = [render(sample_scene(rng, split, withhold=withhold)) for _ in range(count)]
        self.messages: list[dict[str, Any]] = []
        self.calls = 0
        self.tools = _offered(rng, ask.tool, renamed=kind == "unfamiliar")
        self.names = {known: name for name, (known, _) in self.tools.items()}

    def done(self) -> ToolDialogue:
        """The call is made, and what came of it is said; sometimes another one follows, or it is looked at."""
        ask, texts = self.ask, [self._asked(self.ask, None)]
        draws = ask.tell is None
        chained = _ask(self.rng, False, False) if draws and self.kind == "needed" and self._by(_CHAINED) else None
        if chained is not None and chained.tool not in (ask.tool, "side_by_side"):
            self.tools |= {chained.tool: (chained.tool, find(chained.tool))}
            self.names[chained.tool] = chained.tool
            texts.append(self._asked(chained, "it"))
        else:
            chained = None
        shown = None
        if draws and chained is None and ask.tool in ("rotate", "flip") and self._by(_LOOKED_AT):
            shown = parse(find(ask.tool)(self.images[0], **ask.arguments).image).scene  # not all can be read then
        if shown is not None:
            texts.append(self.rng.choice(("tell me what you see", "describe it", "say what it shows")))
        self._user(self.rng.choice((", then ", ", and then ", ". then ")).join(texts), len(self.images))
        result = self._call(ask, range(1, len(self.images) + 1))
        said = self._said(ask, result)
        if chained is not None:
            said = self._said(chained, self._call(chained, [len(self.images)]))
        return self._row(said if shown is None else f"It shows {write_plan(shown)}.")

    def failed(self, mended: bool) -> ToolDialogue:
        """The first call fails: it is made again as it should have been, or it is said why nothing came of it."""
        self._user(self._asked(self.ask, None), len(self.images))
        numbers = range(1, len(self.images) + 1)
        if mended:
            assert self.ask.wrong is not None
            self._call(replace(self.ask, arguments={**self.ask.arguments, **self.ask.wrong}), numbers, learn=False)
            return self._row(self._said(self.ask, self._call(self.ask, numbers)))
        tool = self.tools[self.ask.tool][1]
        missing = Need(f"the {self.ask.tool} model", f"run `hf download models/{self.ask.tool}`", lambda: False)
        self.tools[self.ask.tool] = self.ask.tool, replace(tool, needs=(missing,))
        said = self._call(self.ask, numbers).text
        return self._row(f"I cannot do that: {said.removesuffix('.')}.", unavailable=self.ask.tool)

    def _by(self, likely: float) -> bool:
        return self.rng.random() < likely

    def _asked(self, ask: Ask, picture: str | None) -> str:
        named = picture or self.rng.choice(_NAMED)
        return fill(REQUESTS[ask.tool].draw(self.rng, self.forms), {"picture": named, **ask.words}).strip(" ,")

    def _user(self, text: str, pictures: int) -> None:
        text = text if "'" in text else add_noise(self.rng, text)  # what is to be written is written so
        content = [*({"type": "image"} for _ in range(pictures)), {"type": "text", "text": text}]
        self.messages.append({"role": "user", "content": content})

    def _call(self, ask: Ask, numbers: Any, learn: bool = True) -> ToolResult:
        """Call a tool, and write down the call with what it gave; an error is its text."""
        self.calls += 1
        key, name = f"call_{self.calls}", self.names[ask.tool]
        tool = self.tools[name][1]
        arguments = {**dict(zip(tool.pictures, map(image_name, numbers), strict=False)), **ask.arguments}
        call = {"type": "tool_call", "id": key, "name": name, "arguments": arguments}
        self.messages.append({"role": "assistant", "content": [call], **({} if learn else {"learn": False})})
        result, error = run_call(tool, arguments, self.images)
        made = [image_name(len(self.images) + place) for place in range(1, len(result.images) + 1)]
        text = " ".join([result.text, *(f"{each} was made." for each in made)])
        told = {"type": "tool_result", "id": key, "name": name, "text": text, "error": error}
        self.messages.append({"role": "tool", "content": [told, *({"type": "image"} for _ in made)]})
        self.images += [image.convert("RGB") for image in result.images]
        return result

    def _said(self, ask: Ask, result: ToolResult) -> str:
        return ask.tell(result) if ask.tell else f"{HERE_IT_IS.draw(self.rng, 'all').capitalize()}."

    def _row(self, said: str, unavailable: str = "") -> ToolDialogue:
        self.messages.append({"role": "assistant", "content": [{"type": "text", "text": said}]})
        return _dialogue(self.kind, self.images, self.tools, self.messages, self.identity, unavailable)


def run_call(tool: VisualTool, arguments: Mapping[str, Any], images: list[Image.Image]) -> tuple[ToolResult, bool]:
    """What a call gives, with pictures in the place of their names, and whether that is an error, in words."""
    pictures = {name: images[int(str(arguments[name]).removeprefix("image_")) - 1] for name in tool.pictures}
    try:
        return tool.run({**arguments, **pictures}), False
    except GenLlavaError as error:
        return ToolResult(str(error)), True


def _needless(
    rng: random.Random, split: Split, forms: Forms, identity: str, withhold: Withheld
) -> ToolDialogue:
    """What the model answers by itself, although there are tools."""
    scene = sample_scene(rng, split, withhold=withhold)
    about = rng.random() < 0.8
    turn = sample_question(rng, scene, forms, withhold=withhold) if about else sample_outside(rng, forms)
    shown = [{"type": "image"}] if about else []
    messages = [
        {"role": "user", "content": [*shown, {"type": "text", "text": turn.user}]},
        {"role": "assistant", "content": [{"type": "text", "text": turn.steps[0].text}]},
    ]
    tools = _offered(rng, rng.choice(sorted(REQUESTS)))
    return _dialogue("needless", [render(scene)] if about else [], tools, messages, identity)


def _dialogue(
    kind: Kind,
    images: list[Image.Image],
    tools: Mapping[str, tuple[str, VisualTool]],
    messages: list[dict[str, Any]],
    identity: str,
    unavailable: str = "",
) -> ToolDialogue:
    specs = [
        {"type": "function", "function": {"name": name, "description": tool.description, "parameters": tool.schema()}}
        for name, (_, tool) in tools.items()
    ]
    row = {"images": images, "messages": messages, "tools": specs}
    row |= {"source": "shapes-tools", "license": "Apache-2.0", "id": identity}
    return ToolDialogue(read_row(row), kind, {name: known for name, (known, _) in tools.items()}, unavailable)


def _offered(rng: random.Random, needed: str, renamed: bool = False) -> dict[str, tuple[str, VisualTool]]:
    """Tools by the names under which they are offered, the needed one among them: what each is, and the tool."""
    known = sorted(DESCRIPTIONS if renamed else REQUESTS)
    others = rng.sample([name for name in known if name != needed], rng.randint(*_OFFERED) - 1)
    made = dict[str, tuple[str, VisualTool]]()
    for name in rng.sample([needed, *others], len(others) + 1):
        tool = find(name)
        if renamed:
            called = "".join(rng.sample(_SYLLABLES, 3))
            tool = replace(tool, name=called, description=rng.choice(DESCRIPTIONS[name]))
        made[tool.name] = name, tool
    return made


def _ask(rng: random.Random, unfamiliar: bool, refusable: bool) -> Ask:
    """Something to ask for: of a tool with another description, or whose wrong arguments are refused."""
    while True:
        names = sorted(DESCRIPTIONS if unfamiliar else REQUESTS)
        ask = _BUILDERS[rng.choices(names, [_OFTEN.get(name, 4) for name in names])[0]](rng)
        if not refusable or ask.wrong is not None:
            return ask


def _crop(rng: random.Random) -> Ask:
    part, box = rng.choice(list(_PARTS.items()))
    pixels = [round(128 * side) for side in box]
    left, top, right, bottom = box
    return Ask("crop", {"part": part}, {"box": list(box)}, {"box": rng.choice((pixels, [left, bottom, right, top]))})


def _rotate(rng: random.Random) -> Ask:
    turn, angle = rng.choice(list(_TURNS.items()))
    return Ask("rotate", {"turn": turn}, {"angle": angle}, {"angle": rng.choice((angle + 720, "a quarter"))})


def _flip(rng: random.Random) -> Ask:
    way, direction = rng.choice(list(_WAYS.items()))
    return Ask("flip", {"way": way}, {"direction": direction}, {"direction": rng.choice(("left", "mirror", "both"))})


def _edges(rng: random.Random) -> Ask:
    return Ask("edge_map", wrong={"low": rng.choice((-1, 5000))})


def _upscale(rng: random.Random) -> Ask:
    factor = rng.choice((2, 3, 4))
    return Ask("upscale", {"times": str(factor)}, {"factor": factor}, {"factor": rng.choice((1, 20))})


def _resize(rng: random.Random) -> Ask:
    width = rng.choice((32, 64, 96, 200, 256))
    return Ask("resize", {"width": str(width)}, {"width": width}, {"width": rng.choice((0, 1_000_000))})


def _measure(rng: random.Random) -> Ask:
    def told(result: ToolResult) -> str:
        return f"It is {result.data['width']} pixels wide and {result.data['height']} high."

    return Ask("measure", tell=told)


def _palette(rng: random.Random) -> Ask:
    words, count = rng.choice((("two", 2), ("three", 3), ("four", 4)))

    def told(result: ToolResult) -> str:
        colors = [f"{each['color']} ({each['share']:.0%})" for each in result.data["colors"]]
        return f"{', '.join(colors)}."

    return Ask("palette", {"count": words}, {"count": count}, {"count": rng.choice((0, 100))}, told)


def _text(rng: random.Random) -> Ask:
    words, place = rng.choice(_WORDS), rng.choice(CELLS)
    arguments = {"text": words, "position": place}
    return Ask("add_text", {"words": words, "place": f"at the {place}"}, arguments, {"position": "somewhere"})


_BUILDERS: Final[dict[str, Callable[[random.Random], Ask]]] = {
    "crop": _crop, "rotate": _rotate, "flip": _flip, "edge_map": _edges, "upscale": _upscale, "resize": _resize,
    "measure": _measure, "palette": _palette, "add_text": _text,
    "grayscale": lambda rng: Ask("grayscale"), "side_by_side": lambda rng: Ask("side_by_side"),
}  # fmt: skip
