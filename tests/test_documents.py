"""The documents' code, run line by line, prints the documented numbers."""

import functools
import subprocess
import sys

import jax
import pytest

from pullback._src.cli.agreement import Verdict, compare
from pullback._src.cli.document import CellRun, Document, load_documents, python_source, run_document, script

DOCUMENTS = load_documents()
CELLS = [
    pytest.param(d, c, id=f"{document.title}-{c + 1}-{cell.section}".replace(" ", "_"))
    for d, document in enumerate(DOCUMENTS)
    for c, cell in enumerate(document.cells)
]


@functools.cache
def runs(document: int, package: str) -> list[CellRun]:
    return list(run_document(DOCUMENTS[document], package, max_loops=1))


def disagreements(run: CellRun) -> list[str]:
    comparisons = compare(run.printed, run.cell.output, run.cell.allowances)
    return [
        f"{c.printed!r}, documented {c.documented!r}: {c.note}"
        for c in comparisons
        if c.verdict is Verdict.DISAGREES
    ]


@pytest.mark.parametrize(("document", "cell"), CELLS)
def test_cell_prints_documented_results(document: int, cell: int) -> None:
    run = runs(document, "pullback")[cell]
    assert run.error is None, run.error
    assert disagreements(run) == []


@pytest.mark.parametrize(("document", "cell"), CELLS)
def test_jax_agrees_with_the_documents(document: int, cell: int) -> None:
    """The oracle meets the same tolerances: they are neither too tight nor fitted to this library."""
    with jax.threefry_partitionable(False):
        run = runs(document, "jax")[cell]
    if "loop_mjp(f, W, M=U)" in run.cell.code:
        # Newer versions of JAX no longer accept what the document does: tuples in vstack's list.
        assert run.error is not None
        assert "vstack requires ndarray" in run.error
        return
    assert run.error is None, run.error
    assert disagreements(run) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.title)
def test_document_as_a_script(document: Document, tmp_path) -> None:
    """The whole document is a program with `import jax`, which runs as it stands."""
    file = tmp_path / "document.py"
    file.write_text(script(document), encoding="utf-8")
    command = [sys.executable, "-m", "pullback", "run", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    documented = "".join(cell.output for cell in document.cells)
    allowances = [allowance for cell in document.cells for allowance in cell.allowances]
    comparisons = compare(done.stdout, documented, allowances)
    assert [c for c in comparisons if c.verdict is Verdict.DISAGREES] == []


def test_every_code_line_is_run() -> None:
    for document in DOCUMENTS:
        for cell in document.cells:
            lines, source = cell.code.splitlines(), python_source(cell).splitlines()
            assert len(lines) == len(source)
            for line, python in zip(lines, source, strict=True):
                statement = line.split("-r3 ")[-1].split("  #")[0]
                assert statement.strip() in python


def test_a_failing_cell_is_reported_with_its_line() -> None:
    document = load_documents()[0]
    document.cells[0].code += "\nundefined_name + 1\n"
    first, second = list(run_document(document, "pullback", max_loops=1))[:2]
    assert "undefined_name + 1" in (first.error or "")
    assert "NameError" in (first.error or "")
    assert second.error is None
