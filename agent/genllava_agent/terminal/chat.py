"""`genllava chat`: a conversation in a terminal, or line by line from a pipe, with commands that begin with a slash.

Ctrl-C ends the turn that is running, and not the program; whatever goes wrong is one line, and the next may be typed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genllava.errors import InvalidRequest
from genllava_agent.errors import NothingPending, UnknownImage
from genllava_agent.files import read_picture
from genllava_agent.pages.markup import counted
from genllava_agent.stores import MEMORY
from genllava_agent.terminal.chat_screen import Screen, described
from genllava_agent.terminal.conversation import Conversation, read_line

if TYPE_CHECKING:
    from genllava_agent.pictures import ThreadImage
    from genllava_agent.threads import Thread

COMMANDS: Final = {
    "image": ("PATH", "show the model a picture with your next request"),
    "detach": ("", "take off what is attached to your next request"),
    "images": ("", "list the pictures of this thread"),
    "show": ("[NAME]", "show a picture again, the last one if none is named"),
    "save": ("[NAME] PATH", "write a picture to a .png, .jpg or .webp file"),
    "undo": ("[N]", "take back the last turn, or the last N"),
    "redo": ("[N]", "bring back what was taken back"),
    "retry": ("[OTHER WORDS]", "ask the last request again, with another seed"),
    "branch": ("[NAME]", "go on from here on a thread of its own"),
    "resume": ("", "go on with a turn that was cut off"),
    "thread": ("[NAME]", "go on with another thread, or say which one this is"),
    "threads": ("", "list all threads"),
    "delete": ("NAME", "forget a thread and its pictures"),
    "history": ("", "list the turns of this thread"),
    "trace": ("[PATH]", "write a page about the last turn: its choices, pictures and times"),
    "help": ("", "list the commands"),
    "quit": ("", "leave; so does Ctrl-D"),
}
"""What follows the name of each when it is typed, and what it does."""


def converse(
    typed: dict[str, str], choice: dict[str, Any], images: list[str], shows_pictures: bool, settings: dict[str, Any]
) -> int:
    """Load the model, talk, and say how to go on; returns the exit code.

    Args:
        typed: the options that were typed about the thread, the store and the model, by name.
        choice: of the model, for `load_pipeline`.
        images: files of pictures for the first request.
        settings: of all turns.
    """
    from genllava_agent.agent import VisualAgent
    from genllava_agent.loading import load_pipeline
    from genllava_agent.reporting import progress
    from genllava_agent.stores import open_store

    name, store = typed.get("thread"), typed.get("store")
    with progress() as show:
        show("opening the store")
        opened = open_store(store)
        opened.exists(name or "new")  # before the wait for the model: refuses names of no thread, finds the store
        show("loading the model")
        pipeline = load_pipeline(**choice)
    by_hand = sys.stdin.isatty()
    live = by_hand and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    with VisualAgent(pipeline, store=opened, **settings) as agent:
        chat = Conversation(agent, agent.thread(name), by_hand, Screen(live, shows_pictures))
        chat.attached = [str(Path(path).absolute()) for path in images]
        if by_hand:
            _remember(history_file(store))
        code = talk_to_the_end(chat)
        if again := how_to_continue(chat.thread, typed):
            chat.screen.note(f"To go on with this conversation: {again}")
    return code


def talk_to_the_end(chat: Conversation) -> int:
    """Talk until the user leaves; returns the exit code: 1 where a line of a file or a pipe could not be done."""
    if chat.screen.live:
        chat.screen.note("Ask, or say what to draw; /help lists commands, Ctrl-D leaves.")
    chat.guarded(chat.enter, chat.thread)
    pressed = 0
    while chat.running and pressed < 2:
        try:
            line = read_line("> ", chat.typed).strip()
        except EOFError:
            if chat.typed:
                chat.screen.note("")
            break
        except KeyboardInterrupt:
            if not chat.typed:
                raise
            pressed += 1
            chat.screen.note("\nCtrl-C again, or Ctrl-D, leaves" if pressed == 1 else "")
            continue
        pressed = 0
        if line.startswith("/"):
            chat.guarded(run_command, chat, line)
        elif line:
            chat.guarded(chat.ask, line)
    return 1 if chat.failed and not chat.typed else 0


def how_to_continue(thread: Thread, typed: dict[str, str]) -> str | None:
    """The command that goes on with a thread, with the options that were typed; None if there is nothing to go on
    with."""
    if typed.get("store") == MEMORY or thread.name not in thread.agent.threads():
        return None
    given = {"thread": ""} | typed | {"thread": thread.name}
    return shlex.join(["genllava", "chat", *(word for name, value in given.items() for word in (f"--{name}", value))])


def history_file(store: str | None) -> Path | None:
    """Where typed lines are remembered for threads in `store`: beside them; nowhere if they are not kept either."""
    if store == MEMORY:
        return None
    if store is not None and not store.startswith(("postgresql://", "postgres://")):
        return Path(store).expanduser() / "typed"
    from platformdirs import user_data_path

    return user_data_path("genllava", appauthor=False) / "typed"


def _remember(file: Path | None) -> None:
    """Let typed lines be edited; bring back those of earlier runs from `file`, and keep those of this one there."""
    try:
        import readline  # which `input` uses once it is there
    except ImportError:  # the system has no line editor
        return
    if file is None:
        return
    with contextlib.suppress(OSError, ValueError):  # there is none yet, or it is not readable
        readline.read_history_file(file)
    readline.set_history_length(1000)

    @atexit.register
    def keep() -> None:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(file)


# --- commands ---


def run_command(chat: Conversation, line: str) -> None:
    """Do what a line that begins with a slash says."""
    name, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    if name.lower() not in COMMANDS:
        hint = f"; to show the model that picture: /image {line}" if "/" in name or Path(line).is_file() else ""
        raise InvalidRequest(f"there is no command /{name}: /help lists them{hint}")
    if rest and not COMMANDS[name.lower()][0]:
        raise InvalidRequest(f"/{name} takes nothing after it: {rest!r}")
    from genllava.images import picture_notes

    thread, say, note = chat.thread, chat.screen.say, chat.screen.note
    match name.lower():
        case "image":
            path = typed_path(rest)
            image = read_picture(path, from_stdin=False)
            chat.attached.append(str(Path(path).absolute()))
            chat.screen.picture(image)
            note(f"Attached to your next request: {Path(path).name}, {image.width}x{image.height}.")
            for each in picture_notes(image):
                note(f"Note: {each}")
        case "detach":
            if not chat.attached:
                raise InvalidRequest("nothing is attached to your next request")
            note(f"Took off {counted(len(chat.attached), 'picture')}.")
            chat.attached = []
        case "images":
            lines = [described(picture.record) for picture in thread.images.values()]
            lines += [f"with your next request: {path}" for path in chat.attached]
            say("\n".join(lines) or "There are no pictures yet.")
        case "show":
            picture = _picture(chat, rest)
            shown = chat.screen.picture(picture.image)
            say(described(picture.record) + ("" if shown else f"; /save {picture.id} PATH writes it to a file"))
        case "save":
            first, _, path = rest.partition(" ")
            if not (path.strip() and first.removeprefix("image_").isdecimal()):
                first, path = "", rest
            target = typed_path(path.strip())
            picture = _picture(chat, first)
            picture.save(target)
            note(f"{picture.id} is saved as {target}.")
        case "undo" | "redo" as way:
            if rest and not (rest.isascii() and rest.isdecimal() and len(rest) < 10):
                raise InvalidRequest(f"how many turns? {rest!r} is not a number")
            turns = int(rest or 1)
            (thread.undo if way == "undo" else thread.redo)(turns)
            history = thread.history()
            now = (
                f"the last one is now {history[-1].number}, {history[-1].request.text!r}" if history else "none is left"
            )
            note(f"{'Took' if way == 'undo' else 'Brought'} back {counted(turns, 'turn')}; {now}.")
        case "retry":
            options = dict(chat.screen.options)
            history = thread.history()
            if history and chat.agent.settings.seed is not None:  # which would give the same picture again
                options["seed"] = (history[-1].seed + 1) % 2**63
            chat.turn(lambda cancel: thread.retry_stream(rest or None, cancel=cancel, **options))
        case "branch":
            chat.thread = thread.branch(rest or None)
            note(f"Now on thread {chat.thread.name}; {thread.name} stays as it is.")
        case "resume":
            unfinished = thread.unfinished
            if unfinished is None:
                raise NothingPending("every turn of this thread is finished")
            if unfinished.question is None:
                chat.turn(thread.resume_stream)
            else:
                chat.settle(unfinished.question)
        case "thread" if rest:
            chat.enter(chat.agent.thread(rest))
        case "thread":
            say(thread.name)
        case "threads":
            lines = [("* " if each == thread.name else "  ") + each for each in chat.agent.threads()]
            say("\n".join(lines) or "There are no threads yet.")
        case "delete":
            if not rest:
                raise InvalidRequest("which thread? Give its name: it is gone for good")
            chat.agent.thread(rest, must_exist=True).delete()
            note(f"Thread {rest} is deleted.")
            if rest == thread.name:
                chat.enter(chat.agent.thread())
        case "history":
            lines = []
            for turn in thread.history():
                pictures = [f"   {described(record)}" for record in turn.images]
                lines += [f"{turn.number}. {turn.request.text}", *pictures, f"   {turn.text}"]
            say("\n".join(lines) or "Nothing has been asked yet.")
        case "trace":
            written = thread.trace(typed_path(rest or "genllava-trace.html"))
            note(f"The last turn is written down in {written}.")
        case "help":
            lines = [f"{f'/{each} {usage}':20}  {says}" for each, (usage, says) in COMMANDS.items()]
            lines.append("Whatever else you type is a request; Ctrl-C cancels the one that is running.")
            say("\n".join(lines))
        case "quit":
            chat.running = False


def typed_path(text: str) -> str:
    """A path as people type or drop it: plain, quoted, or with backslashes; spaces need neither."""
    if not text:
        raise InvalidRequest("which file? Give its path")
    try:
        words = [text] if Path(text).exists() else shlex.split(text)
    except (ValueError, OSError):  # a quotation mark that is part of the name; or a name that no file can have
        words = []
    return os.path.expanduser(words[0] if len(words) == 1 else text)  # and not pathlib: `//` of a URL must stay


def _picture(chat: Conversation, name: str) -> ThreadImage:
    """A picture by `image_2` or `2`; the last one if nothing is named."""
    pictures = chat.thread.images
    if not name and not pictures:
        raise UnknownImage("this thread has no picture yet: ask for one")
    return pictures[f"image_{name}" if name.isdecimal() else name or list(pictures)[-1]]
