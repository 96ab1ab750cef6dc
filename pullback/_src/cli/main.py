"""The commands: `pullback cookbook [FILE.csv]` and `pullback run FILE [ARGUMENTS]`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .cookbook import cookbook
from .run import run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="pullback", description="Differentiate, batch and compile functions."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cookbook_parser = commands.add_parser(
        "cookbook",
        help="reproduce two documents on automatic differentiation, then train a classifier on real data",
    )
    cookbook_parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE.csv",
        help="train on this table instead: features, label last; a header is optional",
    )
    run_parser = commands.add_parser("run", help="run a script in which jax means Pullback")
    run_parser.add_argument("file", type=Path, metavar="FILE")
    run_parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    options = parser.parse_args(argv)
    if options.command == "cookbook":
        return cookbook(options.file)
    return run(options.file, options.arguments)
