"""A visual tool: one typed function on PIL images, with the schema by which models and programs call it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from genllava.errors import GenLlavaError, InvalidRequest
from genllava.images import picture_notes
from genllava_tools.arguments import leaves, picture_mark, place_mark
from genllava_tools.coordinates import Dialect, box_in, point_in
from genllava_tools.errors import ToolDeclarationError, ToolFailed, ToolUnavailable
from genllava_tools.pictures import layer_in, mask_in, picture_in
from genllava_tools.results import ToolResult, as_result
from genllava_tools.schema import in_dialect, plain_schema

Kind = Literal["look", "change", "mark", "control", "draw"]
"""What a tool is for: finding something out, changing a picture, drawing on it, making maps for ControlNet, or new
pictures."""

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
_PLAIN: Final = (bool, int, float, str, Image.Image, types.NoneType)


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a tool needs beyond this package: another package, or weights.

    Attributes:
        name: what it is.
        remedy: how to get it, in one line, such as the command to run.
        present: says whether it is here, quickly and without loading it.
        remedy_now: the remedy where it depends on what the user has chosen; `remedy` is said where there is none.
    """

    name: str
    remedy: str
    present: Callable[[], bool]
    remedy_now: Callable[[], str] | None = None

    @property
    def missing(self) -> str:
        """What is not here, and how to get it; empty where it is."""
        if self.present():
            return ""
        return f"needs {self.name}: {self.remedy_now() if self.remedy_now else self.remedy}"


def package(module: str, remedy: str) -> Need:
    """The need of a package, which is here where `module` can be imported; it is not imported for that."""
    return Need(module, remedy, lambda: find_spec(module) is not None)


