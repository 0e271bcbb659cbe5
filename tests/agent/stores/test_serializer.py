"""What is read from a store makes nothing but our own types, whatever somebody has written into it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Interrupt, Overwrite

from genllava_agent import VisualAgent
from genllava_agent.errors import ThreadQuarantined
from genllava_agent.records import ImageRecord, Region, Request, Step
from genllava_agent.state import Action, Stream
from genllava_agent.stores.serializer import serializer

Talk = Callable[..., VisualAgent]
KEY = "0" * 64
IMAGE = ImageRecord(id="image_1", key=KEY, width=1, height=1, origin="user", turn=1, params={"a": [1, None, 0.5]})


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "\x00", b"\xff", True, None, {"a": {1: 2}}],
        IMAGE,
        Step(action="tool", tool="t", arguments={"x": {"y": [1]}}, probabilities={"[T2I]": 0.1}),
        Request(text="x", images=("image_1",), region=Region(image="image_1", box=(0, 0, 1, 1))),
        Action(kind="generate", probabilities={"a": 1.0}),
        Stream(ids=tuple(range(1000))),
        {"image_1": IMAGE},
        HumanMessage("x", id="1"),
        AIMessage([{"type": "text", "text": "x"}], tool_calls=[{"name": "t", "args": {"a": 1}, "id": "1"}]),
        ToolMessage("x", tool_call_id="1"),
        {1, 2},
        frozenset("ab"),
    ],
)
def test_what_is_kept_comes_back(value: Any) -> None:
    serde = serializer()
    again = serde.loads_typed(serde.dumps_typed(value))
    assert again == value
    assert type(again) is type(value)


def test_langgraphs_own_come_back() -> None:
    serde = serializer()
    interrupt = serde.loads_typed(serde.dumps_typed([Interrupt({"a": 1}, "id")]))[0]
    assert (interrupt.value, interrupt.id) == ({"a": 1}, "id")
    assert serde.loads_typed(serde.dumps_typed(Overwrite([IMAGE]))).value == [IMAGE]
    assert serde.loads_typed(serde.dumps_typed(ValueError("x"))) == "ValueError('x')"


class Foreign:
    """Not in the list."""


@pytest.mark.parametrize("value", [Foreign(), Path("x"), 1j, print, Foreign, os, [Foreign()], {"a": Foreign()}])
def test_what_is_not_in_the_list_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        serializer().dumps_typed(value)


def test_langgraph_adds_nothing_to_the_list() -> None:
    assert serializer().with_msgpack_allowlist([Foreign]).__dict__ == serializer().__dict__


MARK = Path(tempfile.gettempdir()) / f"genllava-was-here-{os.getpid()}"
"""What a payload that is run leaves behind."""


class _Bomb:
    def __reduce__(self) -> Any:
        return os.system, (f"touch {MARK}",)


CALLABLES = [
    ("os", "system", f"touch {MARK}"),
    ("subprocess", "Popen", ["touch", str(MARK)]),
    ("builtins", "eval", "__import__('os').system('true')"),
    ("builtins", "exec", "import os"),
    ("builtins", "__import__", "antigravity"),
    ("antigravity", "geohash", "x"),
    ("importlib", "import_module", "this"),
    ("runpy", "run_path", str(MARK.with_suffix(".py"))),
    ("pickle", "loads", pickle.dumps(_Bomb())),
    ("pathlib", "Path", "/etc/passwd"),
    ("collections", "deque", [1]),
    ("uuid", "UUID", "0" * 32),
    ("genllava_agent.records", "Step", {"action": "generate"}),
    ("genllava_agent.stores.folder", "FolderStore", str(MARK)),
    ("langchain_core.messages.human", "HumanMessage", {"content": "x"}),
    ("langchain_core.load.load", "loads", "{}"),
    ("ctypes", "CDLL", "libc.so.6"),
    ("shutil", "rmtree", str(MARK)),
]
LC = {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [f"touch {MARK}"]}
LC1 = {"lc": 1, "type": "constructor", "id": ["langchain_core", "messages", "AIMessage"], "kwargs": {"content": "x"}}
SECRET = {"lc": 1, "type": "secret", "id": ["HOME"]}


def _payloads() -> Iterator[tuple[str, str, bytes]]:
    """(name, type, data) of things that an attacker would write in place of a state."""
    for code in (*range(8), 71, 127):
        for module, name, argument in CALLABLES:
            for shape, tail in (("one", (argument,)), ("many", ([argument],)), ("named", ({"x": argument},))):
                if shape != "one" and code > 5:
                    continue
                inner = ormsgpack.packb((module, name, *tail, "loads"))
                yield f"ext {code} {module}.{name} {shape}", "msgpack", ormsgpack.packb(ormsgpack.Ext(code, inner))
    nested = ormsgpack.Ext(0, ormsgpack.packb(("os", "system", "true")))
    for name in ("Action", "Step", "Interrupt", "Overwrite", "Send", "set", "Stream", "AIMessage", "os.system", "x", 7):
        for fields in ({"kind": "generate", "bad": 1}, {"value": 1}, [1], None, nested, {"kind": nested}, LC):
            inner = ormsgpack.packb((name, fields))
            yield f"71 {name} {fields}", "msgpack", ormsgpack.packb({"state": ormsgpack.Ext(71, inner)})
    for kind in ("pickle", "json", "bytes", "bytearray", "null", "empty", "", "msgpack"):
        yield f"pickle as {kind}", kind, pickle.dumps(_Bomb())
        for number, document in enumerate((LC, LC1, SECRET, {"a": [LC, LC1]})):
            yield f"lc {number} as {kind}", kind, json.dumps(document).encode()
    for number, document in enumerate((LC, LC1, SECRET, {"channel_values": {"action": LC}})):
        yield f"lc {number} in msgpack", "msgpack", ormsgpack.packb(document)
    most = b"\xff\xff\xff\xff"
    for data in (b"", b"\xc1", b"\xdd" + most, b"\xdf" + most, b"\xc6" + most, b"\x91" * 5000):
        yield f"broken {data[:5]!r}", "msgpack", data


PAYLOADS = list(_payloads())


@contextmanager
def _watched() -> Iterator[list[str]]:
    """What is executed or imported meanwhile."""
    done: list[str] = []
    dangerous = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "exec", "compile", "import")
    dangerous += ("ctypes.", "pickle.find_class", "shutil.", "socket.", "os.remove", "os.rename", "os.mkdir")
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(dangerous):
            done.append(f"{event} {arguments!r:.200}")

    sys.addaudithook(hook)  # stays for the life of the process, and does nothing after this
    modules = set(sys.modules)
    try:
        yield done
    finally:
        watching = False
        done += [f"imported {name}" for name in set(sys.modules) - modules]


def test_the_watch_sees_what_it_should() -> None:
    """LangGraph's own serializer, left as it comes, makes what it is told to."""
    inner = ormsgpack.packb(("uuid", "UUID", "0" * 32))
    assert repr(JsonPlusSerializer().loads_typed(("msgpack", ormsgpack.packb(ormsgpack.Ext(0, inner)))))
    with _watched() as done:
        sys.modules.pop("this", None)
        compile("1", "x", "eval")
    assert done


