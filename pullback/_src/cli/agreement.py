"""Whether a printed result agrees with a documented one, up to float32 rounding.

Two printed results agree if their text is the same but for the numbers (and for white space, the
name of the array class, and the weak types that older documents do not print), if integers are
equal, and if each floating-point number x that is documented as y satisfies

    |x - y| <= 16 eps scale + 0.5e-8

where eps = 2**-23 is the rounding unit of float32 and scale is the largest documented magnitude of
the same array (or of the same complex scalar): the entries of an array come from the same sums, so
that their errors are absolute within it. Sixteen units is what the documents themselves suggest:
the two of them print the same gradients with different versions of the same library, up to 4 units
apart, for about ten roundings in a row. 0.5e-8 is half a unit of the last place of an array's
printed entries. A result that is worse conditioned carries its own allowance, with the reason.
"""

import re
from dataclasses import dataclass
from enum import Enum

_EPS = 2.0**-23
_UNITS = 16
_PRINTED = 0.5e-8

_TIMING = "per loop ("
_TOKEN = re.compile(
    r"[A-Za-z_]\w*|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<bracket>[\[\]()])"
)


class Verdict(Enum):
    """What a comparison says of one printed item."""

    AGREES = "agrees"
    DISAGREES = "DISAGREES"
    TIMING = "a timing, not judged"
    LABEL = ""


@dataclass(frozen=True)
class Allowance:
    """An absolute tolerance for the item that begins with `label`, and why it needs one."""

    label: str
    tolerance: float
    reason: str


@dataclass(frozen=True)
class Comparison:
    """One item, printed and documented, and what is to be said of the pair."""

    printed: str
    documented: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class _Number:
    text: str
    group: int

    @property
    def value(self) -> float:
        return float(self.text)

    @property
    def is_integer(self) -> bool:
        return re.fullmatch(r"[-+]?\d+", self.text) is not None


def compare(printed: str, documented: str, allowances: list[Allowance] | None = None) -> list[Comparison]:
    """Compare what was printed with what is documented, item by item.

    An item is a line, or the lines over which an array's brackets stay open.
    """
    left, right = _items(printed), _items(documented)
    comparisons = [_compare_item(x, y, allowances or []) for x, y in zip(left, right, strict=False)]
    comparisons += [Comparison(x, "", Verdict.DISAGREES, "not documented") for x in left[len(right) :]]
    comparisons += [Comparison("", y, Verdict.DISAGREES, "not printed") for y in right[len(left) :]]
    return comparisons


def _items(text: str) -> list[str]:
    items: list[str] = []
    depth = 0
    for line in text.splitlines():
        if depth > 0:
            items[-1] += "\n" + line
        elif line.strip():
            items.append(line)
        depth += sum(line.count(c) for c in "[({") - sum(line.count(c) for c in "])}")
    return [item.rstrip() for item in items]


def _compare_item(printed: str, documented: str, allowances: list[Allowance]) -> Comparison:
    if _TIMING in printed and _TIMING in documented:
        return Comparison(printed, documented, Verdict.TIMING)
    left_text, left = _split(printed)
    right_text, right = _split(documented)
    if left_text != right_text or len(left) != len(right):
        return Comparison(printed, documented, Verdict.DISAGREES, "the text differs")
    if not right and right_text not in ("True", "False"):
        return Comparison(printed, documented, Verdict.LABEL)
    allowance = next((a for a in allowances if documented.startswith(a.label)), None)
    scales: dict[int, float] = {}
    for y in right:
        scales[y.group] = max(scales.get(y.group, 0.0), abs(y.value))
    for x, y in zip(left, right, strict=True):
        if x.is_integer != y.is_integer or (y.is_integer and x.value != y.value):
            return Comparison(
                printed, documented, Verdict.DISAGREES, f"{x.text} where {y.text} is documented"
            )
        allowed = allowance.tolerance if allowance else _UNITS * _EPS * scales[y.group] + _PRINTED
        difference = abs(x.value - y.value)
        if not difference <= allowed:
            note = f"{x.text} where {y.text} is documented: {difference:.1e} apart, {allowed:.1e} allowed"
            return Comparison(printed, documented, Verdict.DISAGREES, note)
    note = f"within {allowance.tolerance:g}: {allowance.reason}" if allowance else ""
    return Comparison(printed, documented, Verdict.AGREES, note)


def _split(text: str) -> tuple[str, list[_Number]]:
    """The text with `#` for each number and no white space, and the numbers with the array each is in."""
    numbers: list[_Number] = []
    depth = group = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal depth, group
        if match["bracket"]:
            depth += 1 if match["bracket"] in "[(" else -1
            group += depth == 0
        elif match["number"]:
            group += depth == 0
            numbers.append(_Number(match["number"], group))
            return "#"
        return match[0]

    # Older documents name the array class otherwise and do not print weak types.
    text = text.replace("DeviceArray", "Array").replace(", weak_type=True", "")
    skeleton = _TOKEN.sub(replace, text)
    return re.sub(r"\s+", "", skeleton), numbers
