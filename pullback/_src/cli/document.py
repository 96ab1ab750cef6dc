"""Documents that the library reproduces: their code, cell by cell, and the results they print.

A document is a text file of directives, each at the start of a line:

    #%% document TITLE
    #%% section HEADING
    #%% code                            the lines that follow are one cell
    #%% output                          the lines that follow are what the document prints for it
    #%% restored-output                 the same, where the copy of the document lacks them
    #%% allow TOLERANCE LABEL REASON    for the result whose line begins with LABEL

The code is the document's own, `import jax` and `%timeit` lines included; which package the word
`jax` means is decided when it runs.
"""

import ast
import builtins
import contextlib
import importlib.resources
import io
import linecache
import re
import statistics
import timeit
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .agreement import Allowance

_DOCUMENTS = ("automatic_differentiation", "autodiff_cookbook")
_TIMEIT = re.compile(
    r"^(?P<indent>\s*)%timeit -n(?P<loops>\d+) -r(?P<runs>\d+) (?P<statement>.*)$", re.MULTILINE
)


@dataclass
class Cell:
    """One cell of a document: what it runs, and what the document prints for it."""

    section: str
    code: str = ""
    output: str = ""
    restored: bool = False
    allowances: list[Allowance] = field(default_factory=list)


@dataclass
class Document:
    """A titled list of cells, run from top to bottom in one namespace."""

    title: str
    cells: list[Cell]


@dataclass(frozen=True)
class CellRun:
    """What a cell printed, and the traceback if it raised."""

    cell: Cell
    printed: str
    error: str | None


def load_documents() -> list[Document]:
    """The documents that come with the library."""
    folder = importlib.resources.files("pullback._src.cli") / "documents"
    return [parse_document((folder / f"{name}.txt").read_text(encoding="utf-8")) for name in _DOCUMENTS]


def parse_document(text: str) -> Document:
    """Read the format that the module's docstring describes.

    Raises:
      ValueError: if a directive is unknown or out of place.
    """
    title, section = "", ""
    cells: list[Cell] = []
    blocks = re.split(r"^#%% ", text, flags=re.MULTILINE)[1:]
    for block in blocks:
        head, _, body = block.partition("\n")
        kind, _, argument = head.partition(" ")
        if kind == "document":
            title = argument
        elif kind == "section":
            section = argument
        elif kind == "code":
            cells.append(Cell(section, code=body))
        elif kind in ("output", "restored-output") and cells:
            cells[-1].output = body
            cells[-1].restored = kind == "restored-output"
        elif kind == "allow" and cells:
            tolerance, label, reason = argument.split(" ", 2)
            cells[-1].allowances.append(Allowance(label, float(tolerance), reason))
        else:
            raise ValueError(f"a document expects one of its directives, got '#%% {head}'")
    return Document(title, cells)


def python_source(cell: Cell) -> str:
    """The cell as plain Python: `%timeit` lines as calls, a final expression echoed like a notebook does.

    The line numbers stay those of the cell, so that a traceback points at the right line.
    """
    source = _TIMEIT.sub(r"\g<indent>_timeit(\g<loops>, \g<runs>, lambda: \g<statement>)", cell.code)
    statements = ast.parse(source).body
    if not statements or not isinstance(statements[-1], ast.Expr):
        return source
    expression = ast.get_source_segment(source, statements[-1])
    assert expression is not None
    before, _, after = source.rpartition(expression)
    return f"{before}_echo({expression}){after}"


def script(document: Document) -> str:
    """The whole document as one Python program that prints what the document prints."""
    cells = "\n".join(f"# {cell.section}\n{python_source(cell)}" for cell in document.cells)
    return f'"""{document.title}."""\n{_SCRIPT_PRELUDE}\n{cells}'


def run_document(document: Document, package: str, max_loops: int | None = None) -> Iterator[CellRun]:
    """Run a document's cells in turn, with `package` where they import `jax`.

    Args:
      document: the document.
      package: the import name that `jax` stands for, such as "pullback".
      max_loops: at most that many loops and runs of a `%timeit` line; None means as many as it says.

    Yields:
      What each cell printed. A cell that raises does not end the run: later cells may still work.
    """

    def import_module(
        name: str,
        globals: dict[str, Any] | None = None,
        locals: dict[str, Any] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name.partition(".")[0] == "jax":
            name = package + name.removeprefix("jax")
        return builtins.__import__(name, globals, locals, fromlist, level)

    def limited_timeit(loops: int, runs: int, function: Callable[[], object]) -> None:
        limit = max_loops or max(loops, runs)
        _print_timing(min(loops, limit), min(runs, limit), function)

    namespace: dict[str, Any] = {
        "__name__": "__document__",
        "__builtins__": {**vars(builtins), "__import__": import_module},
        "_timeit": limited_timeit,
        "_echo": _echo,
    }
    for number, cell in enumerate(document.cells, start=1):
        source = python_source(cell)
        filename = f"<{document.title}, cell {number}>"
        # Known to linecache, the lines of the cell appear in tracebacks and in the library's own messages.
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        printed, error = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(source, filename, "exec"), namespace)
            except Exception:
                error = traceback.format_exc()
        yield CellRun(cell, printed.getvalue(), error)


def _echo(value: object) -> None:
    if value is not None:
        print(repr(value))


def _print_timing(loops: int, runs: int, function: Callable[[], object]) -> None:
    seconds = [total / loops for total in timeit.repeat(function, number=loops, repeat=runs)]
    mean, deviation = statistics.fmean(seconds), statistics.pstdev(seconds)
    plural = "s" if loops > 1 else ""
    print(
        f"{_duration(mean)} ± {_duration(deviation)} per loop "
        f"(mean ± std. dev. of {runs} runs, {loops} loop{plural} each)"
    )


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


_SCRIPT_PRELUDE = """
import timeit as _timing


def _timeit(loops, runs, function):
    best = min(_timing.repeat(function, number=loops, repeat=runs)) / loops
    print(f"{best * 1e3:.3g} ms per loop (best of {runs} runs, {loops} loops each)")


def _echo(value):
    if value is not None:
        print(repr(value))

"""