def test_payloads() -> None:
    """Each with a wrong sum, and with the right one, which an attacker can make as well."""
    serde = serializer()
    _refused(serde, "msgpack", b"x" * 40)  # whatever is imported when something goes wrong is imported now
    assert len(PAYLOADS) > 300
    MARK.unlink(missing_ok=True)
    with _watched() as done:
        for name, kind, data in PAYLOADS:
            for body in (data, hashlib.sha256(data).digest()[:16] + data):
                made = _refused(serde, kind, body)
                assert made is None or _plain(made), f"{name} became {made!r}"
    assert done == []
    assert not MARK.exists()


def _refused(serde: Any, kind: str, body: bytes) -> Any:
    try:
        return serde.loads_typed((kind, body))
    except ThreadQuarantined:
        return None


def _plain(value: Any) -> bool:
    """Data, or one of ours that is as it should be."""
    if isinstance(value, dict):
        return all(_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, (list, set)):
        return all(map(_plain, value))
    if isinstance(value, Interrupt):
        return _plain(value.value)
    if isinstance(value, Overwrite):
        return _plain(value.value)
    return value is None or type(value) in (str, bytes, int, float, bool, Stream, Step, Action, AIMessage)


def test_payloads_in_the_row_of_a_turn_that_waits(talk: Talk, quick_path: Path) -> None:
    """The turn is quarantined, and nothing is made of what somebody wrote."""
    agent = talk(quick_path)
    agent.thread("a")("draw a circle", task="generate", seed=1, approve="generate")
    agent.close()
    database = quick_path / "threads/a/thread.sqlite"

    def attempt(table: str, column: str, kind: str, body: bytes) -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(f"UPDATE {table} SET type = ?, {column} = ?", (kind, body))
            connection.commit()
        with pytest.raises(ThreadQuarantined, match="discard"):
            agent.thread("a").approve()
        agent.close()

    with closing(sqlite3.connect(database)) as connection:
        before = connection.execute("SELECT type, checkpoint FROM checkpoints").fetchone()
    attempt("checkpoints", "checkpoint", "msgpack", b"x" * 40)
    with _watched() as done:
        for _, kind, data in PAYLOADS[::5]:
            attempt("checkpoints", "checkpoint", kind, hashlib.sha256(data).digest()[:16] + data)
    assert [event for event in done if "pickle" in event or "system" in event or "imported" in event] == []
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE checkpoints SET type = ?, checkpoint = ?", before)
        connection.commit()
    for _, kind, data in PAYLOADS[::40]:
        attempt("writes", "value", kind, hashlib.sha256(data).digest()[:16] + data)
    agent.thread("a").discard()
    assert agent.thread("a")("say", task="understand").turn == 1


@pytest.mark.parametrize(
    "channel", ["action", "request", "images", "steps", "messages", "stream", "session", "stopped", "focus"]
)
def test_values_of_other_types_in_a_state(channel: str, talk: Talk, quick_path: Path) -> None:
    """Sound data of the wrong type, with the right sum."""
    agent = talk(quick_path)
    agent.thread("a")("draw a circle", task="generate", seed=1, approve="generate")
    agent.close()
    serde = serializer()
    with closing(sqlite3.connect(quick_path / "threads/a/thread.sqlite")) as connection:
        state = serde.loads_typed(connection.execute("SELECT type, checkpoint FROM checkpoints").fetchone())
        state["channel_values"][channel] = [{"kind": "generate"}]
        connection.execute("UPDATE checkpoints SET type = ?, checkpoint = ?", serde.dumps_typed(state))
        connection.commit()
    with pytest.raises(ThreadQuarantined, match="discard"):
        agent.thread("a").approve()


def test_no_warning_and_no_difference_under_langgraphs_strict_setting(talk: Talk) -> None:
    """In a process of its own, since LangGraph reads the variable when it is imported."""
    import subprocess

    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from langgraph.checkpoint.memory import InMemorySaver\n"
        "from genllava_agent.stores.serializer import serializer\n"
        "saver = InMemorySaver(serde=serializer()).with_allowlist({('os', 'system')})\n"
        "assert saver.serde.__dict__ == serializer().__dict__"
    )
    environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": "true", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
