"""Reading a labelled table from a CSV file: features, with the label in the last column."""

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

_LARGEST = float(np.finfo(np.float32).max)


class CSVError(Exception):
    """A file that cannot be read as a table of features and labels; its text is one line."""

    def __init__(self, path: Path, message: str, line: int | None = None) -> None:
        place = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{place}: {message}")


@dataclass(frozen=True)
class LabelledData:
    """Rows of numbers with a class each.

    Attributes:
      features: float64[rows, columns].
      labels: int32[rows], indices into `classes`.
      classes: the names of the classes, in order.
    """

    features: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int32]
    classes: tuple[str, ...]


def read_csv(path: Path) -> LabelledData:
    """Read a comma-separated file; a first line without a single number before the label is a header.

    Labels are numbers or names; if all of them are numbers, they are compared as numbers.

    Raises:
      CSVError: naming the file, the line where there is one, what was expected and what came.
    """
    rows: list[list[float]] = []
    labels: list[str] = []
    width = 0
    for line, fields in _lines(path):
        if not width:
            width = len(fields)
            if width < 2:
                message = "expected at least one feature and a label, separated by commas, got one column"
                raise CSVError(path, message, line)
            if not any(_is_number(field) for field in fields[:-1]):
                continue
        if len(fields) != width:
            raise CSVError(path, f"expected {width} columns, as in the lines before, got {len(fields)}", line)
        rows.append([_feature(path, line, column, text) for column, text in enumerate(fields[:-1], start=1)])
        labels.append(_label(path, line, fields[-1]))
    if not rows:
        raise CSVError(path, "expected rows of features and a label, got none")
    if all(_is_number(label) for label in labels):
        labels = [format(float(label), ".17g") for label in labels]
        classes = sorted(set(labels), key=float)
    else:
        classes = sorted(set(labels))
    if len(classes) < 2:
        raise CSVError(path, f"expected labels of at least two classes, got only '{classes[0]}'")
    index = {name: i for i, name in enumerate(classes)}
    return LabelledData(
        np.array(rows, np.float64), np.array([index[label] for label in labels], np.int32), tuple(classes)
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The non-blank lines of the file, numbered, as stripped fields."""
    try:
        # utf-8-sig: spreadsheets begin their exports with a byte-order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            try:
                for fields in reader:
                    if any(field.strip() for field in fields):
                        yield reader.line_num, [field.strip() for field in fields]
            except csv.Error as error:
                raise CSVError(path, f"expected comma-separated values: {error}", reader.line_num) from None
            except UnicodeDecodeError:
                raise CSVError(path, "expected text in UTF-8, got other bytes", reader.line_num + 1) from None
    except OSError as error:
        raise CSVError(path, f"cannot be read: {error.strerror}") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _feature(path: Path, line: int, column: int, text: str) -> float:
    if not _is_number(text):
        raise CSVError(path, f"expected a number in column {column}, got {_quoted(text)}", line)
    value = float(text)
    if not math.isfinite(value) or abs(value) > _LARGEST:
        message = f"expected a finite number (of float32) in column {column}, got {_quoted(text)}"
        raise CSVError(path, message, line)
    return value


def _label(path: Path, line: int, text: str) -> str:
    if not text or (_is_number(text) and not math.isfinite(float(text))):
        raise CSVError(path, f"expected a label in the last column, got {_quoted(text)}", line)
    return text


def _quoted(text: str) -> str:
    """The text on one line, shortened."""
    return repr(text if len(text) <= 40 else text[:37] + "...") if text else "nothing"
