"""How models write tool calls: a reader for each format in use."""

from __future__ import annotations

import ast
import inspect
import json
import re
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Tools = Sequence[Mapping[str, Any]]
_JSON: Final = json.JSONDecoder(strict=False)  # models write line breaks in strings as they are


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for. `arguments` are as it wrote them: no schema has been checked yet.

    `id` has nine letters and digits, which every chat template accepts.
    """

    name: str
    arguments: dict[str, Any]
    id: str = field(
        default_factory=lambda: "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(9))
    )


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """What stands where a tool call should but is none: as the model wrote it, and a sentence that tells it why."""

    text: str
    reason: str


@dataclass(slots=True)
class Parsed:
    """A reply taken apart.

    Attributes:
        start: where in the reply the calls begin: what stands before is its words. None without calls.
        calls, invalid: what stands there.
        words: the reply's words, where the format tells them otherwise than by `start`.
    """

    start: int | None = None
    calls: list[ToolCall] = field(default_factory=list)
    invalid: list[InvalidCall] = field(default_factory=list)
    words: str | None = None

    def add(self, source: str, value: Any) -> None:
        """Add `{"name", "arguments"}`, a list of such, or the same under OpenAI's `function`; or what is wrong."""
        for entry in value if isinstance(value, list) else [value]:
            call = entry.get("function", entry) if isinstance(entry, dict) else {}
            call = call if isinstance(call, dict) else {"name": call, **entry}
            name, arguments = call.get("name"), call.get("arguments", call.get("parameters", {}))
            try:  # some models write the arguments as a string of JSON
                arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
            except ValueError as error:
                self.broken(source, f"the arguments are not valid JSON ({error})")
                continue
            if not isinstance(name, str) or not name:
                self.broken(source, "it has no tool name")
            elif not isinstance(arguments, dict):
                self.broken(source, "its arguments are not an object with names and values")
            else:
                self.calls.append(ToolCall(name, arguments))

    def broken(self, source: str, reason: str) -> None:
        self.invalid.append(InvalidCall(source.strip(), f"This tool call could not be read: {reason}."))


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """A format of tool calls.

    Attributes:
        name: what `tool_format=` calls it.
        parse: takes a reply (special tokens kept) and the tools apart.
        markers: texts that begin a call anywhere in a reply.
        openers: texts that can begin a call at the start of a reply only.
    """

    name: str
    parse: Callable[[str, Tools], Parsed]
    markers: tuple[str, ...] = ()
    openers: tuple[str, ...] = ()

    def shown(self, text: str) -> int:
        """How many characters of a reply that is still being written are surely no part of a tool call."""
        if self.openers and (not text.strip() or text.lstrip().startswith(self.openers)):
            return 0
        found = [at for at in map(text.find, self.markers) if at >= 0]
        held = (n for marker in self.markers for n in range(1, len(marker)) if text.endswith(marker[:n]))
        return min(found) if found else len(text) - max(held, default=0)


