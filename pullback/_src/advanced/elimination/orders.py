"""From the argument `order` to an elimination order; orders that a search has found are kept.

Found orders are kept in memory and in the folder `orders` beside the compiled programs, under a digest of the
graph: a text that holds the permutation, which is checked when it is read. A longer search replaces an order
only by a better one.
"""

from __future__ import annotations

import json
import operator
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ...base.cache_folder import folder_now
from .search import search
from .structure import Structure

NAMES = ("forward", "reverse", "markowitz", "search")

_UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0}
_known: dict[tuple[str, bool], tuple[float, tuple[int, ...]]] = {}


class Chosen(NamedTuple):
    """An order, and what is to be said about the search for it (empty if there was none)."""

    order: tuple[int, ...]
    note: str


def check_order(order: Any) -> Any:
    """`order` as one of the names or a tuple.

    Raises:
        ValueError: an unknown name.
        TypeError: neither a name nor a sequence.
    """
    if isinstance(order, str):
        if order not in NAMES:
            raise ValueError(
                f"jacobian: unknown order {order!r}; expected one of {', '.join(map(repr, NAMES))}, or a "
                f"list of "
                "the vertices' numbers"
            )
        return order
    try:
        return tuple(_number(v) for v in order)
    except TypeError:
        raise TypeError(
            f"jacobian: order must be one of {', '.join(map(repr, NAMES))}, or a list of the vertices' "
            f"numbers, "
            f"got {order!r}"
        ) from None


def _number(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(value)


def seconds(budget: Any) -> float:
    """A time, given in seconds or as a text such as "500ms", "10s" or "2min".

    Raises:
        ValueError: not a positive time.
    """
    value: float | None = None
    if isinstance(budget, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(ms|s|min)\s*", budget)
        if match:
            value = float(match[1]) * _UNITS[match[2]]
    elif isinstance(budget, (int, float)) and not isinstance(budget, bool):
        value = float(budget)
    if value is None or not 0 < value < float("inf"):
        raise ValueError(
            f"jacobian: budget must be a positive number of seconds, or a text such as '500ms', '10s' or "
            f"'2min'; "
            f"got {budget!r}"
        )
    return value


def choose(structure: Structure, order: Any, count_units: bool, budget: float) -> Chosen:
    """The elimination order that `order` (from `check_order`) stands for."""
    if not isinstance(order, str):
        return Chosen(structure.explicit(order), "")
    if order == "search":
        return _searched(structure, count_units, budget)
    found: tuple[int, ...] = getattr(structure, order)()
    return Chosen(found, "")


def _searched(structure: Structure, count_units: bool, budget: float) -> Chosen:
    key = structure.key(), count_units
    kept = _known.get(key) or _read(structure, key)
    if kept is not None and kept[0] >= budget:
        _known[key] = kept
        return Chosen(kept[1], "the order was found before")
    found = search(structure, count_units, budget)
    order = found.order
    if kept is not None and _cost(structure, kept[1], count_units) < found.cost:
        order = kept[1]
    # A search that ended by itself would do the same again, whatever its budget.
    _known[key] = (float("inf") if found.complete else budget), order
    _write(key, _known[key])
    note = f"{found.moves} moves in {found.seconds:.2f} s" + ("" if found.complete else ", cut short")
    return Chosen(order, note)


def _cost(structure: Structure, order: Sequence[int], count_units: bool) -> int:
    cost = structure.cost(order)
    return cost.all if count_units else cost.proper


def forget() -> None:
    """Forget the orders in memory."""
    _known.clear()


def _path(key: tuple[str, bool]) -> Path | None:
    folder = folder_now()
    return None if folder is None else folder / "orders" / f"{key[0]}{'-all' if key[1] else ''}.json"


def _read(structure: Structure, key: tuple[str, bool]) -> tuple[float, tuple[int, ...]] | None:
    path = _path(key)
    if path is None:
        return None
    try:
        entry = json.loads(path.read_text(encoding="ascii"))
        return float(entry["budget"]), structure.explicit(entry["order"])
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: search again
        return None


def _write(key: tuple[str, bool], entry: tuple[float, tuple[int, ...]]) -> None:
    path = _path(key)
    if path is None:
        return
    temporary = None
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump({"budget": entry[0], "order": entry[1]}, file)
        os.replace(temporary, path)
        temporary = None
    except OSError:  # a full disk, a read-only folder: searching again is all it costs
        pass
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
