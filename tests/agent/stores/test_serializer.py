"""What is read from a store makes plain data and messages, whatever somebody has written into it."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Interrupt, Overwrite
from pydantic import BaseModel
from talking import said, say

from genllava_agent.errors import ThreadQuarantined
from genllava_agent.records import ImageRecord, Region, Request, Step
from genllava_agent.state import Begun
from genllava_agent.stores import open_store
from genllava_agent.stores.serializer import serializer

KEY = "0" * 64
RECORD = ImageRecord(id="image_1", key=KEY, width=1, height=1, origin="user", turn=1, params={"a": [1, None, 0.5]})
IMAGE = RECORD.model_dump(mode="json", exclude_defaults=True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        b"\xff",
        bytearray(b"\x00"),
        [1, 2.5, "\x00", b"\xff", True, None, {"a": {1: 2}}],
        [IMAGE, {"image_1": IMAGE}],
        [HumanMessage("x", id="1"), AIMessage("y", id="2")],
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
    interrupt = serde.loads_typed(serde.dumps_typed([Interrupt({"a": IMAGE}, "id")]))[0]
    assert (interrupt.value, interrupt.id) == ({"a": IMAGE}, "id")
    assert serde.loads_typed(serde.dumps_typed(Overwrite({"image_1": IMAGE}))).value == {"image_1": IMAGE}
    assert serde.loads_typed(serde.dumps_typed(ValueError("x"))) == "ValueError('x')"


OURS = [
    RECORD,
    Step(action="tool", tool="t", arguments={"x": {"y": [1]}}, probabilities={"[T2I]": 0.1}),
    Request(text="x", images=("image_1",), region=Region(image="image_1", box=(0, 0, 1, 1))),
    Begun(id="x", number=1, at=0.0, seed=1),
]


@pytest.mark.parametrize("record", OURS)
def test_our_own_types_are_not_made_either(record: BaseModel) -> None:
    """State is plain data: where one came there all the same, its fields come back."""
    serde = serializer()
    again = serde.loads_typed(serde.dumps_typed({"x": [record]}))
    assert type(again["x"][0]) is dict
    assert type(record).model_validate(again["x"][0]) == record


def test_what_is_done_to_what_was_read_stays_there() -> None:
    """Lists of messages are read once."""
    serde = serializer()
    kept = serde.dumps_typed([HumanMessage("x", id="1"), AIMessage("y", id="2")])
    first = serde.loads_typed(kept)
    first.append(HumanMessage("z"))
    first[0] = HumanMessage("other", id="1")
    del first[1]
    assert [message.text for message in serde.loads_typed(kept)] == ["x", "y"]


def test_what_is_done_to_a_message_that_was_read_stays_there() -> None:
    serde = serializer()
    said = AIMessage("y", id="2", additional_kwargs={"a": 1}, tool_calls=[{"name": "t", "args": {}, "id": "1"}])
    kept = serde.dumps_typed([said])
    for _ in range(2):
        (read,) = serde.loads_typed(kept)
        assert read == said
        read.id, read.content, read.additional_kwargs, read.tool_calls = "other", "other", {}, []


class Foreign(BaseModel):
    """Not in the list."""

    x: int = 1


@pytest.mark.parametrize("value", [object(), 1j, print, Foreign, os, [object()], {"a": object()}])
def test_what_cannot_be_kept_is_not_written(value: Any) -> None:
    with pytest.raises(TypeError):
        serializer().dumps_typed(value)


def test_what_is_not_in_the_list_is_not_made() -> None:
    assert type(serializer().loads_typed(serializer().dumps_typed(Foreign()))) is dict


def test_langgraph_adds_nothing_to_the_list() -> None:
    serde = serializer().with_msgpack_allowlist([Foreign, (Foreign.__module__, "Foreign")])
    assert type(serde.loads_typed(serde.dumps_typed(Foreign()))) is dict


@pytest.mark.parametrize("kind", ["msgpack", "bytes", "null", "json", "pickle", "", "empty"])
def test_every_change_of_the_bytes_is_noticed(kind: str) -> None:
    serde = serializer()
    _, data = serde.dumps_typed({"x": [1, 2, IMAGE], "text": "something"})
    with pytest.raises(ThreadQuarantined):
        serde.loads_typed((kind, data[:-1]))
    if kind == "msgpack":
        for place in range(len(data)):
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            with pytest.raises(ThreadQuarantined):
                serde.loads_typed((kind, bytes(changed)))
    else:
        with pytest.raises(ThreadQuarantined):
            serde.loads_typed((kind, data))


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
    ("genllava_agent.records", "Final", {"action": "generate"}),
    ("genllava_agent.state", "convert_to_messages", [["human", "x"]]),
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
    """(name, type, data) of things that an attacker would write in place of a checkpoint."""
    for code in (*range(9), 71, 127):
        for module, name, argument in CALLABLES:
            for shape, tail in (("one", (argument,)), ("many", ([argument],)), ("named", ({"x": argument},))):
                if shape != "one" and code > 5:
                    continue
                inner = ormsgpack.packb((module, name, *tail, "loads"))
                yield f"ext {code} {module}.{name} {shape}", "msgpack", ormsgpack.packb(ormsgpack.Ext(code, inner))
                twice = ormsgpack.packb(ormsgpack.Ext(7, ormsgpack.packb([ormsgpack.Ext(code, inner)])))
                yield f"ext {code} {module}.{name} {shape} in a snapshot", "msgpack", twice
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
    inner = ormsgpack.packb(("http.client", "HTTPConnection", "x"))
    assert repr(JsonPlusSerializer().loads_typed(("msgpack", ormsgpack.packb(ormsgpack.Ext(0, inner)))))
    with _watched() as done:
        sys.modules.pop("this", None)
        compile("1", "x", "eval")
    assert done


def test_payloads() -> None:
    """Each with a wrong sum, and with the right one, which an attacker can make as well."""
    assert len(PAYLOADS) > 500
    for _, kind, data in PAYLOADS:  # whatever is imported for what is made, or when something goes wrong, is so now
        _made(kind, data, True)
    MARK.unlink(missing_ok=True)
    with _watched() as done:
        for name, kind, data in PAYLOADS:
            assert _made(kind, data, False) is None
            made = _made(kind, data, True)
            assert _plain(made), f"{name} became {made!r}"
    assert [event for event in done if not event.startswith("compile")] == [], "a pattern is compiled where one is read"
    assert not MARK.exists()
    assert not {"antigravity", "this"} & set(sys.modules)


def _load(kind: str, data: bytes, right: bool) -> Any:
    total = hashlib.sha256(kind.encode() + b"\0" + data).digest()[:16] if right else b"\0" * 16
    return serializer().loads_typed((kind, total + data))


def _made(kind: str, data: bytes, right: bool) -> Any:
    """What becomes of it; None where it is refused."""
    try:
        return _load(kind, data, right)
    except ThreadQuarantined:
        return None


def _plain(value: Any) -> bool:
    """Data, or what does nothing."""
    if isinstance(value, dict):
        return all(_plain(item) for pair in value.items() for item in pair)
    if type(value).__name__ in ("list", "tuple", "set", "deque", "frozenset"):
        return all(map(_plain, value))
    if type(value).__name__ == "_DeltaSnapshot":
        return _plain(value.value)
    harmless = ("Path", "PosixPath", "UUID")
    return isinstance(value, (str, bytes, bytearray, int, float, BaseMessage, type(None))) or (
        type(value).__name__ in harmless
    )


def test_payloads_in_the_rows_of_a_thread(quick_path: Path) -> None:
    """The thread is quarantined, or what is there is plain data; nothing is made of what somebody wrote."""
    store = open_store(quick_path)
    say(store, "a", "one", "ask two")
    store.close()
    database = quick_path / "threads/a/checkpoints.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DELETE FROM settled")  # as if a turn had been cut off
        connection.commit()
        before = connection.execute("SELECT rowid, type, checkpoint FROM checkpoints").fetchall()

    def attempt(table: str, column: str, kind: str, body: bytes) -> None:
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(f"UPDATE {table} SET type = ?, {column} = ?", (kind, body))
            connection.commit()
        try:
            said(store, "a")
        except ThreadQuarantined:
            pass
        except (TypeError, KeyError, AttributeError):
            pass  # sound data of the wrong type, with the right sum: LangGraph stumbles over it
        store.close()

    attempt("checkpoints", "checkpoint", "msgpack", b"x" * 40)
    with _watched() as done:
        for _, kind, data in PAYLOADS[::9]:
            total = hashlib.sha256(kind.encode() + b"\0" + data).digest()[:16]
            attempt("checkpoints", "checkpoint", kind, total + data)
    bad = ("pickle", "system", "antigravity", "runpy", "ctypes", "shutil", "subprocess", "this")
    assert [event for event in done if any(word in event for word in bad)] == []
    with closing(sqlite3.connect(database)) as connection:
        connection.executemany("UPDATE checkpoints SET type = ?2, checkpoint = ?3 WHERE rowid = ?1", before)
        connection.commit()
    for _, kind, data in PAYLOADS[::70]:
        attempt("writes", "value", kind, hashlib.sha256(kind.encode() + b"\0" + data).digest()[:16] + data)
    assert not MARK.exists()


def test_no_warning_and_no_difference_under_langgraphs_strict_setting() -> None:
    """In a process of its own, since LangGraph reads the variable when it is imported."""
    code = (
        "import warnings, logging, sys; warnings.simplefilter('error')\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "logging.basicConfig(level=logging.WARNING, handlers=[type('H', (logging.Handler,), {'emit':"
        " lambda self, record: sys.exit(record.getMessage())})()])\n"
        "import tempfile\n"
        "from talking import said, say\n"
        "from genllava_agent.stores import open_store\n"
        "from genllava_agent.stores.serializer import serializer\n"
        "from langgraph.checkpoint.memory import InMemorySaver\n"
        "saver = InMemorySaver(serde=serializer())\n"
        "assert saver.serde.with_msgpack_allowlist({('os', 'system')}) is saver.serde\n"
        "for store in (open_store(':memory:'), open_store(tempfile.mkdtemp())):\n"
        "    say(store, 'a', 'one', 'two')\n"
        "    store.close()\n"
        "    assert said(store, 'a') == ['one', 'one!', 'two', 'two!']\n"
    )
    path = os.pathsep.join(sys.path)
    for strict in ("true", "false"):
        environment = {**os.environ, "LANGGRAPH_STRICT_MSGPACK": strict, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code, str(Path(__file__).parent)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