def _json_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at `at` or after white space there, and where it ends."""
    return _JSON.raw_decode(text, len(text) - len(text[at:].lstrip()))


def _marked(begin: str, end: str, read: Callable[[str, int], tuple[Any, int]]) -> Callable[[str, Tools], Parsed]:
    """A parser of calls that stand between marks.

    Args:
        read: gets what follows `begin`, and where in it the call ends at most; gives a call and where it ended.
    """

    def parse(raw: str, tools: Tools) -> Parsed:
        parsed, at = Parsed(), raw.find(begin)
        parsed.start = at if at >= 0 else None
        while at >= 0:
            rest = raw[at + len(begin) :]
            stop = min((stop for stop in (rest.find(end), rest.find(begin)) if stop >= 0), default=len(rest))
            try:
                value, stop = read(rest, stop)  # marks in strings of JSON end nothing
                parsed.add(rest[:stop], value)
            except ValueError as error:
                parsed.broken(rest[:stop], f"it does not have its format ({error})")
            at = raw.find(begin, at + len(begin) + stop)
        return parsed

    return parse


def _mistral_call(rest: str, stop: int) -> tuple[Any, int]:
    """`[{"name": ..., "arguments": {...}}, ...]` before version 11, `NAME[ARGS]{...}` or `NAME{...}` since."""
    named = re.match(r"\s*([\w.\-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\])?", rest)
    value, end = _json_at(rest, named.end() if named else 0)
    return ({"name": named[1], "arguments": value} if named else value), end


def _gemma_call(quote: str) -> Callable[[str, int], tuple[Any, int]]:
    """`call:NAME{key:value,...}`, strings between `quote`s: JSON with bare keys."""

    def read(rest: str, stop: int) -> tuple[Any, int]:
        name, brace, body = rest[:stop].strip().removeprefix("call:").partition("{")
        parts = (brace + body).split(quote)  # every second part is a string
        for index, part in enumerate(parts):
            parts[index] = json.dumps(part) if index % 2 else re.sub(r"([{,]\s*)([\w.\-]+)(\s*:)", r'\1"\2"\3', part)
        return {"name": name.strip(), "arguments": _json_at("".join(parts), 0)[0]}, stop

    return read


_XML_CALL: Final = re.compile(r"<function=([^>\n]+)>(.*?)(?:</function>|(?=<function=|</tool_call>)|\Z)", re.DOTALL)
_XML_VALUE: Final = re.compile(r"<parameter=([^>\n]+)>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL)


def _qwen_xml(raw: str, tools: Tools) -> Parsed:
    """`<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>`, repeated."""
    begins = [at for at in (raw.find("<tool_call>"), raw.find("<function=")) if at >= 0]
    parsed = Parsed(start=min(begins, default=None))
    for match in _XML_CALL.finditer(raw) if begins else ():
        name = match[1].strip()
        types = _types(tools, name)
        values = ((key.strip(), value) for key, value in _XML_VALUE.findall(match[2]))
        # The format has a line break before and after each value, which is no part of it.
        values = ((key, value.removeprefix("\n").removesuffix("\n")) for key, value in values)
        parsed.add(match[0], {"name": name, "arguments": {key: _typed(value, types.get(key)) for key, value in values}})
    if begins and not parsed.calls:
        parsed.broken(raw[parsed.start :], "there is no <function=NAME> in it")
    return parsed


def _types(tools: Tools, name: str) -> dict[str, Any]:
    """Declared types of a tool's parameters, by name, in their order."""
    functions = (tool.get("function", tool) for tool in tools)
    schemas = (function.get("parameters") or {} for function in functions if function.get("name") == name)
    return {key: value.get("type") for schema in schemas for key, value in (schema.get("properties") or {}).items()}


def _typed(value: str, declared: Any) -> Any:
    """A value as its schema has it; one that does not fit stays a string, and fails the schema's check."""
    if declared in (None, "string") or (isinstance(declared, list) and "string" in declared):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(value.strip(), value)


def _llama(raw: str, tools: Tools) -> Parsed:
    """The whole reply is `{"name": ..., "parameters": {...}}`, several between `;`; or these follow <|python_tag|>."""
    before, tag, after = raw.partition("<|python_tag|>")
    body = _ended(after if tag else raw)
    if not body.startswith("{"):  # built-in tools: <|python_tag|>brave_search.call(query="...")
        return _python_calls(body, tools, Parsed(start=len(before)), method=".call") if tag else Parsed()
    parsed, at = Parsed(start=len(before) if tag else 0), 0
    while at < len(body):
        try:
            value, end = _json_at(body, at)
        except ValueError as error:
            if not tag and '"name"' not in body:
                return Parsed()
            parsed.broken(body[at:], f"it is not valid JSON ({error})")
            return parsed
        call = isinstance(value, dict) and "name" in value and {"parameters", "arguments"} & set(value)
        if not tag and not call:
            return Parsed()  # JSON that somebody asked for
        parsed.add(body[at:end], value)
        at = len(body) - len(body[end:].lstrip("; \n"))
    return parsed


def _pythonic(raw: str, tools: Tools) -> Parsed:
    """A block of ```` ```tool_code ```` with `f(x=1)` in it, or the whole reply is `[f(x=1), g(y=2)]`."""
    before, block, after = raw.partition("```tool_code")
    if block:
        return _python_calls(after.split("```")[0].strip(), tools, Parsed(start=len(before)))
    body, names = _ended(raw), [tool.get("function", tool).get("name") for tool in tools]
    if body.startswith(tuple(f"{opening}{name}(" for name in names for opening in ("[", ""))):
        return _python_calls(body, tools, Parsed(start=0))
    return Parsed()


