"""Local derivatives: the entries of the Jacobian of one operation.

The derivative of an operation is its linear program (`transforms.linearize`), made from its jvp rule;
nothing here knows a derivative. A linear program of elementwise operations multiplies entries by
coefficients, which are what it makes of ones. An equation that takes nothing but tangents and known numbers
has a known matrix, which is found by running it on a basis. All other linear equations are pushed along a
basis by the program itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...base.errors import DTypeError
from ...core.array import ConcreteArray, scalar, wrap
from ...core.aval import ShapedArray
from ...core.kinds import kind
from ...core.program import Equation, Literal, Program, Var
from ...core.trace import CURRENT, EVAL, using
from ...ops.arithmetic import add_p, div_p, mul_p, sub_p
from ...ops.complex import conj_p, imag_p, neg_p, real_p
from ...ops.convert import convert_element_type_p
from ...ops.dot import dot_general_p
from ...ops.structural import add_any_p, broadcast_in_dim_p, full, reshape_p
from ...transforms.batch import Axis, batch, to_dim
from .coefficients import Coefficient, Entry

# For each entry of a result, its coefficients for entries of the operands: {(operand, entry): coefficient}.
Local = list[dict[tuple[int, int], Coefficient]]

_KEEP_NUMBERS = (broadcast_in_dim_p, reshape_p, convert_element_type_p)


class Factor:
    """`number`, or `number` (1 or -1) times an array that broadcasts to the entries it multiplies."""

    __slots__ = ("number", "array")

    def __init__(self, number: Any, array: Any = None) -> None:
        self.number = number
        self.array = array

    def whole(self, aval: ShapedArray) -> Any:
        if self.array is None:
            return full(aval.shape, aval.dtype.type(self.number), aval.dtype)
        value = self.array if self.number == 1 else neg_p.bind(self.array)
        if value.aval.shape != aval.shape:
            missing = aval.ndim - value.aval.ndim
            value = broadcast_in_dim_p.bind(
                value, shape=aval.shape, broadcast_dimensions=tuple(range(missing, aval.ndim))
            )
        return value

    def at(self, places: np.ndarray[Any, Any] | None, entry: int) -> Coefficient:
        if self.array is None or places is None:
            return Coefficient(self.number)
        return Coefficient(self.number, Entry(self.array, int(places[entry])))


def places(shape: tuple[int, ...], out: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """For each entry of an array of shape `out`, the entry that is broadcast to it from `shape`."""
    size = int(np.prod(shape, dtype=np.int64))
    return np.broadcast_to(np.arange(size).reshape(shape), out).reshape(-1)


def known_number(value: Any) -> Any:
    """The number that a value is at staging time, or None."""
    if type(value) is ConcreteArray and value.aval.size == 1 and kind(value.aval.dtype) in "fc":
        return value._data.reshape(-1)[0].item()
    return None


class Reciprocals:
    """1 / y for the values y by which derivatives divide, computed once for each."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[int, tuple[Any, Any]] = {}

    def apply(self, value: Any) -> bool:
        """Whether to multiply by the reciprocal of this value: not of constants, which may be exact."""
        return type(value) is not ConcreteArray and kind(value.aval.dtype) == "f"

    def of(self, value: Any) -> Any:
        found = self._of.get(id(value))
        if found is None:
            one = scalar(1.0, value.aval.dtype)
            found = self._of[id(value)] = (
                value,
                div_p.bind(one, value),
            )  # `value` stays alive, as its id is the key
        return found[1]


def elementwise_program(
    program: Program, known: Sequence[Any], reciprocals: Reciprocals
) -> list[dict[int, Factor]] | None:
    """The factors of each result of a linear program of elementwise operations; None if it is none.

    `program` takes the values `known`, then tangents, which are numbered from 0 in the result. All arrays on
    the way of a tangent have its shape or a larger one to which it is broadcast.
    """
    values: dict[Var, Any] = dict(zip(program.invars, known, strict=False))
    factors: dict[Var, dict[int, Factor]] = {
        v: {i: Factor(1.0)} for i, v in enumerate(program.invars[len(known) :])
    }
    for eqn in program.eqns:
        linear = [isinstance(v, Var) and v in factors for v in eqn.invars]
        if True not in linear:
            _run(eqn, values)
        elif len(eqn.outvars) != 1 or not _keeps_entries(eqn, linear):
            return None
        else:
            factors[eqn.outvars[0]] = _scaled(eqn, linear, values, factors, reciprocals)
    return [factors.get(v, {}) if isinstance(v, Var) else {} for v in program.outvars]