@dataclass(frozen=True, eq=False)
class VisualTool:
    """A tool. Call it like its function: `crop(photo, box=(0, 0, 0.5, 1)).image`; arguments are checked first.

    Attributes:
        name: by which models call it.
        kind: what it is for.
        description: what it does and gives back, for a model to act on; the function's docstring.
        function: the function itself, which trusts its arguments.
        needs: what has to be installed or downloaded before it runs.
        pictures: its arguments that are pictures, in their order.
    """

    name: str
    kind: Kind
    description: str
    function: Callable[..., Any] = field(repr=False)
    needs: tuple[Need, ...] = ()
    pictures: tuple[str, ...] = ()
    _hints: Mapping[str, Any] = field(default_factory=dict, repr=False)
    _model: type[BaseModel] = field(default=BaseModel, repr=False)

    @property
    def missing(self) -> str:
        """What is not here, and in one line how to get it; empty where the tool can run."""
        return "; ".join(missing for need in self.needs if (missing := need.missing))

    def schema(self, dialect: Dialect = "0-1") -> dict[str, Any]:
        """The JSON schema of the arguments; pictures are strings in it, which name them.

        Args:
            dialect: how boxes and points are written by whoever calls.
        """
        return in_dialect(plain_schema(self._model), dialect, [n for n, h in self._hints.items() if place_mark(h)])

    def named_schema(self, dialect: Dialect = "0-1") -> dict[str, Any]:
        """`schema`, which says that pictures are given by their names, such as image_1."""
        schema = self.schema(dialect)
        for name in self.pictures:
            each = schema["properties"][name]
            each["description"] = f"{each['description']} By its name, such as image_1."
        return schema

    def with_pictures(self, arguments: Mapping[str, Any], found: Callable[[Any], Image.Image]) -> dict[str, Any]:
        """The arguments of a call with pictures in the place of their names.

        Args:
            found: gives the picture of a name, or raises.
        """
        given = dict(arguments)
        for name in self.pictures:
            if isinstance(value := given.get(name), list):
                given[name] = [found(each) for each in value]
            elif value is not None:
                given[name] = found(value)
        return given

    def __call__(self, /, *arguments: Any, **named: Any) -> ToolResult:
        """Check the arguments and run it; boxes and points are fractions.

        Raises:
            InvalidRequest: an argument is missing, unknown, of the wrong type or out of bounds; the message says which,
                and what to give.
            ImageRejected: a picture cannot be used.
            ToolUnavailable: a package or weights are missing.
            ToolFailed: a defect of the tool.
        """
        names = list(self._hints)
        if len(arguments) > len(names):
            raise InvalidRequest(f"{self.name} takes {len(names)} arguments: {', '.join(names)}")
        given = dict(zip(names, arguments, strict=False))
        if twice := given.keys() & named.keys():
            raise InvalidRequest(f"{self.name} was given `{sorted(twice)[0]}` twice")
        return self.run({**given, **named})

    def run(self, arguments: Mapping[str, Any], dialect: Dialect = "0-1") -> ToolResult:
        """As a call, with the arguments in a mapping, and boxes and points as `dialect` has them.

        Raises:
            InvalidRequest, ImageRejected, ToolUnavailable, ToolFailed: as a call.
        """
        if missing := self.missing:
            raise ToolUnavailable(f"{self.name} {missing}")
        given, notes = self._with_pictures({name: each for name, each in arguments.items() if each is not None})
        if dialect != "0-1":
            given = self._in_fractions(given, dialect)
        try:
            checked = self._model.model_validate(given)
        except ValidationError as error:
            raise InvalidRequest(self._complaint(error)) from None
        try:
            value = self.function(**{name: getattr(checked, name) for name in self._hints})
        except GenLlavaError as error:
            if type(error) is InvalidRequest and not str(error).startswith(self.name):
                raise InvalidRequest(f"{self.name}: {error}") from error
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ToolFailed(f"{self.name} broke, which is no fault of its arguments ({reason})") from error
        result = as_result(value, self.name)
        return ToolResult(" ".join([result.text, *notes]), result.images, result.data) if notes else result

    def _with_pictures(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The arguments with pictures as the function takes them, and what was left out of them, in words."""
        notes = list[str]()

        def ready(name: str, value: object, form: str) -> Image.Image:
            made = layer_in(value, name)
            notes.extend(f"({name}: {note}.)" for note in picture_notes(made))
            if form == "layer" or made.mode != "RGBA":
                return made
            notes.append(f"({name}: what is transparent in it counts as white.)")
            return picture_in(value, name)

        marks = {name: picture_mark(self._hints[name]) for name in self.pictures if name in given}
        for name, mark in marks.items():
            if mark is None or mark.form == "mask":
                continue
            several = isinstance(given[name], (list, tuple)) and _takes_several(self._hints[name])
            if several:
                given[name] = [ready(f"{name}[{at}]", each, mark.form) for at, each in enumerate(given[name])]
            else:
                given[name] = ready(name, given[name], mark.form)
        for name, mark in marks.items():
            if mark is not None and mark.form == "mask" and isinstance(given.get(mark.of), Image.Image):
                given[name] = mask_in(given[name], name, given[mark.of])
        return given, notes

    def _in_fractions(self, given: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
        image = given.get("image")
        size = image.size if isinstance(image, Image.Image) else None
        for name in given:
            mark = place_mark(self._hints.get(name))
            if mark is not None:
                convert: Any = box_in if mark.form == "box" else point_in
                try:
                    several = _takes_several(self._hints[name])
                    value = given[name]
                    given[name] = [convert(each, dialect, size) for each in value] if several else convert(
                        value, dialect, size
                    )
                except InvalidRequest as error:
                    raise InvalidRequest(f"`{name}` of {self.name}: {error}") from None
                except TypeError:
                    raise InvalidRequest(f"`{name}` of {self.name} must be a list of {mark.form}es") from None
        return given

    def _complaint(self, error: ValidationError) -> str:
        """What is wrong with arguments, in one line for whoever gave them."""
        said = []
        for each in error.errors(include_url=False)[:3]:
            place, *deeper = each["loc"] or ("",)
            name = f"`{place}`" + (f" (item {deeper[0]})" if deeper and isinstance(deeper[0], int) else "")
            if each["type"] == "extra_forbidden":
                said.append(f"there is no argument {name}: it takes {', '.join(self._hints)}")
            elif each["type"] == "missing":
                said.append(f"the argument {name} is missing")
            elif each["type"] in ("tuple_type", "list_type"):
                said.append(f"{name} must be a list")
            else:
                said.append(f"{name}: {each['msg'].removeprefix('Value error, ')}")
        return f"{self.name}: {'; '.join(said)}"


def declare(function: Callable[..., Any], name: str, kind: Kind, needs: Sequence[Need]) -> VisualTool:
    """A tool made from a function.

    Raises:
        ToolDeclarationError: it has no docstring, or an argument has no type, no description or no bounds.
    """

    def refuse(reason: str) -> ToolDeclarationError:
        return ToolDeclarationError(f"{name} cannot be a tool: {reason}")

    description = " ".join((inspect.getdoc(function) or "").split())
    if not description:
        raise refuse("it has no docstring, and models are told what it does by that")
    if not name.isidentifier() or not name.islower():
        raise refuse("a name is made of small letters, digits and underscores")
    if kind not in KINDS:
        raise refuse(f"its kind is one of {', '.join(KINDS)}")
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise refuse(f"an annotation of it cannot be read: {error}") from None
    fields: dict[str, Any] = {}
    for argument, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise refuse(f"`{argument}` has to be an argument with a name")
        if argument not in hints:
            raise refuse(f"`{argument}` has no type")
        if unfit := [kind for kind in _types(hints[argument]) if kind not in _PLAIN]:
            shown = "a path" if isinstance(unfit[0], type) and issubclass(unfit[0], PurePath) else unfit[0]
            raise refuse(f"`{argument}` is {shown}, which models cannot give: pictures, boxes, numbers, words, choices")
        if Image.Image in _types(hints[argument]) and picture_mark(hints[argument]) is None:
            raise refuse(f"`{argument}` is a picture: annotate it as genllava_tools.arguments.Picture, Layer or Mask")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[argument] = (hints[argument], default)
    settings = ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False, protected_namespaces=())
    model: type[BaseModel] = create_model(f"{name}_arguments", __config__=settings, **fields)
    for argument, schema in plain_schema(model)["properties"].items():
        if not schema.get("description"):
            raise refuse(f"`{argument}` has no description: Annotated[..., Field(description=...)]")
        if unbounded := next(_unbounded(schema), ""):
            raise refuse(f"`{argument}` needs {unbounded}")
    own = {argument: hints[argument] for argument in fields}
    if any(map(place_mark, own.values())) and "image" not in own:
        raise refuse("boxes and points are places in the argument `image`, which it has not")
    for argument, hint in own.items():
        mark = picture_mark(hint)
        if mark is not None and mark.form == "mask" and mark.of not in own:
            raise refuse(f"`{argument}` is a mask of `{mark.of}`, which it has not")
    pictures = tuple(argument for argument, hint in own.items() if picture_mark(hint) is not None)
    return VisualTool(name, kind, description, function, tuple(needs), pictures, own, model)


def takes_several(tool: VisualTool, argument: str) -> bool:
    """Whether an argument of a tool is a list."""
    return _takes_several(tool._hints[argument])


def _takes_several(hint: Any) -> bool:
    return any(get_origin(each) is list for each in leaves(hint))


def _types(annotation: Any) -> Iterator[Any]:
    """The types that an annotation is made of, without those that hold others."""
    if hasattr(annotation, "__metadata__"):
        yield from _types(annotation.__origin__)
    elif get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif get_origin(annotation) in (list, tuple, Union, types.UnionType):
        yield from (each for part in get_args(annotation) if part is not ... for each in _types(part))
    else:
        yield annotation


def _unbounded(schema: Mapping[str, Any]) -> Iterator[str]:
    """What an argument lacks, so that a model could give anything."""
    kind = schema.get("type")
    if "enum" in schema or "const" in schema:
        return
    if kind in ("integer", "number"):
        if not {"minimum", "exclusiveMinimum"} & schema.keys() or not {"maximum", "exclusiveMaximum"} & schema.keys():
            yield "bounds: Field(ge=..., le=...)"
    elif kind == "string" and not {"maxLength", "pattern"} & schema.keys():
        yield "a longest length: Field(max_length=...), or a Literal of choices"
    elif kind == "array":
        if "maxItems" not in schema:
            yield "a greatest number of items: Field(max_length=...)"
        yield from _unbounded(schema.get("items", {}))
    for each in schema.get("anyOf", ()):
        yield from _unbounded(each)
