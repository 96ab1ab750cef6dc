"""`einsum`: Einstein's summation convention, as a sequence of contractions of two operands.

The order of contractions for three and more operands comes from opt_einsum; each step is one `dot_general`
(after sums over labels that occur only once, and diagonals of repeated ones).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

from ...base.errors import ShapeError
from ...core import dtypes
from ...core.array import Array
from ...ops.compare import select_n_p
from ...ops.convert import convert_element_type
from ...ops.dot import bind_dot, canonical_precision
from ...ops.matrices import diagonal_mask
from ...ops.structural import full, reduce_sum_p, reshape, transpose
from .promotion import check_arraylike, promote, refuse_out

__all__ = ["einsum", "einsum_path"]

Labels = tuple[str, ...]


def einsum(
    subscripts: Any,
    /,
    *operands: Any,
    out: None = None,
    optimize: Any = "auto",
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> Array:
    """The sum of products that a formula such as "ij,jk->ik" describes.

    Args:
        subscripts: the formula; or the first operand, with lists of int labels after each operand (and for
            the result).
        operands: arrays. A dimension of size 1 broadcasts against others of its label.
        out: not supported.
        optimize: how to order the contractions of three or more operands: a strategy of opt_einsum, True
            ("auto"), False (from left to right), or a path.
        precision, preferred_element_type: see `lax.dot_general`.
        out_sharding: accepted for compatibility; there is one device.

    Raises:
        ValueError: a formula that is malformed or does not fit the operands.
        ShapeError: sizes that differ for one label.
    """
    refuse_out("einsum", out)
    formula, arrays = _formula(subscripts, operands)
    if not arrays:
        raise ValueError("einsum needs at least one operand")
    check_arraylike("einsum", *arrays)
    arrays = promote("einsum", *arrays)
    if len(arrays) == 2 and precision is None and preferred_element_type is None:
        x, y = arrays
        plan = _pair_plan(formula, x.aval.shape, y.aval.shape)
        if plan is not None:
            value = bind_dot(x, y, plan[0])
            return value if plan[1] is None else transpose(value, plan[1])
    labels, result = parse(formula, tuple(x.aval.ndim for x in arrays))
    sizes = _sizes(formula, labels, [x.aval.shape for x in arrays])
    if preferred_element_type is not None:
        preferred_element_type = dtypes.check_user_dtype(preferred_element_type, "einsum")
    precision = canonical_precision(precision)
    terms = [_with_broadcast_dropped(x, names, sizes) for x, names in zip(arrays, labels, strict=True)]
    for chosen in _path(terms, result, sizes, optimize):
        picked = [terms[i] for i in chosen]
        for i in sorted(chosen, reverse=True):
            del terms[i]
        kept = set(result).union(*[names for _, names in terms])
        if len(picked) == 1:
            terms.append(_reduced(*picked[0], kept))
            continue
        total = picked[0]
        for position, term in enumerate(picked[1:], 2):
            later = kept.union(*[names for _, names in picked[position:]])
            total = _contract(*total, *term, later, precision, preferred_element_type)
        terms.append(total)
    ((value, names),) = terms
    if preferred_element_type is not None and value.aval.dtype != preferred_element_type:
        value = convert_element_type(value, preferred_element_type)
    return _arranged(value, names, result)


@functools.lru_cache(maxsize=1024)
def _pair_plan(formula: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> Any:
    """Dimension numbers and permutation of a formula of two operands that is a single contraction,
    else None.
    """
    (x, y), result = parse(formula, (len(x_shape), len(y_shape)))
    sizes = _sizes(formula, (x, y), (x_shape, y_shape))
    repeated = len(set(x)) < len(x) or len(set(y)) < len(y)
    broadcast = any(s != sizes[n] for n, s in zip(x + y, x_shape + y_shape, strict=True))
    alone = any(n not in result for n in {*x, *y} - ({*x} & {*y}))
    if repeated or broadcast or alone:
        return None
    numbers, names = _numbers(x, y, set(result))
    order = tuple(names.index(n) for n in result)
    return numbers, None if order == tuple(range(len(order))) else order


def _formula(subscripts: Any, operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """The formula as a string, also from operands interleaved with lists of labels."""
    if isinstance(subscripts, str):
        return subscripts.replace(" ", ""), list(operands)
    items = [subscripts, *operands]
    result = items.pop() if len(items) % 2 else None
    arrays, lists = items[::2], items[1::2]
    formula = ",".join(map(_letters, lists))
    return formula if result is None else f"{formula}->{_letters(result)}", arrays


def _letters(labels: Any) -> str:
    return "".join("..." if label is Ellipsis else _letter(operator.index(label)) for label in labels)


def _letter(label: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return alphabet[label] if label < len(alphabet) else chr(label + 140)


@functools.lru_cache(maxsize=1024)
def parse(formula: str, ranks: tuple[int, ...]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each operand's dimensions and of the result's; "..." becomes labels of its own.

    Raises:
        ValueError: malformed.
    """
    left, arrow, right = formula.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise ValueError(
            f"einsum: the formula {formula!r} has {len(parts)} operand(s), but {len(ranks)} were given"
        )
    widest = 0
    labels: list[Labels] = []
    for part, rank in zip(parts, ranks, strict=True):
        before, dots, after = part.partition("...")
        missing = rank - len(before) - len(after)
        if missing < 0 or (not dots and missing):
            raise ValueError(
                f"einsum: the term {part!r} of {formula!r} names {len(before) + len(after)} "
                "dimension(s), but its "
                f"operand has {rank}"
            )
        widest = max(widest, missing)
        # Counted from the right, so that they broadcast as NumPy's do.
        ellipsis = tuple(f"...{i}" for i in range(missing, 0, -1))
        labels.append((*before, *ellipsis, *after))
    for name in (n for names in labels for n in names if len(n) == 1):
        if not name.isalpha():
            raise ValueError(f"einsum: {name!r} in {formula!r} is no label; use letters, ',', '...' and '->'")
    ellipsis = tuple(f"...{i}" for i in range(widest, 0, -1))
    if not arrow:
        flat = [n for names in labels for n in names if len(n) == 1]
        return tuple(labels), (*ellipsis, *sorted(n for n in set(flat) if flat.count(n) == 1))
    before, dots, after = right.partition("...")
    result = (*before, *(ellipsis if dots else ()), *after)
    known = {n for names in labels for n in names}
    for name in result:
        if name not in known or result.count(name) > 1:
            raise ValueError(
                f"einsum: the label {name!r} of the result in {formula!r} must occur once there and "
                "in an operand"
            )
    return tuple(labels), result


