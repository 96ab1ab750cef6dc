import pytest

from pullback._src.cli.agreement import Allowance, Verdict, compare


@pytest.mark.parametrize(
    ("printed", "documented"),
    [
        ("W_grad [-0.16965583 -0.8774644  -1.4901346 ]", "W_grad [-0.16965576 -0.8774648  -1.4901345 ]"),
        ("Array(6.-8.j, dtype=complex64)", "DeviceArray(6.-8.j, dtype=complex64)"),
        ("Array(6.-8.j, dtype=complex64, weak_type=True)", "DeviceArray(6.-8.j, dtype=complex64)"),
        ("[[1. 2.]\n [3. 4.]]", "[[1.  2. ]\n\n [3.  4. ]]"),
        ("0.0", "0.0"),
        ("1e-09", "0.0"),
        ("True", "True"),
        ("shape (4, 3)", "shape (4, 3)"),
    ],
)
def test_agreeing(printed: str, documented: str) -> None:
    (comparison,) = compare(printed, documented)
    assert comparison.verdict is Verdict.AGREES


@pytest.mark.parametrize(
    ("printed", "documented", "note"),
    [
        ("0.070651016", "0.070650816", "2.0e-07 apart"),
        ("[0.1 0.0010005]", "[0.1 0.001]", "apart"),
        ("False", "True", "text differs"),
        ("True", "False", "text differs"),
        ("shape (4, 4)", "shape (4, 3)", "4 where 3"),
        ("3", "3.0", "3 where 3.0"),
        ("nan", "0.5", "text differs"),
        ("Array([1.], dtype=float64)", "Array([1.], dtype=float32)", "text differs"),
        ("[1. 2.]", "[1. 2. 3.]", "text differs"),
        ("6.+8.j", "6.-8.j", "+8. where -8."),
        ("", "1.0", "not printed"),
        ("1.0", "", "not documented"),
    ],
)
def test_disagreeing(printed: str, documented: str, note: str) -> None:
    (comparison,) = compare(printed, documented)
    assert comparison.verdict is Verdict.DISAGREES
    assert note in comparison.note


def test_the_scale_is_that_of_the_same_array_only() -> None:
    verdicts = [c.verdict for c in compare("[1000. 0.1001]", "[1000. 0.1]")]
    assert verdicts == [Verdict.AGREES]
    verdicts = [c.verdict for c in compare("[1000.] [0.1001]", "[1000.] [0.1]")]
    assert verdicts == [Verdict.DISAGREES]


def test_an_allowance_is_for_its_own_line() -> None:
    allowance = Allowance("numerical", 1e-2, "finite differences")
    first, second = compare("numerical 1.001\nexact 1.001", "numerical 1.0\nexact 1.0", [allowance])
    assert first.verdict is Verdict.AGREES
    assert "finite differences" in first.note
    assert second.verdict is Verdict.DISAGREES


def test_timings_and_labels_are_not_judged() -> None:
    timing = "5 ms ± 1 µs per loop (mean ± std. dev. of 3 runs, 10 loops each)"
    documented = "7.73 ms ± 28 µs per loop (mean ± std. dev. of 3 runs, 10 loops each)"
    verdicts = [c.verdict for c in compare(f"Label\n{timing}", f"Label\n{documented}")]
    assert verdicts == [Verdict.LABEL, Verdict.TIMING]
