"""The commands of a chat: lines that begin with a slash."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from genllava.errors import InvalidRequest
from genllava_agent.errors import NothingPending, UnknownImage
from genllava_agent.terminal.chat_screen import Screen, described

if TYPE_CHECKING:
    from genllava_agent.agent import VisualAgent
    from genllava_agent.events import Event
    from genllava_agent.pictures import ThreadImage
    from genllava_agent.threads import Thread

Begin = Callable[[Callable[[], bool]], "Iterator[Event]"]
"""Starts a turn; is given what says whether it is no longer wanted."""


class Chat(Protocol):
    """The conversation in which a command is typed."""

    agent: VisualAgent
    thread: Thread
    screen: Screen
    attached: list[str]
    """Files of pictures that go with the next request."""
    running: bool
    """Whether another line is read."""

    def enter(self, thread: Thread) -> None:
        """Go on with another thread."""

    def retry(self, text: str | None) -> None:
        """Ask the last request again, or other words in its place."""

    def turn(self, begin: Begin) -> bool:
        """Run a turn; returns whether it was finished."""


class Command(NamedTuple):
    """What follows its name when it is typed, what it does in words, and what does it with what follows."""

    usage: str
    help: str
    run: Callable[[Chat, str], None]


COMMANDS: Final[dict[str, Command]] = {}
"""By the name that is typed, in the order in which they are listed."""


def run(chat: Chat, line: str) -> None:
    """Do what a line that begins with a slash says.

    Raises:
        InvalidRequest: there is no such command, or it cannot be done like that.
    """
    name, _, rest = line[1:].partition(" ")
    command = COMMANDS.get(name.lower())
    if command is None:
        hint = f"; to show the model that picture: /image {line}" if "/" in name or Path(line).is_file() else ""
        raise InvalidRequest(f"there is no command /{name}: /help lists them{hint}")
    if not command.usage and rest.strip():
        raise InvalidRequest(f"/{name} takes nothing after it: {rest.strip()!r}")
    command.run(chat, rest.strip())


def typed_path(text: str) -> str:
    """A path as people type or drop it: plain, quoted, or with backslashes; spaces need neither.

    Raises:
        InvalidRequest: nothing was typed.
    """
    if not text:
        raise InvalidRequest("which file? Give its path")
    try:
        words = [text] if Path(text).exists() else shlex.split(text)
    except (ValueError, OSError):  # a quotation mark that is part of the name; or a name that no file can have
        words = []
    return os.path.expanduser(words[0] if len(words) == 1 else text)  # and not pathlib: `//` of a URL must stay


def _command(usage: str, says: str) -> Callable[[Callable[[Chat, str], None]], Callable[[Chat, str], None]]:
    """Makes a command of a function, whose name it bears: what follows it when it is typed, and what it does."""

    def add(function: Callable[[Chat, str], None]) -> Callable[[Chat, str], None]:
        COMMANDS[function.__name__[1:]] = Command(usage, says, function)
        return function

    return add


# --- pictures ---


@_command("PATH", "show the model a picture with your next request")
def _image(chat: Chat, rest: str) -> None:
    from genllava.images import picture_notes
    from genllava_agent.inputs import read_picture

    path = typed_path(rest)
    picture = read_picture(path, from_stdin=False)
    chat.attached.append(str(Path(path).absolute()))
    chat.screen.picture(picture)
    chat.screen.note(f"Attached to your next request: {Path(path).name}, {picture.width}x{picture.height}.")
    for note in picture_notes(picture):
        chat.screen.note(f"Note: {note}")


@_command("", "take off what is attached to your next request")
def _detach(chat: Chat, rest: str) -> None:
    if not chat.attached:
        raise InvalidRequest("nothing is attached to your next request")
    chat.screen.note(f"Took off {_count(len(chat.attached), 'picture')}.")
    chat.attached = []


@_command("", "list the pictures of this thread")
def _images(chat: Chat, rest: str) -> None:
    lines = [described(picture.record) for picture in chat.thread.images.values()]
    lines += [f"with your next request: {path}" for path in chat.attached]
    chat.screen.say("\n".join(lines) or "There are no pictures yet.")


@_command("[NAME]", "show a picture again, the last one if none is named")
def _show(chat: Chat, rest: str) -> None:
    picture = _picture(chat, rest)
    shown = chat.screen.picture(picture.image)
    chat.screen.say(described(picture.record) + ("" if shown else f"; /save {picture.id} PATH writes it to a file"))


@_command("[NAME] PATH", "write a picture to a .png, .jpg or .webp file")
def _save(chat: Chat, rest: str) -> None:
    first, _, path = rest.partition(" ")
    if not (path.strip() and first.removeprefix("image_").isdecimal()):
        first, path = "", rest
    target = typed_path(path.strip())
    picture = _picture(chat, first)
    picture.save(target)
    chat.screen.note(f"{picture.id} is saved as {target}.")


def _picture(chat: Chat, name: str) -> ThreadImage:
    """A picture by `image_2` or `2`; the last one if nothing is named."""
    pictures = chat.thread.images
    if not name and not pictures:
        raise UnknownImage("this thread has no picture yet: ask for one")
    return pictures[f"image_{name}" if name.isdecimal() else name or list(pictures)[-1]]


# --- ways back ---


@_command("[N]", "take back the last turn, or the last N")
def _undo(chat: Chat, rest: str) -> None:
    chat.thread.undo(_number(rest))
    _say_where(chat, f"Took back {_count(_number(rest), 'turn')}")


@_command("[N]", "bring back what was taken back")
def _redo(chat: Chat, rest: str) -> None:
    chat.thread.redo(_number(rest))
    _say_where(chat, f"Brought back {_count(_number(rest), 'turn')}")


@_command("[OTHER WORDS]", "ask the last request again, with another seed")
def _retry(chat: Chat, rest: str) -> None:
    chat.retry(rest or None)


@_command("[NAME]", "go on from here on a thread of its own")
def _branch(chat: Chat, rest: str) -> None:
    old = chat.thread.name
    chat.thread = chat.thread.branch(rest or None)
    chat.screen.note(f"Now on thread {chat.thread.name}; {old} stays as it is.")


@_command("", "run a turn again that was cut off")
def _resume(chat: Chat, rest: str) -> None:
    if chat.thread.unfinished is None:
        raise NothingPending("every turn of this thread is finished")
    chat.turn(chat.thread.resume_stream)


def _say_where(chat: Chat, done: str) -> None:
    history = chat.thread.history()
    now = f"the last one is now {history[-1].number}, {history[-1].request.text!r}" if history else "none is left"
    chat.screen.note(f"{done}; {now}.")


# --- threads ---


@_command("[NAME]", "go on with another thread, or say which one this is")
def _thread(chat: Chat, rest: str) -> None:
    if rest:
        chat.enter(chat.agent.thread(rest))
    else:
        chat.screen.say(chat.thread.name)


@_command("", "list all threads")
def _threads(chat: Chat, rest: str) -> None:
    lines = [("* " if name == chat.thread.name else "  ") + name for name in chat.agent.threads()]
    chat.screen.say("\n".join(lines) or "There are no threads yet.")


@_command("NAME", "forget a thread and its pictures")
def _delete(chat: Chat, rest: str) -> None:
    if not rest:
        raise InvalidRequest("which thread? Give its name: it is gone for good")
    chat.agent.thread(rest, must_exist=True).delete()
    chat.screen.note(f"Thread {rest} is deleted.")
    if rest == chat.thread.name:
        chat.enter(chat.agent.thread())


@_command("", "list the turns of this thread")
def _history(chat: Chat, rest: str) -> None:
    lines = []
    for turn in chat.thread.history():
        pictures = [f"   {described(record)}" for record in turn.images]
        lines += [f"{turn.number}. {turn.request.text}", *pictures, f"   {turn.text}"]
    chat.screen.say("\n".join(lines) or "Nothing has been asked yet.")


@_command("[PATH]", "write a page about the last turn: its choices, pictures and times")
def _trace(chat: Chat, rest: str) -> None:
    written = chat.thread.trace(typed_path(rest or "genllava-trace.html"))
    chat.screen.note(f"The last turn is written down in {written}.")


# --- the program ---


@_command("", "list the commands")
def _help(chat: Chat, rest: str) -> None:
    lines = [f"{f'/{name} {command.usage}':20}  {command.help}" for name, command in COMMANDS.items()]
    chat.screen.say("\n".join([*lines, "Whatever else you type is a request; Ctrl-C cancels the one that is running."]))


@_command("", "leave; so does Ctrl-D")
def _quit(chat: Chat, rest: str) -> None:
    chat.running = False


def _number(text: str) -> int:
    """How many turns; one if nothing was typed."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10) and text:
        raise InvalidRequest(f"how many turns? {text!r} is not a number")
    return int(text or 1)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