def _sizes(formula: str, labels: Sequence[Labels], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for names, shape in zip(labels, shapes, strict=True):
        for name, size in zip(names, shape, strict=True):
            known = sizes.setdefault(name, size)
            if known == 1:
                sizes[name] = size
            elif size not in (1, known):
                raise ShapeError(
                    f"einsum: the label {name!r} in {formula!r} stands for dimensions of sizes "
                    f"{known} and {size}; "
                    f"the operands have shapes {', '.join(map(str, shapes))}"
                )
    return sizes


Term = tuple[Any, Labels]


def _with_broadcast_dropped(x: Any, names: Labels, sizes: dict[str, int]) -> Term:
    """The operand without dimensions of size 1 whose label has another size elsewhere, and with
    distinct labels.
    """
    shape = x.aval.shape
    kept = [i for i, n in enumerate(names) if shape[i] == sizes[n]]
    if len(kept) < len(names):
        x, names = reshape(x, [shape[i] for i in kept]), tuple(names[i] for i in kept)
    while len(set(names)) < len(names):
        second = next(i for i, n in enumerate(names) if n in names[:i])
        first = names.index(names[second])
        x, names = _diagonal(x, first, second), (*names[:second], *names[second + 1 :])
    return x, names


def _diagonal(x: Any, first: int, second: int) -> Any:
    """The diagonal of two dimensions, in place of the first."""
    shape = x.aval.shape
    placed = [1] * len(shape)
    placed[first] = placed[second] = shape[first]
    mask = reshape(diagonal_mask(shape[first], shape[first]), placed)
    return reduce_sum_p.bind(
        select_n_p.bind(mask, full((), 0 if x.aval.dtype != bool else False, x.aval.dtype), x), axes=(second,)
    )


def _path(
    terms: Sequence[Term], result: Labels, sizes: dict[str, int], optimize: Any
) -> list[tuple[int, ...]]:
    """Which operands to contract in each step; every result goes to the end of the list."""
    count = len(terms)
    if isinstance(optimize, (list, tuple)) and optimize:
        steps = [s for s in optimize if not isinstance(s, str)]
        return [tuple(operator.index(i) for i in s) for s in steps]
    if count <= 2:
        return [tuple(range(count))]
    if optimize is False:
        return _left_to_right(count)
    found, _ = _opt_einsum_path(terms, result, "auto" if optimize is True else optimize, sizes)
    return [tuple(s) for s in found]


def _left_to_right(count: int) -> list[tuple[int, ...]]:
    return [(0, 1), *((0, count - 1 - i) for i in range(1, count - 1))] if count > 1 else [(0,)]


def _opt_einsum_path(terms: Sequence[Term], result: Labels, optimize: Any, sizes: dict[str, int]) -> Any:
    import opt_einsum

    letters = {name: opt_einsum.get_symbol(i) for i, name in enumerate(sizes)}
    texts = ["".join(letters[n] for n in names) for names in (*(names for _, names in terms), result)]
    formula = ",".join(texts[:-1]) + "->" + texts[-1]
    shapes = [tuple(sizes[n] for n in names) for _, names in terms]
    return opt_einsum.contract_path(formula, *shapes, shapes=True, optimize=optimize)


def einsum_path(
    subscripts: Any, /, *operands: Any, optimize: Any = "auto"
) -> tuple[list[tuple[int, ...]], Any]:
    """The order in which `einsum` contracts its operands.

    Returns:
        The pairs of positions, to be given as `optimize`, and opt_einsum's report (costs, intermediate
        sizes).
    """
    import opt_einsum

    formula, arrays = _formula(subscripts, operands)
    if isinstance(optimize, bool):
        optimize = "auto" if optimize else _left_to_right(len(arrays))
    arrays = promote("einsum_path", *arrays)
    return opt_einsum.contract_path(formula, *[x.aval.shape for x in arrays], shapes=True, optimize=optimize)


def _reduced(x: Any, names: Labels, kept: set[str]) -> Term:
    """The term summed over the labels that nothing else needs."""
    axes = tuple(i for i, n in enumerate(names) if n not in kept)
    if not axes:
        return x, names
    return reduce_sum_p.bind(x, axes=axes), tuple(n for n in names if n in kept)


def _contract(
    x: Any, x_names: Labels, y: Any, y_names: Labels, kept: set[str], precision: Any, preferred: Any
) -> Term:
    x, x_names = _reduced(x, x_names, kept.union(y_names))
    y, y_names = _reduced(y, y_names, kept.union(x_names))
    numbers, names = _numbers(x_names, y_names, kept)
    return bind_dot(x, y, numbers, precision, preferred), names


def _places(names: Labels, chosen: Sequence[str]) -> tuple[int, ...]:
    return tuple(names.index(n) for n in chosen)


def _numbers(x: Labels, y: Labels, kept: set[str]) -> tuple[Any, Labels]:
    """The dimension numbers of the contraction of two operands with these labels, and the labels of
    the result.
    """
    shared = [n for n in x if n in y]
    batch = [n for n in shared if n in kept]
    summed = [n for n in shared if n not in kept]
    numbers = (_places(x, summed), _places(y, summed)), (_places(x, batch), _places(y, batch))
    return numbers, (*batch, *(n for n in x if n not in shared), *(n for n in y if n not in shared))


def _arranged(x: Any, names: Labels, result: Labels) -> Any:
    """The term with its dimensions in the order of the result, with those that only had size 1 put back."""
    x = transpose(x, [names.index(n) for n in result if n in names])
    if len(names) == len(result):
        return x
    shape = iter(x.aval.shape)
    return reshape(x, [next(shape) if n in names else 1 for n in result])
