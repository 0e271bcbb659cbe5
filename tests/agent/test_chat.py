"""`genllava chat`: line by line, and in a pseudo-terminal as a person would use it; with the model that ships."""

from __future__ import annotations

import base64
import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from person import REPOSITORY, Terminal, environment
from PIL import Image

from genllava.errors import ImageRejected
from genllava_agent import VisualAgent
from genllava_agent.records import Pending, Question, Request
from genllava_agent.terminal import conversation
from genllava_agent.terminal.chat import COMMANDS, history_file, how_to_continue, talk_to_the_end, typed_path
from genllava_agent.terminal.chat_screen import Screen, printable
from genllava_agent.terminal.conversation import Conversation
from genllava_agent.threads import Thread
from genllava_finetune.worlds.shapes.parser import parse
from genllava_finetune.worlds.shapes.render import render
from genllava_finetune.worlds.shapes.scene import Scene, Thing

if TYPE_CHECKING:
    from genllava import GenLlavaPipeline

DRAW = "draw a large red circle at the top left"


def shown(path: Path) -> set[tuple[str, str, str]]:
    """Size, colour and shape of everything in a picture file."""
    with Image.open(path) as image:
        scene = parse(image).scene
    assert scene is not None, "the picture cannot be read"
    return {(thing.size, thing.color, thing.shape) for thing in scene.things}


