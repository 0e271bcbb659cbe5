"""`genllava data export`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("form", choices=("llava",), metavar="FORM", help="of the file: llava (LLaVA's JSON)")
    add("data", type=Path, metavar="DATA", help="folder of a prepared data set")
    add("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
    says = "that pictures lie in or are written to. Default: FILE without its suffix, and _images"
    add("--images", type=Path, metavar="FOLDER", help=says)


def run(options: Namespace) -> int:
    """Write the file.

    Returns:
        The exit code.

    Raises:
        DataError: the data cannot be read, cannot be said in that form, or the file not written.
    """
    from genllava_finetune.data.exporting import export_llava
    from genllava_finetune.data.storing import load_rows

    file: Path = options.output
    images: Path = options.images or file.with_name(f"{file.stem}_images")
    licenses = export_llava(load_rows(options.data), file, images)
    print(f"{licenses.total()} rows in {file}, pictures in {images}")
    for license, rows in licenses.most_common():
        print(f"  {rows} under {license}")
    return 0
