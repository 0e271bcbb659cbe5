"""`genllava data prepare`."""

from __future__ import annotations

import sys
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
    add("-o", "--output", type=Path, metavar="FOLDER", help="where the rows are written; not needed for things")
    says = "of the files. Default: parquet, which datasets and TRL read"
    add("--format", choices=("parquet", "webdataset"), default="parquet", help=says)
    add("--limit", type=int, metavar="N", help="rows at most")
    add("--license", metavar="NAME", help="of the rows. Default: as the publisher of the data set declares it")
    add("--shard-rows", type=int, default=1000, metavar="N", help="rows in a file. Default: 1000")


def run(options: Namespace) -> int:
    """Convert the data set, or list the kinds.

    Returns:
        The exit code: 1 where no row came out.

    Raises:
        InvalidRequest: an option is missing or impossible.
        DataError: the source cannot be read, or the output not written.
    """
    from genllava_finetune.data.kinds import converters
    from genllava_finetune.worlds.things.art import preparing as things

    if options.list_kinds:
        rows = [(name, each.license, each.summary) for name, each in converters().items()]
        rows.append((things.NAME, things.LICENSES, things.SUMMARY))
        names, licenses = (max(len(row[column]) for row in rows) for column in (0, 1))
        for name, license, summary in rows:
            print(f"{name:{names}}  {license:{licenses}}  {summary}")
        return 0
    if options.kind == things.NAME:
        return _prepare_things(options)
    for name, value in (("KIND", options.kind), ("--from LOCATION", options.location), ("-o FOLDER", options.output)):
        if not value:
            raise InvalidRequest(f"{name} is missing: genllava data prepare KIND --from LOCATION -o FOLDER")
    return _prepare(options)


def _prepare_things(options: Namespace) -> int:
    """The drawings of the world of things: no rows, but what its pictures are put together from."""
    from genllava_finetune.worlds.things.art.preparing import prepare_art

    given = [name for name in ("images", "limit", "license") if getattr(options, name) is not None]
    if given:
        raise InvalidRequest(f"--{given[0]} is not for things: genllava data prepare things [--from FOLDER] [-o OUT]")
    source = None if options.location is None else Path(options.location)
    print(prepare_art(source, options.output))
    return 0


def _prepare(options: Namespace) -> int:
    from tqdm import tqdm

    from genllava_finetune.data.kinds import find_converter
    from genllava_finetune.data.preparing import prepare
    from genllava_finetune.data.records import Source
    from genllava_finetune.data.rejects import REJECTS

    converter, output = find_converter(options.kind), options.output
    source = Source(options.location, options.images)
    names = "format", "limit", "license", "shard_rows"
    with tqdm(unit=" records", mininterval=1.0) as bar:

        def show(records: int, rows: int, rejected: int) -> None:
            bar.set_postfix(rows=rows, rejected=rejected, refresh=False)
            bar.update(records - bar.n)

        try:
            done = prepare(converter, source, output, **{name: getattr(options, name) for name in names}, progress=show)
        except KeyboardInterrupt:
            bar.close()
            print(f"stopped: finished files are kept in {output}, and the same command goes on", file=sys.stderr)
            raise
    card = done.card
    print(f"{output}: {card.rows:,} rows in {len(card.shards)} files" + " (finished before)" * done.before)
    for reason, count in sorted(card.rejected.items(), key=lambda item: -item[1]):
        print(f"{count:>9,} rejected: {reason}")
    if card.rejected:
        print(f"the rejected records are in {output / REJECTS}")
    return 0 if card.rows else 1
