"""`vjp`, `jvp`, `linearize`, `linear_transpose`: the two foundations and their linear maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import pytree
from ..base.errors import DTypeError, ShapeError
from ..core import dtypes
from ..core.array import Array
from ..core.aval import ShapedArray, Zero
from ..core.program import Program
from ..core.staging import LinearTrace
from ..core.trace import CURRENT
from ..ops.structural import instantiate, strong
from ..transforms import jvp as _jvp
from ..transforms import linearize as _linearize
from ..transforms.linearize import push_forward
from ..transforms.simplify import outputs_only
from ..transforms.transpose import backward_pass, pull_back
from .common import (
    check_callable,
    check_structure,
    flatten_aux,
    flatten_output,
    float0_zeros,
    match_weak_type,
    name_of,
    split_aux,
    to_array,
    unflatten_output,
)
from .tangents import TYPES, arrays_of, contains_points, located, on_coordinates


class _Signature:
    """What a linear map takes and gives: the static part of `Pushforward` and `Pullback`."""

    __slots__ = (
        "program",
        "in_tree",
        "out_tree",
        "in_avals",
        "out_avals",
        "in_nonzero",
        "out_nonzero",
        "name",
    )

    def __init__(
        self,
        program: Program,
        in_tree: Any,
        out_tree: Any,
        in_avals: Sequence[ShapedArray],
        out_avals: Sequence[ShapedArray],
        in_nonzero: Sequence[bool],
        out_nonzero: Sequence[bool],
        name: str,
    ) -> None:
        self.program = program
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.in_avals = tuple(in_avals)
        self.out_avals = tuple(out_avals)
        self.in_nonzero = tuple(in_nonzero)
        self.out_nonzero = tuple(out_nonzero)
        self.name = name

    # Linear programs are interned: with these, `jit` of a function of linear maps is traced once for all
    # points at which the same function was linearized.

    def _key(self) -> tuple[Any, ...]:
        return (self.program, self.in_tree, self.out_tree, self.in_avals, self.out_avals, self.in_nonzero)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, _Signature)
            and self._key() == other._key()
            and self.out_nonzero == other.out_nonzero
            and self.name == other.name
        )

    def __hash__(self) -> int:
        return hash((self.program, self.in_avals, self.out_avals))


class _LinearFunction:
    """A linear program with residuals: a callable pytree whose leaves are the residuals."""

    __slots__ = ("signature", "residuals")

    def __init__(self, signature: _Signature, residuals: Sequence[Any]) -> None:
        self.signature = signature
        self.residuals = tuple(residuals)

    @property
    def program(self) -> Program:
        """The linear program of the pushforward; its constants are the residuals."""
        return self.signature.program

    def __repr__(self) -> str:
        kind = type(self).__name__
        count = len(self.residuals)
        return f"{kind} of {self.signature.name}, with {count} residuals; pushforward:\n{self.program}"


class Pushforward(_LinearFunction):
    """The derivative at a point as a function of tangents; see `linearize`."""

    __slots__ = ()

    def __call__(self, *tangents: Any) -> Any:
        s = self.signature
        leaves, tree = pytree.flatten(tangents)
        check_structure("linearize", s.in_tree, tree, "the tuple of primal inputs", "the tuple of tangents")
        given = check_tangents("linearize", leaves, s.in_avals, tree)
        inputs = [
            instantiate(t) if type(t) is Zero else t for t, nz in zip(given, s.in_nonzero, strict=True) if nz
        ]
        outs = iter(push_forward(s.program, self.residuals, inputs))
        full = [
            _output_tangent(next(outs) if nz else Zero(a), a)
            for a, nz in zip(s.out_avals, s.out_nonzero, strict=True)
        ]
        return unflatten_output(s.out_tree, full)

    @property
    def T(self) -> Pullback:
        """The transpose: the pullback at the same point. It shares program and residuals."""
        return Pullback(self.signature, self.residuals)


class Pullback(_LinearFunction):
    """The transposed derivative at a point as a function of cotangents; see `vjp`.

    A pytree whose leaves are the residuals: `jit`, `vmap` and the other transformations accept it as an
    argument.
    """

    __slots__ = ()

    def __call__(self, *cotangents: Any) -> tuple[Any, ...]:
        s = self.signature
        if len(cotangents) != 1:
            raise TypeError(
                f"vjp: the pullback of {s.name} takes one cotangent, in the structure of the function's "
                f"output (a tuple if that is a tuple), got {len(cotangents)} arguments"
            )
        (cotangent,) = cotangents
        if s.out_tree is None and isinstance(cotangent, Array):
            leaves = [cotangent]
        else:
            leaves, tree = pytree.flatten(cotangent)
            if s.out_tree is None:
                if len(leaves) != 1 or tree != _leaf_tree():
                    check_structure("vjp", _leaf_tree(), tree, "the function's output", "the cotangent")
            else:
                check_structure("vjp", s.out_tree, tree, "the function's output", "the cotangent")
        given = check_tangents("vjp", leaves, s.out_avals, s.out_tree, cotangent=True)
        cts = [ct for ct, nz in zip(given, s.out_nonzero, strict=True) if nz]
        results = iter(pull_back(s.program, self.residuals, cts))
        out = []
        for aval, nz in zip(s.in_avals, s.in_nonzero, strict=True):
            if nz:
                ct = next(results)
                out.append(match_weak_type(instantiate(ct), aval))
            else:
                out.append(float0_zeros(aval.shape))
        return pytree.unflatten(s.in_tree, out)

    @property
    def T(self) -> Pushforward:
        """The transpose: the pushforward at the same point. It shares program and residuals."""
        return Pushforward(self.signature, self.residuals)


def _leaf_tree() -> Any:
    return pytree.structure_of(0)


def _flatten(function: _LinearFunction) -> tuple[tuple[Any, ...], _Signature]:
    return function.residuals, function.signature


pytree.register_pytree_node(Pushforward, _flatten, Pushforward)
pytree.register_pytree_node(Pullback, _flatten, Pullback)


def check_tangents(
    name: str, leaves: Sequence[Any], avals: Sequence[ShapedArray], tree: Any, *, cotangent: bool = False
) -> list[Any]:
    """Tangents (cotangents) as arrays, checked against the primals' types; float0 ones become `Zero`.

    `tree` is their structure (None for a lone array), for the errors.
    """
    return [
        # An array of just the type that is wanted is the rule, and there is nothing to say about it.
        v
        if isinstance(v, Array) and v.aval is a and a.tangent is a and not a.weak_type
        else _check_tangent(name, v, a, tree, i, cotangent)
        for i, (v, a) in enumerate(zip(leaves, avals, strict=True))
    ]


def _check_tangent(name: str, value: Any, aval: ShapedArray, tree: Any, leaf: int, cotangent: bool) -> Any:
    word, primal = ("cotangent", "output") if cotangent else ("tangent", "primal")
    if aval.tangent is not aval:
        dtype = getattr(value, "dtype", None)
        if dtype is not None and dtype != dtypes.float0:
            raise DTypeError(
                f"{name}: for the {primal} of dtype {dtypes.dtype_name(aval.dtype)} the {word} must have "
                f"dtype float0, got {dtype}{_at(tree, leaf)}. Use numpy.zeros(shape, dtypes.float0), or "
                "differentiate by other arguments only."
            )
        return Zero(aval.tangent)
    array = to_array(value, f"{name}: a {word}")
    if array.aval.shape != aval.shape:
        raise ShapeError(
            f"{name}: each {word} must have the shape of its {primal}: expected {aval.shape}, got "
            f"{array.aval.shape}{_at(tree, leaf)}"
        )
    if array.aval.dtype != aval.dtype:
        if array.aval.weak_type and not isinstance(value, Array):
            array = to_array(aval.dtype.type(value), name) if aval.dtype.isbuiltin == 1 else array
        if array.aval.dtype != aval.dtype:
            raise DTypeError(
                f"{name}: each {word} must have the dtype of its {primal}: expected "
                f"{dtypes.dtype_name(aval.dtype)}, got {dtypes.dtype_name(array.aval.dtype)}"
                f"{_at(tree, leaf)}. Convert it with .astype({dtypes.dtype_name(aval.dtype)!r})."
            )
    return strong(array)


def _at(tree: Any, leaf: int) -> str:
    """The key path of a leaf, for messages."""
    if tree is None:
        return ""
    numbered = pytree.unflatten(tree, range(tree.num_leaves))
    path = pytree.keystr(pytree.tree_leaves_with_path(numbered)[leaf][0])
    return f" at {path}" if path else ""


class _Flat:
    """A function of pytrees as one of arrays; it remembers the structure of what was returned.

    Results of registered types are replaced by coordinates, whose derivatives are wanted; their own arrays go
    with the auxiliary data.
    """

    __slots__ = ("name", "fun", "in_tree", "has_aux", "out_tree", "count", "rebuild_aux", "returns_points")

    def __init__(self, name: str, fun: Callable[..., Any], in_tree: Any, has_aux: bool) -> None:
        self.name = name
        self.fun = fun
        self.in_tree = in_tree
        self.has_aux = has_aux
        self.out_tree: Any = None
        self.count = 0  # leaves of the output; those of the auxiliary data follow
        self.rebuild_aux: Any = None
        self.returns_points = False

    def __call__(self, *xs: Any) -> list[Any]:
        out = self.fun(*pytree.unflatten(self.in_tree, xs))
        aux: Any = None
        if self.has_aux:
            out, aux = split_aux(self.name, out)
        if TYPES and contains_points(out):
            self.returns_points = True
            aux = (arrays_of(out), aux)
            out = located(out)
        leaves, self.out_tree = flatten_output(out, f"{self.name}: the function's output")
        self.count = len(leaves)
        if self.has_aux or self.returns_points:
            aux_leaves, self.rebuild_aux = flatten_aux(aux)
            return [*leaves, *aux_leaves]
        return leaves

    def output(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """The output and the auxiliary data (or None), of the values of all leaves."""
        aux: Any = None if self.rebuild_aux is None else self.rebuild_aux(values[self.count :])
        if self.returns_points:
            out, aux = aux
            return out, aux
        return unflatten_output(self.out_tree, values[: self.count]), aux


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun` at `primals` and its pullback there.

    Args:
        fun: a function of pytrees of arrays.
        primals: the point, one pytree for each argument.
        has_aux: whether `fun` returns (output, auxiliary data).

    Returns:
        `(output, pullback)`, or `(output, pullback, aux)`. `pullback(cotangent)` takes a cotangent in the
        structure of the output and returns a tuple with a cotangent for each argument.
    """
    check_callable("vjp", fun)
    out, derivative, aux = _linearized("vjp", fun, primals, has_aux)
    signature, residuals = derivative
    pullback = Pullback(signature, residuals)
    return (out, pullback, aux) if has_aux else (out, pullback)


