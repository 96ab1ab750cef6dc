"""What functions with user-given rules share: their arguments, and the rules of their calls.

A primitive that stands for such a function carries Python callables (`FlatFunction`) until a staging trace
records it; so in un-jitted code the function and its rules see concrete values.
"""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from ..base import pytree
from ..base.errors import NotDifferentiableError, StructureError, UnexpectedTracerError
from ..base.source import LOCATION
from ..core import rules
from ..core.array import Array, as_array
from ..core.aval import ShapedArray, Zero
from ..core.call import eager_executable
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program
from ..core.staging import StagingTrace, stage
from ..core.trace import Tracer
from ..transforms.batch import Axis, batch, batch_program, to_dim
from ..transforms.transpose import transpose_program
from .call import split_nonzero


class FlatFunction:
    """A function of flat arguments that a primitive carries as a parameter.

    `carries_python` tells vmap that the function may hold batched values that are not among the operands.
    """

    __slots__ = ("call", "__name__")

    carries_python = True

    def __init__(self, call: Callable[..., Any], name: str) -> None:
        self.call = call
        self.__name__ = name

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)


def name_of(fun: Any) -> str:
    """A function's name for messages and programs."""
    return getattr(fun, "__name__", None) or type(fun).__name__


# Arguments ----------------------------------------------------------------------------------------


