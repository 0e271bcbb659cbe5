"""Records of JSON files of any size, one at a time: lists, lines, and the members of one object.

A record that is broken is given as `Rejected`, and those after it are read as far as its end can be found. Origins
have the number of the record in a list or an object, and the number of the line in a file of lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from genllava_finetune.data.errors import DataError
from genllava_finetune.data.records import Origin, Rejected

LONGEST_RECORD = 64 * 1024 * 1024  # a file that never closes a bracket must not be read into memory whole
DEEPEST_RECORD = 100  # brackets within brackets: more than data has, and few enough for whatever recurses
_CHUNK = 1 << 18
_TOO_DEEP = "the JSON is nested too deeply"
_BREAKS_OFF = "nothing is read from here on"
_NUMBER = 400  # characters that a number is not longer than
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_STRUCTURE = re.compile(r'\\.|["\[\]{}]', re.DOTALL)


def json_values(path: Path, key: str | None = None) -> Iterator[tuple[Origin, Any]]:
    """The values of a JSON list or of JSON lines, whichever the file holds; `Rejected` in place of a broken one.

    Args:
        path: the file, in UTF-8, with or without a byte order mark. Its name does not say which of the two it is.
        key: where the file is one object, the list at this key of it.

    Raises:
        DataError: the file cannot be read, or is no object with a list at `key`.
    """
    if key is None and not _begins_with(path, "["):
        yield from _lines(path)
        return
    with _open_text(path) as file:
        reader = _Reader(file)
        if key is not None:
            try:
                reader.find_list(key)
            except _BreaksOff as error:
                raise DataError(f"{path}: there is no list {key!r} in it: {error}") from None
        try:
            reader.take("[")
            while reader.peek() != "]":
                yield Origin(str(path), reader.count + 1), reader.value()
                reader.end_value("]")
            reader.take("]")
            if key is None:
                reader.end()
        except _BreaksOff as error:
            yield Origin(str(path), reader.count + 1), Rejected(f"{_BREAKS_OFF}: {error}")


def json_objects(path: Path, key: str | None = None) -> Iterator[tuple[Origin, dict[str, Any] | Rejected]]:
    """As `json_values`, where each value is to be a JSON object, and any other is `Rejected`."""
    for origin, value in json_values(path, key):
        yield origin, value if isinstance(value, dict | Rejected) else Rejected("the record is no JSON object")


def json_members(path: Path) -> Iterator[tuple[Origin, str, Any]]:
    """Origin, key and value of each member of the one object that the file holds; `Rejected` for a broken value.

    Raises:
        DataError: the file cannot be read, or holds no object.
    """
    if not _begins_with(path, "{"):
        raise DataError(f"{path} holds no JSON object")
    with _open_text(path) as file:
        reader = _Reader(file)
        try:
            reader.take("{")
            while reader.peek() != "}":
                key = reader.key()
                yield Origin(str(path), reader.count + 1), key, reader.value()
                reader.end_value("}")
            reader.take("}")
            reader.end()
        except _BreaksOff as error:
            yield Origin(str(path), reader.count + 1), "", Rejected(f"{_BREAKS_OFF}: {error}")


def _open_text(path: Path) -> TextIO:
    # bytes that are no UTF-8 become lone surrogates, by which the record that has them is known
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _begins_with(path: Path, character: str) -> bool:
    with _open_text(path) as file:
        return file.read(_CHUNK).lstrip()[:1] == character


def _lines(path: Path) -> Iterator[tuple[Origin, Any]]:
    """Values of a file with one on each line. Only a line feed ends a line: U+2028 is a character like any other."""
    number = 0
    with path.open("rb") as file:
        while line := file.readline(LONGEST_RECORD):
            number += 1
            origin = Origin(str(path), number)
            if len(line) == LONGEST_RECORD and not line.endswith(b"\n"):
                _finish_line(file)
                yield origin, Rejected(f"the line is longer than {LONGEST_RECORD} bytes")
                continue
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.strip():
                yield origin, _line_value(line)


def _finish_line(file: BinaryIO) -> None:
    while (rest := file.readline(LONGEST_RECORD)) and not rest.endswith(b"\n"):
        pass


def _line_value(line: bytes) -> Any:
    try:
        text = line.decode()
        return Rejected(_TOO_DEEP) if _is_deep(text) else json.loads(text)
    except UnicodeDecodeError:
        return Rejected("the line is not in UTF-8")
    except ValueError as error:  # JSONDecodeError, and integers with thousands of digits
        return Rejected(f"the line is no whole JSON value: {error}")


class _BreaksOff(Exception):
    """The text is no JSON from here on, or ends too early."""


class _Reader:
    """Reads the values of a JSON text one after another, and holds no more of it than one value.

    Attributes:
        count: members that were read so far of the list or object.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._buffer, self._position, self._line = "", 0, 1
        self.count = 0

    def peek(self) -> str:
        """The next character that is no space.

        Raises:
            _BreaksOff: there is none.
        """
        while True:
            space = _SPACE.match(self._buffer, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._buffer):
                return self._buffer[self._position]
            if not self._more():
                raise _BreaksOff(f"the file ends too early, in its line {self._line_now()}")

    def take(self, expected: str) -> None:
        """Goes past a character."""
        if self.peek() != expected:
            raise _BreaksOff(f"line {self._line_now()} of the file has {self.peek()!r} where {expected!r} is due")
        self._position += 1

    def key(self) -> str:
        """Reads a key of an object and its colon."""
        key = self.value() if self.peek() == '"' else None
        if not isinstance(key, str):
            raise _BreaksOff(f"line {self._line_now()} of the file has no key where one is due")
        self.take(":")
        return key

    def end_value(self, close: str) -> None:
        """Goes past the comma after a value, if there is one, or stays before the bracket that ends the list."""
        self.count += 1
        if self.peek() != close:
            self.take(",")

    def end(self) -> None:
        """Sees that the text ends here."""
        try:
            more = self.peek()
        except _BreaksOff:
            return
        raise _BreaksOff(f"line {self._line_now()} of the file goes on with {more!r} after what it holds")

    def find_list(self, key: str) -> None:
        """Goes to the list at a key of the object."""
        self.take("{")
        while self.peek() != "}":
            found = self.key()
            if found == key and self.peek() == "[":
                self.count = 0
                return
            self._skip()
            self.end_value("}")
        raise _BreaksOff("it has no such key")

    def value(self) -> Any:
        """Reads a value; `Rejected` where it is broken, but its end is plain.

        Raises:
            _BreaksOff: its end is not to be found.
        """
        self.peek()
        while True:
            try:
                value, end = json.JSONDecoder().raw_decode(self._buffer, self._position)
            except RecursionError:
                return self._reject(f"{_TOO_DEEP}: it begins")
            except json.JSONDecodeError as error:
                within = len(self._buffer) - self._position
                if within > LONGEST_RECORD:
                    return self._reject(f"the record is longer than {LONGEST_RECORD} characters: it begins")
                here = error.pos + _NUMBER < len(self._buffer) and not error.msg.startswith("Unterminated")
                if here or not self._more(within):  # an error at the end may be for want of what follows
                    return self._reject(f"the record is no JSON: {error.msg}")
            except ValueError as error:  # integers with thousands of digits
                return self._reject(f"the record is no JSON: {error}")
            else:
                if end + _NUMBER > len(self._buffer) and self._more():  # a number may go on
                    continue
                text, self._position = self._buffer[self._position : end], end
                if _is_deep(text):
                    return Rejected(_TOO_DEEP)
                return value if _is_unicode(text) else Rejected("the record is not in UTF-8")

    def _reject(self, reason: str) -> Rejected:
        line = self._line_now()
        self._skip()
        return Rejected(f"{reason} in line {line} of the file")

    def _skip(self) -> None:
        """Goes past a value by its brackets and quotes alone, whatever else is in it."""
        if self.peek() not in '"[{':
            while self.peek() not in ",]}":
                self._position += 1
            return
        depth, quoted, line = 0, False, self._line_now()
        while True:
            found = _STRUCTURE.search(self._buffer, self._position)
            if found is None:
                self._position = max(self._position, len(self._buffer) - 1)  # a backslash may be the last
                if self._buffer[self._position :] != "\\":
                    self._position = len(self._buffer)
                if not self._more():
                    raise _BreaksOff(f"the file ends in a value that begins in its line {line}")
                continue
            self._position = found.end()
            mark = found.group()
            if mark == '"':
                quoted = not quoted
            elif not quoted and len(mark) == 1:
                depth += 1 if mark in "[{" else -1
            if depth == 0 and not quoted:
                return

    def _more(self, at_least: int = 0) -> bool:
        """Reads on, and drops what is behind; whether there was more.

        Args:
            at_least: characters to read: as many as are held, so that a long value is decoded a few times only.
        """
        more = self._file.read(max(_CHUNK, at_least))
        if not more:
            return False
        self._line += self._buffer.count("\n", 0, self._position)
        self._buffer, self._position = self._buffer[self._position :] + more, 0
        return True

    def _line_now(self) -> int:
        return self._line + self._buffer.count("\n", 0, self._position)


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEEPEST_RECORD:
        return False
    depth, quoted = 0, False
    for found in _STRUCTURE.finditer(text):
        mark = found.group()
        if mark == '"':
            quoted = not quoted
        elif not quoted and len(mark) == 1:
            depth += 1 if mark in "[{" else -1
            if depth > DEEPEST_RECORD:
                return True
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
