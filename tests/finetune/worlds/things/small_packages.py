"""Packages like the public ones, with drawings of three things: enough to go through the whole preparation."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genllava_finetune.worlds.things.art import preparing
from genllava_finetune.worlds.things.art.archives import Package
from genllava_finetune.worlds.things.art.drawings import draw_all
from genllava_finetune.worlds.things.knowledge.things import STYLES, thing, things

SIDE = 8
THINGS = tuple(thing(name) for name in ("cat", "car", "apple"))
VERSION = "1.0.0"


def _contents() -> dict[str, dict[str, bytes]]:
    picture = io.BytesIO()
    Image.new("RGBA", (16, 16), (200, 40, 40, 255)).save(picture, "WEBP", lossless=True)
    codes = {each.hexcode.lower(): each.file for each in THINGS}
    body = '<rect x="1" y="1" width="6" height="6" fill="#3060ff"/>'
    icons = {"width": 8, "height": 8, "icons": {each.file: {"body": body} for each in THINGS}, "aliases": {}}
    drawn = {"icons.json": json.dumps(icons).encode(), "chars.json": json.dumps(codes).encode()}
    names = [{"hexcode": each.hexcode, "label": each.label} for each in things()]
    return {
        "@lobehub/fluent-emoji-3d": {f"assets/{code}.webp": picture.getvalue() for code in codes},
        "@iconify-json/fluent-emoji-flat": drawn,
        "@iconify-json/noto": drawn,
        "emojibase-data": {"en/data.json": json.dumps(names).encode()},
    }


def _archive(package: str, files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    says = json.dumps({"name": package, "version": VERSION}).encode()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, content in {"package.json": says, **files}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return written.getvalue()


def write_packages(folder: Path) -> tuple[Package, ...]:
    """Archives of the four packages in the folder, each with its true hash."""
    folder.mkdir(parents=True)
    made = []
    for name, files in _contents().items():
        content = _archive(name, files)
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
        made.append(Package(name, VERSION, "MIT", integrity))
        (folder / made[-1].archive).write_bytes(content)
    return tuple(made)


def use_packages(folder: Path, patch: pytest.MonkeyPatch) -> tuple[Package, ...]:
    """Have the preparation draw three things from such packages, which it finds in the folder."""
    made = write_packages(folder)
    drawn = draw_all(sorted(THINGS, key=lambda each: each.file), made, folder, SIDE)
    pixels = {style: preparing.digest(drawn[style]) for style in STYLES}
    patch.setattr(preparing, "packages", lambda: made)
    patch.setattr(preparing, "things", lambda: THINGS)
    patch.setattr(preparing, "pins", lambda: {"side": SIDE, "pixels": pixels})
    return made


def blank() -> dict[str, np.ndarray]:
    """Sprites of the right size and number with nothing on them."""
    return {style: np.zeros((len(things()), 160, 160, 4), np.uint8) for style in STYLES}