class Signature:
    """How a function's arguments become positional ones, and which of them are not differentiated."""

    __slots__ = ("fun", "parameters", "plain", "nondiff", "kind")

    def __init__(self, kind: str, fun: Any, nondiff_argnums: Any, nondiff_argnames: Any) -> None:
        if not callable(fun):
            raise TypeError(f"{kind} expects a function, got {fun!r} of type {type(fun).__name__}")
        self.kind = kind
        self.fun = fun
        try:
            self.parameters: inspect.Signature | None = inspect.signature(fun)
        except (TypeError, ValueError):
            self.parameters = None
        given = list(self.parameters.parameters.values()) if self.parameters else []
        # With only plain positional parameters a call with all of them needs no binding.
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.plain = len(given) if self.parameters and all(p.kind in positional for p in given) else -1
        nums = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        names = (nondiff_argnames,) if isinstance(nondiff_argnames, str) else tuple(nondiff_argnames)
        known = [p.name for p in given]
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{kind}: nondiff_argnames has {name!r}, but {name_of(fun)} has the parameters {known}"
                )
        numbers = [operator.index(n) for n in nums]
        positions = [n + len(known) if n < 0 else n for n in numbers] + [known.index(n) for n in names]
        if self.plain >= 0 and any(not 0 <= p < self.plain for p in positions):
            raise ValueError(
                f"{kind}: nondiff_argnums={nums} is out of range for {name_of(fun)}, with parameters {known}"
            )
        self.nondiff = tuple(sorted(set(positions)))

    def resolve(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, defaults filled in."""
        if not kwargs and (len(args) == self.plain or self.parameters is None):
            return args
        if self.parameters is None:
            raise TypeError(
                f"{self.kind}: the signature of {name_of(self.fun)} is unknown; pass its arguments by "
                "position"
            )
        try:
            bound = self.parameters.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name_of(self.fun)}(): {error}") from None
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"{self.kind}: the keyword arguments {sorted(bound.kwargs)} of {name_of(self.fun)} cannot be "
                "passed by "
                "position, as rules need them. Make them positional parameters."
            )
        return bound.args


class Arguments:
    """One call's arguments, taken apart into operands.

    The operands are, in order, the arrays in the non-differentiable arguments (only if a tracer is among
    them; otherwise those arguments are kept as they are) and the leaves of the others.

    Attributes:
        operands: the arrays.
        hidden: how many of them belong to non-differentiable arguments.
        out_tree, out_avals: what the function returned; set when it has run.
    """

    __slots__ = (
        "signature",
        "operands",
        "hidden",
        "tree",
        "count",
        "_nondiff",
        "_holes",
        "_nondiff_tree",
        "out_tree",
        "out_avals",
    )

    def __init__(self, signature: Signature, args: tuple[Any, ...]) -> None:
        self.signature = signature
        self.count = len(args)
        self.out_tree: Any = None
        self.out_avals: list[ShapedArray] | None = None
        nondiff = signature.nondiff
        self.operands: list[Any] = []
        self._holes: list[int] = []
        self._nondiff: list[Any] = []
        self._nondiff_tree: Any = None
        if nondiff:
            self._take_nondiff(tuple([args[i] for i in nondiff]))
            args = tuple([a for i, a in enumerate(args) if i not in nondiff])
        self.hidden = len(self.operands)
        leaves, self.tree = pytree.flatten(args)
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, Array):
                self.operands.append(leaf)
                continue
            try:
                self.operands.append(as_array(leaf))
            except TypeError:
                raise TypeError(
                    f"{signature.kind} function {name_of(signature.fun)}: argument{self.path(i)} is {leaf!r} "
                    "of type "
                    f"{type(leaf).__name__}, which is no array. Mark arguments that are no arrays with "
                    "nondiff_argnums."
                ) from None

    def _take_nondiff(self, args: tuple[Any, ...]) -> None:
        self._nondiff, self._nondiff_tree = pytree.flatten(args)
        if any(isinstance(v, Tracer) for v in self._nondiff):
            self._holes = [i for i, v in enumerate(self._nondiff) if isinstance(v, Array)]
            self.operands = [self._nondiff[i] for i in self._holes]
            self._nondiff = [None if isinstance(v, Array) else v for v in self._nondiff]

    @property
    def avals(self) -> list[ShapedArray]:
        """The types of the differentiable operands."""
        return [o.aval for o in self.operands[self.hidden :]]

    def nondiff_args(self, flat: Sequence[Any]) -> tuple[Any, ...]:
        """The non-differentiable arguments, from all operands' values (or the hidden ones alone)."""
        if self._nondiff_tree is None:
            return ()
        leaves = list(self._nondiff)
        for hole, value in zip(self._holes, flat, strict=False):
            leaves[hole] = value
        return pytree.unflatten(self._nondiff_tree, leaves)

    def diff_args(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        """The differentiable arguments from their leaves."""
        return pytree.unflatten(self.tree, leaves)

    def all_args(self, nondiff: tuple[Any, ...], leaves: Sequence[Any]) -> tuple[Any, ...]:
        """All arguments by position."""
        diff = self.diff_args(leaves)
        if not nondiff:
            return diff
        mine, rest = iter(nondiff), iter(diff)
        return tuple([next(mine) if i in self.signature.nondiff else next(rest) for i in range(self.count)])

    def apply(self, rule: Callable[..., Any], *args: Any) -> Any:
        """Run a rule; if it meets a tracer in its closure that has ended, say what to do."""
        place = LOCATION.set(None)  # the rule's operations have lines of their own
        try:
            return rule(*args)
        except UnexpectedTracerError as error:
            raise closure_error(self.signature.kind, name_of(self.signature.fun), [rule], error) from error
        finally:
            LOCATION.reset(place)

    def run(self, *flat: Any) -> list[Any]:
        """The function on operands; remembers the structure of its result."""
        fun = self.signature.fun
        out = fun(*self.all_args(self.nondiff_args(flat), flat[self.hidden :]))
        leaves, self.out_tree = results(
            out, lambda: f"the output of the {self.signature.kind} function {name_of(fun)}"
        )
        self.out_avals = [v.aval for v in leaves]
        return leaves

    def check_primal_output(self, rule: str, leaves: Sequence[Any], tree: Any) -> None:
        """Raise unless a rule's primal output has the type of the function's (where that is known)."""
        name = name_of(self.signature.fun)
        if self.out_avals is None:
            self.out_tree = tree
            return
        if tree != self.out_tree:
            raise StructureError(
                f"{rule} must return a primal output of the same structure as the function {name}: "
                + pytree.explain_structure_difference(
                    self.out_tree, tree, "the function's output", "the rule's primal output"
                )
            )
        for i, (value, aval) in enumerate(zip(leaves, self.out_avals, strict=True)):
            if value.aval.shape != aval.shape or value.aval.dtype != aval.dtype:
                raise TypeError(
                    f"{rule} must return a primal output of the same type as the function {name}: at "
                    f"output{leaf_path(tree, i)} expected {aval.str_short(False)}, got "
                    f"{value.aval.str_short(False)}"
                )

    def path(self, leaf: int) -> str:
        """The key path of a differentiable leaf, for messages."""
        return leaf_path(self.tree, leaf)


def leaf_path(tree: Any, leaf: int) -> str:
    """The key path of a leaf of a structure, as text."""
    found = pytree.tree_leaves_with_path(pytree.unflatten(tree, range(tree.num_leaves)))
    return next((pytree.keystr(path) for path, index in found if index == leaf), f"[leaf {leaf}]")


def at(label: str, tree: Any, leaf: int) -> Callable[[], str]:
    """What a leaf is to be called in a message, worked out when it is needed."""
    return lambda: label + leaf_path(tree, leaf)


def results(out: Any, what: Callable[[], str]) -> tuple[list[Any], Any]:
    """The leaves of a function's output as arrays, and its structure."""
    leaves, tree = pytree.flatten(out)
    for i, leaf in enumerate(leaves):
        if not isinstance(leaf, Array):
            try:
                leaves[i] = as_array(leaf)
            except TypeError:
                raise TypeError(
                    f"{what()}{leaf_path(tree, i)} is {leaf!r} of type {type(leaf).__name__}; expected an "
                    "array or a number"
                ) from None
    return leaves, tree


class CustomFunction:
    """Base of the decorators: behaves like the function that it wraps."""

    kind = ""

    def __init__(
        self, fun: Callable[..., Any], nondiff_argnums: Any = (), nondiff_argnames: Any = ()
    ) -> None:
        self.signature = Signature(self.kind, fun, nondiff_argnums, nondiff_argnames)
        functools.update_wrapper(cast(Any, self), fun)
        self.fun = fun
        self.nondiff_argnums = self.signature.nondiff

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(cast(Any, self), instance)

    def __repr__(self) -> str:
        return f"<{self.kind} function {name_of(self.fun)}>"


# Rules that do not depend on the kind of function ----------------------------------------------------


def run_call(call: Any, args: Sequence[Any]) -> list[Any]:
    """Evaluate the function (a `FlatFunction`, or its program) on concrete arrays."""
    return eager_executable(call)(args) if isinstance(call, Program) else call(*args)


def staged_call(
    kind: str, trace: StagingTrace, args: Sequence[Any], params: dict[str, Any]
) -> tuple[Sequence[Any], dict[str, Any]]:
    """Operands and parameters with the function staged; its constants become leading operands."""
    call = params["call_jaxpr"]
    if isinstance(call, Program):
        return args, params
    program = stage(
        call, [a.aval for a in args], name=params["name"], purpose=f"the {kind} function {params['name']}"
    )
    staged = {**params, "call_jaxpr": program.with_consts_as_inputs(), "num_consts": len(program.consts)}
    return (*program.consts, *args), staged


class MappedOutputs:
    """Which outputs of a function are mapped (over dimension 0), the same for the function and its rules.

    If an operand is mapped all outputs are. Otherwise an output is mapped only if it depends on the axis
    through a collective or a closed-over value; the function, or the rule that runs in its place, tells.
    """

    __slots__ = ("axis", "flags", "_all")

    def __init__(self, axis: Axis, dims: Sequence[int | None]) -> None:
        self.axis = axis
        self.flags: list[bool] | None = None
        self._all = any(d is not None for d in dims)

    def decide(self, found: Sequence[bool]) -> None:
        """Settle which outputs are mapped, from what was found when something ran."""
        if self._all:
            self.flags = [True] * len(found)
        elif self.flags is None:
            self.flags = list(found)

    def place(self, value: Any, dim: int | None, output: int) -> Any:
        """An output (or its tangent) where its mapped dimension should be."""
        assert self.flags is not None
        if self.flags[output]:
            return to_dim(value, dim, 0, self.axis.size)
        if dim is not None:
            raise StructureError(
                f"output {output} of a rule depends on an axis of vmap through a closed-over value, but the "
                "function's "
                "own output does not. Pass the value as an argument."
            )
        return value

    @property
    def dims(self) -> list[int | None]:
        assert self.flags is not None
        return [0 if flag else None for flag in self.flags]


def batched_call(call: Any, axis: Axis, dims: Sequence[int | None], mapped: MappedOutputs) -> Any:
    """The function mapped over `dims`."""
    if isinstance(call, Program):
        _, found_dims = batch_program(call, axis, tuple(dims))
        mapped.decide([d is not None for d in found_dims])
        return batch_program(call, axis, tuple(dims), tuple(mapped.dims))[0]

    def run(*flat: Any) -> list[Any]:
        outs, found = batch(call, axis, flat, dims)
        mapped.decide([d is not None for d in found])
        return [mapped.place(o, d, i) for i, (o, d) in enumerate(zip(outs, found, strict=True))]

    return FlatFunction(run, call.__name__)


def transpose_call(program: Program, cts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The transpose rule of a call of `program` that is inlined."""
    linear = tuple(type(a) is rules.Linear for a in args)
    ct_mask, given = split_nonzero(cts)
    transposed, nonzero = transpose_program(program, linear, ct_mask)
    known = [a for a, lin in zip(args, linear, strict=True) if not lin]
    outs, flags = iter(evaluate(transposed, [*known, *given])), iter(nonzero)
    return [(next(outs) if next(flags) else None) if lin else None for lin in linear]


def register_call(primitive: Primitive, kind: str) -> None:
    """The rules of a call of a user's function (`call_jaxpr`) in which its derivative has no part."""

    def evaluate_call(*args: Any, call_jaxpr: Any, **params: Any) -> list[Any]:
        return run_call(call_jaxpr, args)

    def abstract(*avals: ShapedArray, call_jaxpr: Program, **params: Any) -> list[ShapedArray]:
        return call_jaxpr.out_avals

    def staging(trace: StagingTrace, args: Sequence[Any], params: dict[str, Any]) -> list[Any]:
        operands, staged = staged_call(kind, trace, args, params)
        return trace.record(primitive, operands, staged)

    def transpose(cts: Sequence[Any], *args: Any, call_jaxpr: Program, **params: Any) -> list[Any]:
        return transpose_call(call_jaxpr, cts, args)

    rules.evaluate[primitive] = evaluate_call
    rules.abstract[primitive] = abstract
    rules.staging[primitive] = staging
    rules.transpose[primitive] = transpose


def check_closure(kind: str, name: str, tangents: Sequence[Any]) -> None:
    """Raise if a value over which the function closes is being differentiated by."""
    for t in tangents:
        if type(t) is not Zero:
            raise NotDifferentiableError(
                f"the {kind} function {name} closes over a value of type {t.aval.str_short()} by which it is "
                "being "
                "differentiated, but its rule covers its arguments only. Pass the value as an argument, or "
                "use "
                "closure_convert to turn closed-over values into arguments."
            )


def closed_over_tracers(fun: Any, depth: int = 4) -> Iterator[tuple[str, Tracer]]:
    """The tracers in a function's closure, with the names of the variables that hold them."""
    while isinstance(fun, (functools.partial, CustomFunction)):
        fun = fun.func if isinstance(fun, functools.partial) else fun.fun
    code, cells = getattr(fun, "__code__", None), getattr(fun, "__closure__", None)
    if code is None or not cells or depth == 0:
        return
    for name, cell in zip(code.co_freevars, cells, strict=True):
        try:
            content = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        if callable(content) and not isinstance(content, Array):
            yield from closed_over_tracers(content, depth - 1)
            continue
        for leaf in pytree.leaves_of(content):
            if isinstance(leaf, Tracer):
                yield name, leaf


def closure_error(
    kind: str, name: str, functions: Sequence[Any], error: UnexpectedTracerError
) -> UnexpectedTracerError:
    """A better error for a leak that comes from a closure; the same error otherwise."""
    found = {n: t for f in functions if f is not None for n, t in closed_over_tracers(f)}
    if not found:
        return error
    listed = ", ".join(f"{n!r} ({t.aval.str_short()}, {t.describe()})" for n, t in found.items())
    return UnexpectedTracerError(
        f"the {kind} function {name}, or one of its rules, closes over the traced "
        f"value{'s' if len(found) > 1 else ''} "
        f"{listed}. A rule says how to differentiate by the arguments only, so a closed-over value cannot be "
        "differentiated by, or be used by a rule that runs after the transformation that made it has ended. "
        "Pass the "
        "value as an argument of the function, or turn the closure's values into arguments with "
        "closure_convert."
    )