RED_CIRCLE = {("large", "red", "circle")}
BLUE_SQUARE = {("large", "blue", "square")}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture file of a small green star, with a name that has spaces."""
    path = tmp_path / "my holiday 'photo'.png"
    render(Scene("white", (Thing(4, "star", "green", "large"),))).save(path)
    return path


# --- line by line ---


@dataclass
class Talk:
    """What came of a conversation."""

    out: str
    err: str
    code: int
    thread: Thread

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Talk]:
    """Holds a conversation: `talk(agent, line, ..., thread=None, live=False)`."""

    def hold(agent: VisualAgent, *lines: str, thread: Thread | None = None, live: bool = False) -> Talk:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        chat = Conversation(agent, thread or agent.thread(), False, Screen(live))
        code = talk_to_the_end(chat)
        out, err = capsys.readouterr()
        return Talk(out, err, code, chat.thread)

    return hold


def test_requests_from_a_pipe_give_plain_lines(agent: VisualAgent, talk: Callable[..., Talk], tmp_path: Path) -> None:
    saves = f"/save {tmp_path}/a picture.png"
    said = talk(agent, f"{DRAW}, then tell me what you see", "", saves, "what colour is the circle?")
    assert said.code == 0, said.err
    picture, text, answer = said.out.splitlines()
    assert re.fullmatch(r"image_1: .*large red circle.* \(seed \d+\)", picture)
    assert "red circle" in text
    assert "red" in answer.lower()
    assert "\x1b" not in said.out + said.err
    assert "a picture.png" in said.err
    assert shown(tmp_path / "a picture.png") == RED_CIRCLE


BAD = {
    "/paint": "/help",
    "/": "/help",
    "/tmp/photo.png": "/image /tmp/photo.png",
    "/image": "path",
    "/image none.png": "none.png",
    "/image https://example.com/a.png": "URL",
    "/image .": "folder",
    '/image "none.png': '"none.png',
    f"/image {'x' * 5000}": "too long",
    "/show": "no picture yet",
    "/show image_9": "image_9",
    "/save": "path",
    "/save a.png": "no picture yet",
    "/undo": "no thread",
    "/undo two": "'two'",
    "/undo -1": "'-1'",
    "/undo 0": "no thread",
    "/undo " + "9" * 5000: "not a number",
    "/redo": "no thread",
    "/retry": "nothing has been asked",
    "/branch": "no thread",
    f"/branch {'x' * 300}": "200 characters",
    f"/thread {'x' * 300}": "200 characters",
    "/resume": "finished",
    "/delete": "name",
    "/delete nobody": "nobody",
    "/help me": "'me'",
    "/quit now": "'now'",
    "x" * 30_000: "30,000 characters",
}


def test_what_cannot_be_done_is_one_line_and_the_program_goes_on(kept: VisualAgent, talk: Callable[..., Talk]) -> None:
    said = talk(kept, *BAD, "/help")
    lines = said.err.splitlines()
    assert len(lines) == len(BAD), said.err
    for (bad, named), line in zip(BAD.items(), lines, strict=True):
        assert line.startswith("error: "), bad
        assert named.lower() in line.lower(), bad
        assert len(line) < 500
    assert all(f"/{command}" in said.out for command in COMMANDS)
    assert said.code == 1, "a script can tell that something was not done"
    assert kept.threads() == []


def test_a_fault_of_ours_is_one_line_too(
    agent: VisualAgent, talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = agent.thread()
    monkeypatch.setattr(Thread, "images", property(lambda self: 1 / 0))
    said = talk(agent, "/images", "/threads", thread=thread)
    (line,) = said.err.splitlines()
    assert line.startswith("error: unexpected: ZeroDivisionError")
    assert "no threads" in said.out


def test_pictures_are_attached_by_any_way_of_typing_a_path(
    agent: VisualAgent, talk: Callable[..., Talk], photo: Path
) -> None:
    backslashes = re.sub(r"([ '])", r"\\\1", str(photo))
    said = talk(
        agent, f"/image {photo}", f'/image "{photo}"', f"/image {backslashes}", "/images", "x" * 30_000,
        "what colour is the star?", "/images", "is there a circle?",
    )  # fmt: skip
    assert said.out.count(f"with your next request: {photo}") == 3
    assert "Still attached" in said.err, "the request failed, its pictures are not lost"
    assert "green" in said.out.lower()
    history = said.thread.history()
    assert [len(turn.request.images) for turn in history] == [3, 0], "attached to one request only"
    assert [record.label for record in history[0].images] == [photo.name] * 3


def test_a_path_is_taken_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert typed_path("a.png") == "a.png"
    assert typed_path("a b.png") == "a b.png"
    assert typed_path("'a b.png'") == "a b.png"
    assert typed_path(r"a\ b.png") == "a b.png"
    assert typed_path("it's.png") == "it's.png"
    assert typed_path("~/a.png") == "/home/someone/a.png"
    odd = tmp_path / "'quoted'.png"
    odd.touch()
    assert typed_path(str(odd)) == str(odd), "a file of that very name comes first"


def test_names_of_files_do_not_steer_the_terminal(
    agent: VisualAgent, talk: Callable[..., Talk], photo: Path, tmp_path: Path
) -> None:
    evil = tmp_path / "a\x1b[2J.png"
    photo.rename(evil)
    said = talk(agent, f"/image {evil}", "/images", "what is this?", "/images", "/history", "/save nonsense\x1b[2J")
    assert "\x1b" not in said.out + said.err
    assert printable("a\x1b[2Jb\nc\ud800") == "a [2Jb\nc "


def test_what_is_attached_is_taken_off(agent: VisualAgent, talk: Callable[..., Talk], photo: Path) -> None:
    thread = agent.thread()
    chat = Conversation(agent, thread, False, Screen(False))
    chat.attached = [str(photo.with_name("gone.png"))]
    with pytest.raises(ImageRejected, match="gone"):
        chat.ask("what do you see?")
    said = talk(agent, f"/image {photo}", "/detach", "/detach", "draw a large red circle", "/images")
    assert [line for line in said.errors if "nothing is attached" in line] == said.errors
    assert len(said.errors) == 1
    assert "Took off 1 picture." in said.err
    assert [turn.request.images for turn in said.thread.history()] == [()]


def test_an_answer_is_to_what_is_shown(
    pipeline: GenLlavaPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = (VisualAgent(pipeline, store=tmp_path, approve="generate", seed=1) for _ in range(2))
    thread = here.thread("t")
    thread(DRAW)
    chat = Conversation(here, thread, False, Screen(False))
    typed: list[Callable[[], str]] = []
    monkeypatch.setattr(conversation, "read_line", lambda prompt, typed_: typed.pop(0)())

    def meanwhile() -> str:
        there.thread("t").discard()
        there.thread("t")("draw a large green star")
        return "y"

    typed += [meanwhile, lambda: "y"]
    chat.enter(here.thread("t"))
    said = capsys.readouterr()
    assert "asks something else by now" in said.err
    assert re.findall(r"You asked: 'draw a large (\w+)", said.out) == ["red", "green"], "each is asked once"
    (turn,) = here.thread("t").history()
    assert "green star" in turn.request.text


def test_what_is_left_out_is_said(pipeline: GenLlavaPipeline, talk: Callable[..., Talk]) -> None:
    with VisualAgent(pipeline, store=":memory:", approve="edit") as agent:
        said = talk(agent, f"{DRAW}, then make it green, then tell me how many shapes there are", "reject no")
    assert "I did not edit: no." in said.out
    assert said.out.count("I left out: 'then tell me how many shapes there are'.") == 1


def test_ways_back(kept: VisualAgent, talk: Callable[..., Talk], tmp_path: Path) -> None:
    said = talk(
        kept,
        DRAW,
        "draw a large blue square at the top left",
        "/undo",
        f"/save {tmp_path}/undone.png",
        "/redo",
        f"/save {tmp_path}/redone.png",
        "/show 1",
        f"/save image_1 {tmp_path}/first.png",
        "/undo 2",
        "/images",
        "/redo 2",
        "/branch another idea",
        "/undo",
        "/thread",
        "/threads",
        "/history",
        thread=kept.thread("main road"),
    )
    assert said.errors == []
    assert shown(tmp_path / "undone.png") == shown(tmp_path / "first.png") == RED_CIRCLE
    assert shown(tmp_path / "redone.png") == BLUE_SQUARE
    assert "/save image_1 PATH" in said.out, "/show where there are no pictures"
    assert "There are no pictures yet." in said.out
    assert "\nanother idea\n* another idea\n  main road\n1. " in said.out
    assert said.out.rstrip().count("2. ") == 0, "the branch has one turn left"
    assert [len(kept.thread(name).history()) for name in ("main road", "another idea")] == [2, 1]
    gone = talk(kept, "/delete main road", "/delete another idea", "/threads", thread=said.thread)
    assert gone.errors == []
    assert gone.out == "There are no threads yet.\n"
    assert gone.thread.name not in ("main road", "another idea"), "goes on with a new one"


def test_retry_takes_another_seed_or_other_words(
    pipeline: GenLlavaPipeline, talk: Callable[..., Talk], tmp_path: Path
) -> None:
    with VisualAgent(pipeline, store=":memory:", seed=5) as agent:
        said = talk(agent, DRAW, "/retry")
        (turn,) = said.thread.history()
        assert (said.errors, turn.seed) == ([], 6)
        talk(agent, "/retry draw a large blue square at the top left", f"/save {tmp_path}/a.png", thread=said.thread)
        assert shown(tmp_path / "a.png") == BLUE_SQUARE
        assert [turn.number for turn in said.thread.history()] == [1]


def test_approval(pipeline: GenLlavaPipeline, talk: Callable[..., Talk], tmp_path: Path) -> None:
    with VisualAgent(pipeline, store=tmp_path / "store", approve="generate") as agent:
        said = talk(
            agent, DRAW, "maybe", "edit", "edit draw a large blue square at the top left", f"/save {tmp_path}/a.png",
            DRAW, "no, not today", "/history",
        )  # fmt: skip
        assert said.out.count("Should I draw a new picture?") == 2
        assert said.errors == ["error: that is not an answer"] * 2
        assert said.out.count("  approve\n  edit OTHER WORDS\n  reject [WHY]\n") == 4, "shown before each is asked for"
        assert shown(tmp_path / "a.png") == BLUE_SQUARE
        assert "I did not draw: not today." in said.out

        waits = talk(agent, DRAW, thread=said.thread)
        assert "stays open" in waits.err
        later = agent.thread(said.thread.name)
        assert later.pending is not None
        answered = talk(agent, "yes", f"/save {tmp_path}/b.png", thread=later)
        assert "waits for an answer" in answered.err
        assert answered.errors == []
        assert shown(tmp_path / "b.png") == RED_CIRCLE


def test_a_question_that_came_up_elsewhere_is_asked(
    pipeline: GenLlavaPipeline, talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    with VisualAgent(pipeline, store=":memory:", approve="generate") as agent:
        thread = agent.thread()
        enter = Conversation.enter

        def entered(chat: Conversation, where: Thread) -> None:
            enter(chat, where)
            where(DRAW)  # somebody else asks on the same thread, meanwhile

        monkeypatch.setattr(Conversation, "enter", entered)
        said = talk(agent, "/resume", "reject", "hello", thread=thread)
        assert said.out.startswith("You asked: 'draw a large red circle at the top left'. Should I draw")
        assert [turn.request.text for turn in thread.history()] == [DRAW, "hello"]
        said = talk(agent, "what do you see?", thread=thread)
        assert "This took the place of what waited for an answer: You asked: 'draw a large" in said.err
        assert (said.errors, thread.unfinished) == ([], None)


def test_a_tool_is_answered_with_whatever_is_typed(
    agent: VisualAgent, talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, given = agent.thread(), []

    def answer(self: Thread, answer: Any, cancel: Any = None) -> Iterator[Any]:
        given.append(answer)
        return iter(())

    monkeypatch.setattr(Thread, "answer_stream", answer)
    monkeypatch.setattr(Thread, "unfinished", property(lambda self: waiting))
    asked = Question(kind="tool", text="How far?", action="tool", instruction="", choices=())
    waiting = Pending(id="a", number=1, request=Request(text="search"), question=asked)
    said = talk(agent, "no, 20 km/h", thread=thread)
    assert given == ["no, 20 km/h"]
    assert said.out == "How far?\n"


def test_clarification(pipeline: GenLlavaPipeline, talk: Callable[..., Talk], tmp_path: Path) -> None:
    with VisualAgent(pipeline, store=":memory:", margin=1.0) as agent:
        said = talk(agent, DRAW, "7", "dance", "generate", f"/save {tmp_path}/a.png", thread=agent.thread())
        assert said.out.count("I am not sure what you mean.") >= 1
        assert said.errors == ["error: that is not an answer"] * 2
        assert said.out.index("I am not sure what you mean.") < said.out.index("  1 generate\n  2 understand\n")
        assert shown(tmp_path / "a.png") == RED_CIRCLE


def test_in_a_terminal_with_pictures_the_very_picture_is_shown(
    agent: VisualAgent, talk: Callable[..., Talk], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TMUX", "STY", "NO_COLOR", "TERM_PROGRAM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-kitty")
    said = talk(agent, f"{DRAW}, then tell me what you see", live=True)
    sent = re.findall(r"\x1b_G(?:a=T[^;]*);((?:[^\x1b]*\x1b\\\x1b_G[^;]*m=[01];)*[^\x1b]*)\x1b\\", said.out)
    assert "▀" in said.out, "small pictures, while it is drawn"
    (picture,) = sent
    data = base64.b64decode(re.sub(r"\x1b\\\x1b_G[^;]*;", "", picture))
    assert Image.open(io.BytesIO(data)).tobytes() == said.thread.images["image_1"].image.tobytes()
    text = re.sub(r"\x1b_[^\x1b]*\x1b\\", "", said.out)
    order = [
        r"generate, probability [01]\.\d\d", "plan: .*red circle", r"\] \d+/\d+", r"image_1: .*\(seed \d+\)",
        r"understand, probability [01]\.\d\d",
    ]  # fmt: skip
    places = [match.start() if (match := re.search(pattern, text)) else -1 for pattern in order]
    assert -1 not in places, text
    assert places == sorted(places)
    reply = said.thread.history()[0].text
    assert text.count(reply) == 1, "what was written as it came is not written again"


def test_where_typed_lines_are_remembered(tmp_path: Path) -> None:
    assert history_file(":memory:") is None
    assert history_file(str(tmp_path)) == tmp_path / "typed"
    assert history_file(None) == history_file("postgresql://somewhere/db")


def test_how_to_continue(agent: VisualAgent, kept: VisualAgent) -> None:
    typed = {"thread": "another", "store": "my folder", "model": "own/model"}
    assert how_to_continue(agent.thread("a"), {"store": ":memory:"}) is None
    assert how_to_continue(kept.thread("a b"), typed) is None, "nothing has been asked on it"
    kept.thread("a b")(DRAW)
    command = how_to_continue(kept.thread("a b"), typed)
    assert command == "genllava chat --thread 'a b' --store 'my folder' --model own/model"


# --- the command ---


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--approve", "singing"], "singing"),
        (["--verify", "17"], "--verify"),
        (["--seed", "-1"], "--seed"),
        (["--image", "none.png"], "none.png"),
        (["--thread", " "], "thread is empty"),
        (["--store", ""], "folder for threads is empty"),
        (["--store", __file__], "not a folder"),
        (["--model", "nope"], "nope"),
        (["--device", "abacus"], "abacus"),
        (["--thread", "x" * 300, "--store", ":memory:"], "200 characters"),
    ],
)
def test_bad_options_are_one_line_before_the_model_is_loaded(args: list[str], named: str) -> None:
    code = """
