"""`genllava data prepare`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from genllava.errors import InvalidRequest


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("kind", nargs="?", metavar="KIND", help="of the data set, as --list names it")
    add("--list", action="store_true", dest="list_kinds", help="name the kinds and leave")
    add("--from", dest="location", metavar="LOCATION", help="file or folder, or owner/name of a data set on the hub")
    add("--images", type=Path, metavar="FOLDER", help="that the paths of pictures are relative to")
    add("-o", "--output", type=Path, metavar="FOLDER", help="where the rows are written")
    says = "of the files. Default: parquet, which datasets and TRL read"
    add("--format", choices=("parquet", "webdataset"), default="parquet", help=says)
    add("--limit", type=int, metavar="N", help="rows at most")
    add("--license", metavar="NAME", help="of the rows. Default: as the publisher of the data set declares it")
    add("--shard-rows", type=int, default=1000, metavar="N", help="rows in a file. Default: 1000")


def run(options: Namespace) -> int:
    """Convert the data set, or list the kinds.

    Returns:
        The exit code.

    Raises:
        InvalidRequest: an option is missing or impossible.
        DataError: the source cannot be read, or the output not written.
    """
    from genllava_finetune.data.kinds import converters, find_converter

    if options.list_kinds:
        known = converters()
        width = max(map(len, known), default=0)
        for name, converter in known.items():
            print(f"{name:{width}}  {converter.license:12}  {converter.summary}")
        return 0
    for name, value in (("KIND", options.kind), ("--from LOCATION", options.location), ("-o FOLDER", options.output)):
        if value is None:
            raise InvalidRequest(f"{name} is missing: genllava data prepare KIND --from LOCATION -o FOLDER")
    find_converter(options.kind)
    raise InvalidRequest("not yet")