def _run(eqn: Equation, values: dict[Var, Any]) -> None:
    operands = [v.value if isinstance(v, Literal) else values[v] for v in eqn.invars]
    out = eqn.primitive.bind(*operands, **eqn.params)
    values.update(zip(eqn.outvars, out if eqn.primitive.multiple_results else [out], strict=True))


def _keeps_entries(eqn: Equation, linear: Sequence[bool]) -> bool:
    """Whether entry i of the result depends on the entries of operands that are broadcast to i."""
    primitive = eqn.primitive
    if primitive.elementwise or primitive is convert_element_type_p:
        return True
    shape = eqn.outvars[0].aval.shape
    if primitive is broadcast_in_dim_p:
        rank = eqn.invars[0].aval.ndim
        return bool(eqn.params["broadcast_dimensions"] == tuple(range(len(shape) - rank, len(shape))))
    if primitive is reshape_p:  # only of dimensions of size 1 at the front
        before = eqn.invars[0].aval.shape
        short, long = sorted((before, shape), key=len)
        rest = len(long) - len(short)
        return long[rest:] == short and all(d == 1 for d in long[:rest])
    return False


def _scaled(
    eqn: Equation,
    linear: Sequence[bool],
    values: dict[Var, Any],
    factors: dict[Var, dict[int, Factor]],
    reciprocals: Reciprocals,
) -> dict[int, Factor]:
    primitive = eqn.primitive
    operands: list[Any] = []
    for v in eqn.invars:
        if isinstance(v, Literal):
            operands.append(v.value)
        else:
            operands.append(factors[v] if v in factors else values[v])
    check_complex(eqn)
    out: dict[int, Factor] = {}
    for k in sorted({k for o, lin in zip(operands, linear, strict=True) if lin for k in o}):
        factor = _simple(eqn, linear, operands, k, reciprocals)
        if factor is None:
            whole = []
            for v, o, lin in zip(eqn.invars, operands, linear, strict=True):
                if not lin:
                    whole.append(o)
                elif k in o:
                    whole.append(o[k].whole(v.aval))
                else:
                    whole.append(full(v.aval.shape, 0, v.aval.dtype))
            factor = Factor(1.0, primitive.bind(*whole, **eqn.params))
        out[k] = factor
    return out


def _simple(
    eqn: Equation, linear: Sequence[bool], operands: Sequence[Any], k: int, reciprocals: Reciprocals
) -> Factor | None:
    """What an equation makes of the factor for tangent k, where that needs no operation on ones."""
    primitive = eqn.primitive
    found = [i for i, lin in enumerate(linear) if lin and k in operands[i]]
    first: Factor = operands[found[0]][k]
    if primitive in (add_any_p, add_p, sub_p):
        if len(found) == 1:
            negative = primitive is sub_p and found[0] == 1
            return Factor(-first.number, first.array) if negative else first
        second: Factor = operands[found[1]][k]
        if first.array is None and second.array is None:
            return Factor(first.number + (-second.number if primitive is sub_p else second.number))
        return None
    if primitive is neg_p:
        return Factor(-first.number, first.array)
    if primitive is mul_p and len(linear) - sum(linear) == 1:
        return _product(first, operands[1 - found[0]])
    if primitive is div_p and linear == [True, False] and reciprocals.apply(operands[1]):
        return _product(first, reciprocals.of(operands[1]))
    if first.array is None:
        if primitive in _KEEP_NUMBERS and len(found) == 1:
            return first
        if primitive is div_p and linear == [True, False] and (number := known_number(operands[1])):
            return Factor(first.number / number)
    return None


def _product(factor: Factor, value: Any) -> Factor:
    number = known_number(value)
    if factor.array is None:
        if number is not None:
            return Factor(factor.number * number)
        if abs(factor.number) == 1:
            return Factor(factor.number, value)
    elif number is not None and abs(number) == 1:
        return Factor(factor.number * number, factor.array)
    if factor.array is None:
        dtype = value.aval.dtype
        return Factor(1.0, mul_p.bind(full((), dtype.type(factor.number), dtype), value))
    return Factor(factor.number, mul_p.bind(factor.array, value))


def check_complex(eqn: Equation) -> None:
    """Raise if an operation on complex tangents has no complex derivative."""
    primitive = eqn.primitive
    narrowing = primitive is convert_element_type_p and kind(eqn.outvars[0].aval.dtype) == "f"
    if (primitive in (real_p, imag_p, conj_p) or narrowing) and kind(eqn.invars[0].aval.dtype) == "c":
        raise DTypeError(
            f"jacobian with an order: {primitive.name!r} of a complex value is not holomorphic, so "
            f"the edges "
            "of the computational graph are no complex numbers. Use jacrev or jacfwd on the real and "
            "imaginary parts."
        )


