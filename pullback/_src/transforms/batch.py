"""Batching: running a function on many inputs at once (vmap)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..base import source
from ..base.errors import PullbackError
from ..base.pytree import mark_leaf_type
from ..core import rules
from ..core.aval import ShapedArray, shaped_array
from ..core.axis_env import bind_axis, named_axes
from ..core.evaluate import evaluate
from ..core.primitive import Primitive
from ..core.program import Program, subprograms
from ..core.specialize import SecondUse, operation
from ..core.staging import stage
from ..core.trace import CURRENT, Trace, Tracer, delegate
from ..ops.structural import broadcast_in_dim, moveaxis


class Axis:
    """A mapped axis: its size and, if the user gave one, its name."""

    __slots__ = ("size", "name")

    def __init__(self, size: int, name: Any = None) -> None:
        self.size = size
        self.name = name


class BatchTracer(Tracer):
    """A value with a mapped dimension `dim` that the function does not see."""

    __slots__ = ("value", "dim", "_aval")

    _trace: BatchTrace

    def __init__(self, trace: BatchTrace, value: Any, dim: int, aval: ShapedArray | None = None) -> None:
        self._trace = trace
        self.value = value
        self.dim = dim
        self._aval = aval

    @property
    def aval(self) -> ShapedArray:  # type: ignore[override]  # made when somebody asks
        aval = self._aval
        if aval is None:
            aval = self._aval = _unmapped(self.value.aval, self.dim)
        return aval

    def describe(self) -> str:
        return f"batched by vmap over an axis of size {self._trace.axis.size}"


def _unmapped(aval: ShapedArray, dim: int) -> ShapedArray:
    """The type of a value as the mapped function sees it."""
    shape = aval.shape
    return shaped_array(shape[:dim] + shape[dim + 1 :], aval.dtype, aval.weak_type)


mark_leaf_type(BatchTracer)


class BatchTrace(Trace):
    """Applies each primitive's batch rule.

    A tracer belongs to an axis rather than to a trace: a function with its own rules is mapped in a trace of
    its own, wherever its rules run, and may close over values that are mapped by the same vmap.
    """

    __slots__ = ("parent", "axis")

    name = "batching (vmap)"

    def __init__(self, parent: Trace, axis: Axis) -> None:
        super().__init__(eager=parent.eager)
        self.parent = parent
        self.axis = axis
        self.location = source.capture()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]) -> Any:
        axis = self.axis
        parent = self.parent
        values: list[Any] = []
        dims: list[int | None] = []
        avals: list[ShapedArray] = []
        mapped = False
        for a in args:
            if type(a) is BatchTracer and a._trace.axis is axis:
                mapped = True
                a, dim = a.value, a.dim
            else:
                dim = None
            values.append(a)
            dims.append(dim)
            avals.append(a.aval)
        collective = axis.name is not None and primitive in rules.collective and axis.name in params["axes"]
        if not mapped and not collective and not (primitive.call_like and self._reached_inside(params)):
            return delegate(parent, primitive, args, params)
        if mapped and self.eager:
            step = _steps.get((primitive, axis.size, tuple(dims), *avals, *params.items()), params)
            if step is not None:
                outs = parent.run(step.program, values)
                if step.only_dim is not None:
                    return BatchTracer(self, outs[0], step.only_dim, step.out_avals[0])
                results = [
                    o if d is None else BatchTracer(self, o, d, aval)
                    for o, d, aval in zip(outs, step.out_dims, step.out_avals, strict=True)
                ]
                return results if primitive.multiple_results else results[0]
        rule = (rules.collective if collective else rules.batch).get(primitive)
        token = CURRENT.set(parent)
        try:
            if rule is not None:
                out, out_dim = rule(axis, values, dims, **params)
            elif primitive in rules.decompose:
                CURRENT.set(self)
                return rules.decompose[primitive](*args, **params)
            else:
                raise NotImplementedError(
                    f"the operation {primitive.name!r} has no batching rule; if it is yours, give it one "
                    "(rules.batch), else call the function in a loop instead of vmap"
                )
        except PullbackError as error:
            raise self._explain(error, primitive, args, params) from error
        finally:
            CURRENT.reset(token)
        if primitive.multiple_results:
            return [o if d is None else BatchTracer(self, o, d) for o, d in zip(out, out_dim, strict=True)]
        return out if out_dim is None else BatchTracer(self, out, out_dim)

    def run(self, program: Program, args: Sequence[Any]) -> list[Any]:
        axis = self.axis
        values: list[Any] = []
        dims: list[int | None] = []
        mapped = False
        for a in args:
            if type(a) is BatchTracer and a._trace.axis is axis:
                mapped = True
                values.append(a.value)
                dims.append(a.dim)
            else:
                values.append(a)
                dims.append(None)
        if not mapped and (axis.name is None or axis.name not in named_axes(program)):
            return self.parent.run(program, args)
        batched, out_dims = batch_program(program, axis, tuple(dims))
        outs = self.parent.run(batched, values)
        return [o if d is None else BatchTracer(self, o, d) for o, d in zip(outs, out_dims, strict=True)]

    def _explain(
        self, error: PullbackError, primitive: Primitive, args: tuple[Any, ...], params: dict[str, Any]
    ) -> Exception:
        """What the shape rule says about the operands as the mapped function sees them, if it objects."""
        try:
            if primitive in rules.abstract and primitive not in rules.staging:
                rules.abstract[primitive](*[a.aval for a in args], **params)
        except PullbackError as better:
            return better
        return error

    def _reached_inside(self, params: dict[str, Any]) -> bool:
        """Whether a call without batched operands may still depend on this axis.

        It does if its program has collectives over the axis; a Python function may also close over batched
        values.
        """
        name = self.axis.name
        if name is not None and any(name in named_axes(p) for p in subprograms(params)):
            return True
        return any(getattr(p, "carries_python", False) for p in params.values())

    def split(self, value: Any) -> tuple[Any, int | None]:
        if type(value) is BatchTracer and value._trace.axis is self.axis:
            return value.value, value.dim
        return value, None


def to_dim(value: Any, dim: int | None, wanted: int, size: int) -> Any:
    """`value` with its mapped dimension at `wanted` (broadcast along it if it had none)."""
    if dim is None:
        aval = value.aval
        shape = (*aval.shape[:wanted], size, *aval.shape[wanted:])
        dims = tuple(d for d in range(aval.ndim + 1) if d != wanted)
        return broadcast_in_dim(value, shape, dims)
    return value if dim == wanted else moveaxis(value, dim, wanted)


def batch(
    function: Callable[..., Sequence[Any]], axis: Axis, values: Sequence[Any], dims: Sequence[int | None]
) -> tuple[list[Any], list[int | None]]:
    """Run `function` of flat arguments mapped over `dims`; returns values and their mapped dimensions."""
    trace = BatchTrace(CURRENT.get(), axis)
    arguments = [v if d is None else BatchTracer(trace, v, d) for v, d in zip(values, dims, strict=True)]
    token = CURRENT.set(trace)
    try:
        if axis.name is None:
            outputs = function(*arguments)
        else:
            with bind_axis(axis.name, axis.size):
                outputs = function(*arguments)
    finally:
        CURRENT.reset(token)
        trace.active = False
    pairs = [trace.split(o) for o in outputs]
    return [v for v, _ in pairs], [d for _, d in pairs]


def batch_program(
    program: Program, axis: Axis, dims: tuple[int | None, ...], out_dims: tuple[int | None, ...] | None = None
) -> tuple[Program, tuple[int | None, ...]]:
    """The batched program and the mapped dimensions of its results.

    `out_dims`, where given, forces the results' dimensions: an int moves or broadcasts, None leaves free.
    """
    key = ("batch", axis.size, axis.name, dims, out_dims)
    if key not in program.memo:
        found: list[int | None] = []

        def run(*values: Any) -> list[Any]:
            nonlocal found
            outs, found = batch(lambda *xs: evaluate(program, xs), axis, values, dims)
            if out_dims is not None:
                outs = [
                    o if w is None else to_dim(o, d, w, axis.size)
                    for o, d, w in zip(outs, found, out_dims, strict=True)
                ]
                found = [d if w is None else w for d, w in zip(found, out_dims, strict=True)]
            return outs

        def batched(aval: ShapedArray, dim: int | None) -> ShapedArray:
            if dim is None:
                return aval
            return shaped_array((*aval.shape[:dim], axis.size, *aval.shape[dim:]), aval.dtype, aval.weak_type)

        avals = [batched(a, d) for a, d in zip(program.in_avals, dims, strict=True)]
        program.memo[key] = (
            stage(run, avals, name=program.name, purpose="vmap").with_consts_as_literals(),
            tuple(found),
        )
    return program.memo[key]


class _Step:
    """A plain operation mapped over an axis, as one program of fixed types.

    Attributes:
        program: the mapped operation.
        out_dims: the mapped dimensions of its results.
        out_avals: the types of the results as the mapped function sees them.
        only_dim: the mapped dimension of the result if it is the only one, else None.
    """

    __slots__ = ("program", "out_dims", "out_avals", "only_dim")

    def __init__(self, key: tuple[Any, ...], params: dict[str, Any]) -> None:
        primitive, size, dims = key[:3]
        avals = [
            a if d is None else _unmapped(a, d) for a, d in zip(key[3 : 3 + len(dims)], dims, strict=True)
        ]
        self.program, self.out_dims = batch_program(operation(primitive, avals, params), Axis(size), dims)
        self.out_avals = [
            a if d is None else _unmapped(a, d)
            for a, d in zip(self.program.out_avals, self.out_dims, strict=True)
        ]
        self.only_dim = None if primitive.multiple_results else self.out_dims[0]


_steps: SecondUse[_Step] = SecondUse(_Step)