def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun` at `primals` and its derivative there, as a function of tangents.

    `fun` runs once; each call of the derivative costs only the linear part.

    Returns:
        `(output, pushforward)`, or `(output, pushforward, aux)`. `pushforward.T` is the pullback at the same
        point, as `vjp` returns it.
    """
    check_callable("linearize", fun)
    out, (signature, residuals), aux = _linearized("linearize", fun, primals, has_aux)
    pushforward = Pushforward(signature, residuals)
    return (out, pushforward, aux) if has_aux else (out, pushforward)


def _linearized(name: str, fun: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool) -> Any:
    if TYPES:
        fun, primals = on_coordinates(fun, range(len(primals)), primals)
    leaves, in_tree = pytree.flatten(primals)
    arrays = [v if isinstance(v, Array) else to_array(v, f"{name}: a primal input") for v in leaves]
    flat = _Flat(name, fun, in_tree, has_aux)
    values, derivative = _linearize.linearize(flat, arrays)
    count = flat.count
    outs = values[:count]
    program = derivative.program
    if flat.rebuild_aux is not None:
        kept = sum(derivative.out_nonzero[:count])
        if kept < len(program.outvars):
            program = outputs_only(program, tuple(range(kept)))
    signature = _Signature(
        program,
        in_tree,
        flat.out_tree,
        [a.aval for a in arrays],
        [o.aval for o in outs],
        derivative.in_nonzero,
        derivative.out_nonzero[:count],
        name_of(fun),
    )
    out, aux = flat.output(values)
    return out, (signature, derivative.residuals), aux


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> Any:
    """Push tangents forward along `fun`.

    Args:
        fun: a function of pytrees of arrays.
        primals: the point: a tuple or list with one pytree for each argument.
        tangents: the direction, in the same structure, shapes and dtypes.
        has_aux: whether `fun` returns (output, auxiliary data).

    Returns:
        `(output, output_tangent)`, or `(output, output_tangent, aux)`.
    """
    check_callable("jvp", fun)
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise TypeError(
            f"jvp expects primals and tangents as tuples or lists, one entry for each argument; got "
            f"{type(primals).__name__} and {type(tangents).__name__}"
        )
    primals, tangents = tuple(primals), tuple(tangents)
    if TYPES:
        fun, primals = on_coordinates(fun, range(len(primals)), primals)
    leaves, tree = pytree.flatten(primals)
    tangent_leaves, tangent_tree = pytree.flatten(tangents)
    if tree is not tangent_tree:
        check_structure("jvp", tree, tangent_tree, "primals", "tangents")
    arrays = [v if isinstance(v, Array) else to_array(v, "jvp: a primal input") for v in leaves]
    given = check_tangents("jvp", tangent_leaves, [a.aval for a in arrays], tree)
    flat = _Flat("jvp", fun, tree, has_aux)
    values, pushed = _jvp.jvp(flat, arrays, given)
    out_tangents = [
        t if type(t) is not Zero and t.aval is v.aval else _output_tangent(t, v.aval)
        for v, t in zip(values[: flat.count], pushed, strict=False)
    ]
    tangent = unflatten_output(flat.out_tree, out_tangents)
    out, aux = flat.output(values)
    return (out, tangent, aux) if has_aux else (out, tangent)


def _output_tangent(tangent: Any, aval: ShapedArray) -> Any:
    """A tangent as users get it, for a result of type `aval`."""
    if aval.tangent is not aval or aval.dtype == dtypes.float0:
        return float0_zeros(aval.shape)
    return match_weak_type(instantiate(tangent), aval)


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of a function that is linear.

    Args:
        fun: a linear function of pytrees of arrays.
        primals: arrays, or objects with shape and dtype: only these are looked at.

    Returns:
        A function from a cotangent, in the structure of `fun`'s output, to a tuple with a cotangent for each
        input.

    Raises:
        TypeError: `fun` applies an operation that is not linear (when the result is called).
    """
    check_callable("linear_transpose", fun)
    leaves, in_tree = pytree.flatten(primals)
    avals = [_aval(v) for v in leaves]
    tape = LinearTrace(CURRENT.get())
    inputs = [tape.new_input(a) for a in avals]
    token = CURRENT.set(tape)
    try:
        outs, out_tree = flatten_output(
            fun(*pytree.unflatten(in_tree, inputs)), "linear_transpose: the output"
        )
        program = tape.finish(outs, name_of(fun))
    finally:
        tape.active = False
        CURRENT.reset(token)

    def transposed(cotangent: Any) -> tuple[Any, ...]:
        ct_leaves, ct_tree = flatten_output(cotangent, "linear_transpose: a cotangent")
        expected = _leaf_tree() if out_tree is None else out_tree
        check_structure(
            "linear_transpose",
            expected,
            _leaf_tree() if ct_tree is None else ct_tree,
            "the output",
            "the cotangent",
        )
        cts = check_tangents("linear_transpose", ct_leaves, program.out_avals, ct_tree, cotangent=True)
        results = backward_pass(program, program.consts, cts)
        return pytree.unflatten(in_tree, [instantiate(r) for r in results])

    return transposed


def _aval(value: Any) -> ShapedArray:
    if isinstance(value, Array):
        return value.aval
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return ShapedArray(value.shape, dtypes.canonicalize_dtype(value.dtype))
    return to_array(value, "linear_transpose: a primal").aval


__all__ = ["Pullback", "Pushforward", "jvp", "linear_transpose", "linearize", "vjp"]