def matrix(eqn: Equation, linear: Sequence[bool], operands: Sequence[Any], limit: int) -> list[Local] | None:
    """The local derivatives of each result of a linear equation, or None if more than `limit` numbers would
    be.

    `operands` holds the known operands (anything for those that are `linear`).
    """
    avals = [v.aval for v, lin in zip(eqn.invars, linear, strict=True) if lin]
    columns = sum(a.size for a in avals)
    if columns * max(v.aval.size for v in eqn.outvars) > limit:
        return None
    check_complex(eqn)
    if (
        eqn.primitive is dot_general_p
        and len(avals) == 1
        and eqn.outvars[0].aval.dtype == avals[0].dtype
        and type(operands[1 - list(linear).index(True)]) is not ConcreteArray
    ):
        return [_dot(eqn, list(linear).index(True), operands)]
    known = all(lin or type(o) is ConcreteArray for lin, o in zip(linear, operands, strict=True))
    with using(EVAL if known else CURRENT.get()):
        pushed = _push_basis(eqn, linear, operands, avals, columns)
    owner = [(k, i) for k, a in enumerate(avals) for i in range(a.size)]
    return [_rows(value, owner, known) for value in pushed]


def _push_basis(
    eqn: Equation,
    linear: Sequence[bool],
    operands: Sequence[Any],
    avals: Sequence[ShapedArray],
    columns: int,
) -> list[Any]:
    """The equation applied to a whole basis: the results with the basis along the last axis."""
    basis = []
    offset = 0
    for a in avals:
        data = np.zeros((columns, a.size), a.dtype)
        np.fill_diagonal(data[offset:], 1)
        offset += a.size
        basis.append(wrap(data.reshape(columns, *a.shape)))

    def apply(*tangents: Any) -> list[Any]:
        rest = iter(tangents)
        values = [next(rest) if lin else o for o, lin in zip(operands, linear, strict=True)]
        out = eqn.primitive.bind(*values, **eqn.params)
        return list(out) if eqn.primitive.multiple_results else [out]

    outs, dims = batch(apply, Axis(columns), basis, [0] * len(basis))
    return [to_dim(o, d, o.aval.ndim - (d is not None), columns) for o, d in zip(outs, dims, strict=True)]


def _rows(value: Any, owner: Sequence[tuple[int, int]], known: bool) -> Local:
    columns = len(owner)
    rows: Local = []
    if known:
        for row in np.asarray(value._data).reshape(-1, columns):
            rows.append({owner[int(j)]: Coefficient(row[j].item()) for j in np.flatnonzero(row)})
        return rows
    for i in range(value.aval.size // columns):
        rows.append({owner[j]: Coefficient(1.0, Entry(value, i * columns + j)) for j in range(columns)})
    return rows


def _dot(eqn: Equation, position: int, operands: Sequence[Any]) -> Local:
    """A contraction with a value: its coefficients are entries of the value."""
    (contract, batch_dims) = eqn.params["dimension_numbers"]
    other = operands[1 - position]
    shapes = [v.aval.shape for v in eqn.invars]
    # An index for each dimension: those of a batch or contracted pair are the same letter, as in einsum.
    labels: list[list[int]] = [[-1] * len(s) for s in shapes]
    sizes: list[int] = []
    out_labels: list[int] = []
    for pairs, kept in ((batch_dims, True), (contract, False)):
        for dims in zip(*pairs, strict=True):
            for side in (0, 1):
                labels[side][dims[side]] = len(sizes)
            if kept:
                out_labels.append(len(sizes))
            sizes.append(shapes[0][dims[0]])
    for side in (0, 1):
        for d, size in enumerate(shapes[side]):
            if labels[side][d] < 0:
                labels[side][d] = len(sizes)
                out_labels.append(len(sizes))
                sizes.append(size)
    grid = np.indices(tuple(sizes)).reshape(len(sizes), -1)

    def flat(names: Sequence[int], shape: tuple[int, ...]) -> Any:
        if not names:
            return np.zeros(grid.shape[1], np.int64)
        return np.ravel_multi_index(tuple(grid[n] for n in names), shape)

    out_shape = eqn.outvars[0].aval.shape
    at_out = flat(out_labels, out_shape)
    at_tangent = flat(labels[position], shapes[position])
    at_value = flat(labels[1 - position], shapes[1 - position])
    entries = [Entry(other, i) for i in range(other.aval.size)]
    rows: Local = [{} for _ in range(eqn.outvars[0].aval.size)]
    for o, t, v in zip(at_out, at_tangent, at_value, strict=True):
        rows[o][0, int(t)] = Coefficient(1.0, entries[v])
    return rows
