"""Pictures that were drawn from a prompt, as rows: the user says what to draw, and the assistant draws it."""

from __future__ import annotations

from genllava_finetune.data.rows import Row, read_row


def drawing_row(prompt: str, picture: bytes, *, source: str, license: str, name: str) -> Row:
    """A row in which the user's words are the prompt of the picture.

    Args:
        prompt: what the picture shows.
        picture: the bytes of its file.
        source: name of the data set.
        license: its licence.
        name: of the record in it.

    Raises:
        RowError: the prompt is empty.
    """
    messages = [
        {"role": "user", "content": [{"type": "text", "text": prompt}]},
        {"role": "assistant", "content": [{"type": "draw", "prompt": prompt}]},
    ]
    row = {"images": [picture], "messages": messages, "source": source, "license": license, "id": f"{source}:{name}"}
    return read_row(row)