def _ended(text: str) -> str:
    """Text without what ends a turn."""
    for end in ("<|eom_id|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>"):
        text = text.strip().removesuffix(end)
    return text.strip()


def _python_calls(body: str, tools: Tools, parsed: Parsed, method: str = "") -> Parsed:
    """Calls written as Python expressions; nothing is evaluated but literals."""
    try:
        found = [node.value for node in ast.parse(body).body if isinstance(node, ast.Expr)]
        calls = [
            call for value in found for call in (value.elts if isinstance(value, ast.List | ast.Tuple) else [value])
        ]
        if not calls:
            raise ValueError("there is no call in it")
        for call in calls:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "print" and len(call.args) == 1:
                call = call.args[0]
            if not isinstance(call, ast.Call):
                raise ValueError(f"`{ast.unparse(call)}` is not a call")
            name = ast.unparse(call.func).removeprefix("default_api.").removesuffix(method)
            values = dict(zip(_types(tools, name), map(_literal, call.args), strict=False))
            values |= {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
            parsed.add(ast.unparse(call), {"name": name, "arguments": values})
    except (SyntaxError, ValueError, TypeError) as error:
        parsed.broken(body, f"it is not a call with named values ({error})")
    return parsed


class _JsonNames(ast.NodeTransformer):
    """JSON's constants, which models write in Python too."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = {"true": True, "false": False, "null": None}
        return ast.Constant(known[node.id]) if node.id in known else node


def _literal(node: ast.expr) -> Any:
    return ast.literal_eval(_JsonNames().visit(node))


_TOOL_CALL: Final = ("<tool_call>", "</tool_call>")
_GEMMA4: Final = ("<|tool_call>", "<tool_call|>")
_FUNCTION_GEMMA: Final = ("<start_function_call>", "<end_function_call>")
_MISTRAL: Final = "[TOOL_CALLS]"
FORMATS: Final = {
    form.name: form
    for form in (
        ToolFormat("hermes", _marked(*_TOOL_CALL, lambda rest, stop: _json_at(rest, 0)), _TOOL_CALL[:1]),
        ToolFormat("qwen_xml", _qwen_xml, ("<tool_call>", "<function=")),
        ToolFormat("mistral", _marked(_MISTRAL, _MISTRAL, _mistral_call), (_MISTRAL,)),
        ToolFormat("llama", _llama, ("<|python_tag|>",), ("{",)),
        ToolFormat("pythonic", _pythonic, ("```tool_code",), ("[",)),
        ToolFormat("gemma4", _marked(*_GEMMA4, _gemma_call('<|"|>')), _GEMMA4[:1]),
        ToolFormat("function_gemma", _marked(*_FUNCTION_GEMMA, _gemma_call("<escape>")), _FUNCTION_GEMMA[:1]),
    )
}
"""Every format that is read here, by name."""


def response_template_format(tokenizer: Any, prompt: str = "") -> ToolFormat | None:
    """The tokenizer's own reader of responses (`parse_response`), where its checkpoint has one.

    Args:
        prompt: what the response goes on from; some templates begin the response themselves.
    """
    schemas = (getattr(tokenizer, name, None) for name in ("response_template", "response_schema"))
    if not hasattr(tokenizer, "parse_response") or not any(schemas):
        return None
    known = inspect.signature(tokenizer.parse_response).parameters

    def parse(raw: str, tools: Tools) -> Parsed:
        options = {k: v for k, v in (("prefix", prompt), ("tools", list(tools) or None)) if k in known}
        parsed = Parsed()
        try:
            message = tokenizer.parse_response(raw, **options)
        except ValueError as error:
            parsed.broken(raw, f"it does not have its format ({error})")
            return parsed
        parsed.words = message.get("content") or ""
        parsed.add(raw, message.get("tool_calls") or [])
        return parsed

    return ToolFormat("response_template", parse)