import sys
from genllava_agent.cli import main
try:
    main()
finally:
    print(*{"torch", "transformers", "diffusers"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "chat", *args],
        capture_output=True, text=True, check=False, timeout=120, env=environment(), input="",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "\n"), done.stderr
    (line,) = done.stderr.splitlines()
    assert named in line


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens a terminal whose threads are in `tmp_path / "store"`."""
    opened: list[Terminal] = []

    def start(*args: str, **more: str) -> Terminal:
        opened.append(Terminal("--store", str(tmp_path / "store"), *args, **more))
        return opened[-1]

    yield start
    for one in opened:
        one.process.close(force=True)


def plain(text: str) -> str:
    """`text` without what steers the terminal."""
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\x1b[78]|\r", "", text)


@pytest.mark.slow
def test_a_conversation_in_a_terminal(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    person = terminal("--seed", "1", "--approve", "edit", "--thread", "first", COLORTERM="truecolor")
    assert "Thread first, new." in plain(person.prompt())

    drawn = person.type(f"{DRAW}, then tell me what you see")
    assert "▀" in drawn
    assert "\x1b[38;2;" in drawn, "in 24-bit colours"
    drawn = plain(drawn)
    assert re.search(r"generate, probability [01]\.\d\d", drawn)
    assert re.search(r"drawing \[=+ *\] \d+/\d+", drawn)
    assert re.search(r"image_1: .*large red circle.*\(seed 1\)", drawn)

    person.process.sendline("draw a small green star, then draw a large yellow cross")
    person.see("planning")
    person.process.sendintr()
    cancelled = person.prompt()
    assert "Cancelled" in cancelled
    assert "^C" not in cancelled, "it would be in the middle of what is drawn in place"
    assert "green star" not in person.type("/history"), "what is cancelled leaves no trace"

    person.type("draw a large blue square at the top left")
    assert "image_2" in person.type("/images")
    assert "'draw a large red circle" in person.type("/undo")
    person.type(f"/save {tmp_path}/red.png")
    person.type("/redo")
    person.type(f"/save {tmp_path}/blue.png")
    assert (shown(tmp_path / "red.png"), shown(tmp_path / "blue.png")) == (RED_CIRCLE, BLUE_SQUARE)

    assert "Now on thread second; first stays" in person.type("/branch second")
    hint = "answer> "
    asked = plain(person.type("make it green", ends_with=hint))
    assert re.search(r"Should I edit a picture.*\n  approve\n  edit OTHER WORDS\n  reject \[WHY\]$", asked, re.S)
    assert "that is not an answer" in person.type("perhaps", ends_with=hint)
    person.type("yes")
    person.type(f"/save {tmp_path}/green.png")
    assert shown(tmp_path / "green.png") == {("large", "green", "square")}
    person.type("make it small", ends_with=hint)
    person.interrupt("Given up")
    person.prompt()
    assert "green" in person.type("what colour is the square?").lower()

    assert f"{tmp_path}/trace.html" in person.type(f"/trace {tmp_path}/trace.html")
    assert "green" in (tmp_path / "trace.html").read_text()
    assert "error: there is no command /paint: /help lists them" in person.type("/paint")
    assert "error: cannot read none.png" in person.type("/image none.png")
    person.process.send("half a requ")
    person.see("half a requ")
    person.interrupt("Ctrl-C again, or Ctrl-D, leaves")
    person.prompt()
    last = plain(person.leave())
    assert f"genllava chat --thread second --store {tmp_path}/store" in last
    assert "half a requ" not in last

    with VisualAgent("unused", store=tmp_path / "store") as agent:
        assert {name: len(agent.thread(name).history()) for name in agent.threads()} == {"first": 2, "second": 4}
        assert agent.thread("second").unfinished is None
    assert "make it green" in (tmp_path / "store" / "typed").read_text()


def test_a_trace_is_written(kept: VisualAgent, talk: Callable[..., Talk], tmp_path: Path) -> None:
    said = talk(kept, DRAW, f"/trace {tmp_path}/last turn.html")
    assert said.errors == []
    assert f"{tmp_path}/last turn.html" in said.err
    page = (tmp_path / "last turn.html").read_text()
    assert "large red circle at the top left" in page
    assert "data:image/png;base64," in page


@pytest.mark.slow
def test_a_conversation_goes_on_in_another_run(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    person = terminal("--seed", "1", "--thread", "long")
    person.prompt()
    person.process.sendline(DRAW)
    person.see("planning")
    person.process.kill(signal.SIGKILL)
    person.process.wait()

    person = terminal("--thread", "long", "--approve", "generate", TERM="xterm-kitty")
    assert "was cut off: 'draw a large red circle at the top left'. /resume goes on with it" in plain(person.prompt())
    resumed = person.type("/resume")
    assert "\x1b_Ga=T" in resumed
    person.type(f"/save {tmp_path}/red.png")
    assert shown(tmp_path / "red.png") == RED_CIRCLE
    hint = "answer> "
    person.type("draw a large blue square at the top left", ends_with=hint)
    assert "stays open" in plain(person.leave())

    person = terminal("--thread", "long", "--no-pictures")
    assert "Should I draw" in plain(person.prompt(hint))
    drawn = person.type("approve")
    assert not {"▀", "\x1b_G"} & set(re.findall("▀|\x1b_G", drawn))
    person.process.send("\x1b[A")
    person.see("approve")
    person.process.send("\x1b[A")
    person.see("draw a large blue square")
    import pexpect

    person.interrupt("Ctrl-C again, or Ctrl-D, leaves")
    person.prompt()
    person.interrupt(pexpect.EOF)
    person.process.wait()
    assert person.process.exitstatus == 0, "a second Ctrl-C leaves"
    with VisualAgent("unused", store=tmp_path / "store") as agent:
        assert len(agent.thread("long").history()) == 2


@pytest.mark.slow
def test_ctrl_c_ends_a_script() -> None:
    command = [sys.executable, "-m", "genllava_agent.cli", "chat", "--store", ":memory:"]
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, env=environment(), cwd=REPOSITORY) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{DRAW}\n")
        process.stdin.flush()
        assert "image_1" in process.stdout.readline()
        process.stdin.write("draw a large blue square, then draw a large green star, then draw a small red cross\n")
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted"
    assert "image_4" not in out
