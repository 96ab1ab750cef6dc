"""The `cookbook` command: the documents beside their printed numbers, then a classifier on real data."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from .agreement import Comparison, Verdict, compare
from .csv_data import CSVError, LabelledData, read_csv
from .document import CellRun, Document, load_documents, run_document
from .training import Result, train

_REQUIRED_ACCURACY = 0.96


class _MissingDigitsError(Exception):
    """scikit-learn, which has the digits, is not installed."""


def cookbook(file: Path | None = None, package: str = "pullback") -> int:
    """Run the documents and train on the digits; or, with a file, train on its rows.

    Returns:
      The exit status: 0; 1 if a documented number disagrees or the digits are not learnt; 2 if the
      file cannot be used or scikit-learn, which has the digits, is missing.
    """
    try:
        data = _digits() if file is None else read_csv(file)
    except (CSVError, _MissingDigitsError) as error:
        print(f"pullback cookbook: {error}", file=sys.stderr)
        return 2
    if file is not None:
        print(f"{file}: {_shape(data)}", flush=True)
        print(_summary(train(data)))
        return 0
    agrees = _run_documents(load_documents(), package)
    print("\n# Real data\n")
    print(f"scikit-learn's digits: {_shape(data)}", flush=True)
    result = train(data)
    print(_summary(result))
    learnt = result.accuracy >= _REQUIRED_ACCURACY
    if not learnt:
        print(f"DISAGREES: a test accuracy of at least {_REQUIRED_ACCURACY:.0%} is expected")
    return 0 if agrees and learnt else 1


def _digits() -> LabelledData:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        message = "the digits come with scikit-learn: install it with pip install 'pullback[demo]'"
        raise _MissingDigitsError(message) from None
    images, labels = load_digits(return_X_y=True)
    return LabelledData(
        np.asarray(images, np.float64), np.asarray(labels, np.int32), tuple(str(digit) for digit in range(10))
    )


def _shape(data: LabelledData) -> str:
    rows, columns = data.features.shape
    return f"{rows} rows of {columns} features, {len(data.classes)} classes"


def _summary(result: Result) -> str:
    return (
        f"trained on {result.train_rows} rows: loss {result.initial_loss:.4f} -> {result.final_loss:.4f}\n"
        f"tested on {result.test_rows} others: accuracy {result.accuracy:.1%} ({result.correct} correct)"
    )


def _run_documents(documents: list[Document], package: str) -> bool:
    verdicts: Counter[Verdict] = Counter()
    cells = failed = 0
    for document in documents:
        print(f"\n# {document.title}")
        section = ""
        for run in run_document(document, package):
            if run.cell.section != section:
                section = run.cell.section
                print(f"\n## {section}\n")
            cells += 1
            failed += run.error is not None
            verdicts.update(_print_run(run))
    agreeing, disagreeing = verdicts[Verdict.AGREES], verdicts[Verdict.DISAGREES]
    print("\n# Summary\n")
    print(f"{cells - failed} of {cells} code cells ran without an error")
    print(f"{agreeing} of {agreeing + disagreeing} documented results agree to float32 rounding")
    print(f"{verdicts[Verdict.TIMING]} timings, shown beside the documented ones, are not judged")
    return not failed and not disagreeing


def _print_run(run: CellRun) -> list[Verdict]:
    if run.error:
        print(_indented(run.error, "    ! "))
    comparisons = compare(run.printed, run.cell.output, run.cell.allowances)
    for comparison in comparisons:
        _print_comparison(comparison, run.cell.restored)
    if not comparisons and not run.error:
        lines = sum(
            1 for line in run.cell.code.splitlines() if line.strip() and not line.strip().startswith("#")
        )
        print(f"    ran {lines} line{'s' if lines > 1 else ''} that print{'s' if lines == 1 else ''} nothing")
    return [comparison.verdict for comparison in comparisons]


def _print_comparison(comparison: Comparison, restored: bool) -> None:
    if comparison.verdict is Verdict.LABEL:
        print(_indented(comparison.printed, "    "))
        return
    source = "expected" if restored else "documented"
    print(_indented(comparison.printed or "(nothing)", "    pullback    "))
    print(_indented(comparison.documented or "(nothing)", f"    {source:<12}"))
    print(f"    {comparison.verdict.value}{', ' + comparison.note if comparison.note else ''}")


def _indented(text: str, prefix: str) -> str:
    """The prefix, then the text, with its further lines aligned below the first."""
    first, *others = text.splitlines()
    return "\n".join([prefix + first, *(" " * len(prefix) + line for line in others)])
