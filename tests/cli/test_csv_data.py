from pathlib import Path

import numpy as np
import pytest

from pullback._src.cli.csv_data import CSVError, read_csv
from pullback._src.cli.main import main


def write(folder: Path, content: str | bytes) -> Path:
    file = folder / "data.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("content", "classes", "labels"),
    [
        ("1,2,cat\n3,4,dog\n", ("cat", "dog"), [0, 1]),
        ("a,b,kind\n1,2,cat\n3,4,dog\n", ("cat", "dog"), [0, 1]),
        ("\ufeffa,b,kind\r\n1,2,cat\r\n\r\n3,4,dog\r\n", ("cat", "dog"), [0, 1]),
        ("1,2,10\n3,4,9\n", ("9", "10"), [1, 0]),
        ("1,2,1\n3,4,1.0\n1,2,0.5\n", ("0.5", "1"), [1, 1, 0]),
        ('1," 2 ","cat, big"\n3,4e0,dog\n', ("cat, big", "dog"), [0, 1]),
    ],
)
def test_reading(tmp_path: Path, content: str, classes: tuple[str, ...], labels: list[int]) -> None:
    data = read_csv(write(tmp_path, content))
    assert data.classes == classes
    assert data.labels.tolist() == labels
    np.testing.assert_array_equal(data.features[:2], [[1, 2], [3, 4]])


BAD_FILES = [
    ("", ": expected rows of features and a label, got none"),
    ("a,b,label\n", ": expected rows of features and a label, got none"),
    ("1,2,x\n3,oops,y\n", ", line 2: expected a number in column 2, got 'oops'"),
    ("a,b,label\n1,2,x\n\n3,,y\n", ", line 4: expected a number in column 2, got nothing"),
    ("1,oops,x\n3,4,y\n", ", line 1: expected a number in column 2, got 'oops'"),
    ("1,2,x\n3,y\n", ", line 2: expected 3 columns, as in the lines before, got 2"),
    ("1,2,x\n3,4,x\n", ": expected labels of at least two classes, got only 'x'"),
    ("1,2,x\n3,nan,y\n", ", line 2: expected a finite number (of float32) in column 2, got 'nan'"),
    ("1,2,x\n3,inf,y\n", ", line 2: expected a finite number (of float32) in column 2, got 'inf'"),
    ("1,2,x\n3,1e39,y\n", ", line 2: expected a finite number (of float32) in column 2, got '1e39'"),
    ("1,2,x\n3,4,\n", ", line 2: expected a label in the last column, got nothing"),
    ("1,2,0\n3,4,nan\n", ", line 2: expected a label in the last column, got 'nan'"),
    ("1\n2\n", ", line 1: expected at least one feature and a label, separated by commas, got one column"),
    (b"1,2,x\n\xff\xfe,2,y\n", ", line 1: expected text in UTF-8, got other bytes"),
    ('1,2,x\n"3,4,y\n', ", line 2: expected comma-separated values: unexpected end of data"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(CSVError) as caught:
        read_csv(file)
    assert str(caught.value) == f"{file}{message}"


@pytest.mark.parametrize("content", [None, "", "1,2,x\n3,oops,y\n"])
def test_the_command_says_one_line_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "missing.csv" if content is None else write(tmp_path, content)
    assert main(["cookbook", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith(f"pullback cookbook: {file}")


def test_a_folder_is_a_bad_file(tmp_path: Path) -> None:
    with pytest.raises(CSVError, match="cannot be read"):
        read_csv(tmp_path)
