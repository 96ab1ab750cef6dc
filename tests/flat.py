"""Transformations of flat functions: arrays in, a list of arrays out.

They compose to any depth, and know nothing of pytrees: what they test is the rules and nothing above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pullback._src.core import engine
from pullback._src.core.array import Array
from pullback._src.core.aval import Zero
from pullback._src.core.program import Literal, Program
from pullback._src.core.staging import stage
from pullback._src.core.verify import verify
from pullback._src.ops.structural import instantiate
from pullback._src.transforms.batch import Axis, batch, to_dim
from pullback._src.transforms.jvp import jvp
from pullback._src.transforms.linearize import linearize
from pullback._src.transforms.transpose import backward_pass

Flat = Callable[..., list[Any]]


def flat(function: Callable[..., Any]) -> Flat:
    """`function` with its result (an array or a sequence of arrays) as a list."""

    def run(*args: Any) -> list[Any]:
        out = function(*args)
        return [out] if isinstance(out, Array) else list(out)

    return run


def jvp_of(function: Flat, argnums: Sequence[int]) -> Flat:
    """(args..., tangents of `argnums`...) -> (results..., tangents of the inexact results...)."""

    def run(*flat_args: Any) -> list[Any]:
        args = flat_args[: len(flat_args) - len(argnums)]
        given = dict(zip(argnums, flat_args[len(args) :], strict=True))
        tangents = [given.get(i, Zero(a.aval.tangent)) for i, a in enumerate(args)]
        outs, out_tangents = jvp(function, args, tangents)
        return [*outs, *inexact(outs, out_tangents)]

    return run


def vjp_of(function: Flat, argnums: Sequence[int], count: int) -> Flat:
    """(args..., cotangents of the inexact results...) -> cotangents of `argnums`; `count` is that of args."""

    def run(*flat_args: Any) -> list[Any]:
        args, given = flat_args[:count], iter(flat_args[count:])
        outs, linear = linearize(function, args, [i in argnums for i in range(count)])
        cts = [next(given) if is_inexact(o) else Zero(o.aval.tangent) for o in outs]
        wanted = [ct for ct, nonzero in zip(cts, linear.out_nonzero, strict=True) if nonzero]
        # The linear program's inputs come in the order of the arguments.
        grads = dict(
            zip(sorted(argnums), backward_pass(linear.program, linear.residuals, wanted), strict=True)
        )
        return [instantiate(grads[i]) for i in argnums]

    return run


def pushforward_of(function: Flat, argnums: Sequence[int]) -> Flat:
    """As `jvp_of`, by linearizing and running the linear program forwards; only the tangents."""

    def run(*flat_args: Any) -> list[Any]:
        args = flat_args[: len(flat_args) - len(argnums)]
        tangents = flat_args[len(args) :]
        outs, linear = linearize(function, args, [i in argnums for i in range(len(args))])
        ordered = [tangents[list(argnums).index(i)] for i in sorted(argnums)]
        from_program = iter(run_program(linear.program, ordered, linear.residuals))
        out_tangents = [
            next(from_program) if nz else Zero(o.aval.tangent)
            for o, nz in zip(outs, linear.out_nonzero, strict=True)
        ]
        return inexact(outs, out_tangents)

    return run


def vmap_of(function: Flat, dims: Sequence[int | None], size: int, out_dim: int = 0) -> Flat:
    """`function` mapped over `dims` of its arguments; the mapped dimension of results is `out_dim`."""

    def run(*args: Any) -> list[Any]:
        values, out_dims = batch(function, Axis(size), args, dims)
        return [to_dim(v, d, out_dim, size) for v, d in zip(values, out_dims, strict=True)]

    return run


def staged(function: Flat, *args: Any) -> Program:
    """The verified program of `function` for arguments of the types of `args`."""
    return verify(stage(function, [a.aval for a in args], name="matrix"))


def jit_of(function: Flat) -> Flat:
    """`function` staged, verified, compiled by the NumPy engine and run."""
    return lambda *args: engine.get("numpy").compile(staged(function, *args))(args)


def run_program(program: Program, args: Sequence[Any], consts: Sequence[Any] | None = None) -> list[Any]:
    """Evaluate, comparing the type of each equation's results with what the shape rule says."""
    values = dict(zip(program.constvars, program.consts if consts is None else consts, strict=True))
    values.update(zip(program.invars, args, strict=True))
    read = lambda atom: atom.value if isinstance(atom, Literal) else values[atom]
    for eqn in program.eqns:
        out = eqn.primitive.bind(*[read(a) for a in eqn.invars], **eqn.params)
        for var, value in zip(eqn.outvars, out if eqn.primitive.multiple_results else [out], strict=True):
            assert value.aval.shape == var.aval.shape and value.aval.dtype == var.aval.dtype, (
                f"{eqn}: the shape rule says {var.aval}, evaluation gives {value.aval}"
            )
            data = getattr(value, "_data", None)
            assert data is None or isinstance(data, np.ndarray), f"{eqn}: a kernel returned {type(data)}"
            values[var] = value
    return [read(atom) for atom in program.outvars]


def is_inexact(value: Any) -> bool:
    """Whether the value has tangents (is floating-point or complex)."""
    return value.aval.tangent is value.aval


def inexact(outs: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
    """The tangents of the inexact results as arrays; those of the others are checked to be zero."""
    kept = []
    for out, tangent in zip(outs, tangents, strict=True):
        assert tangent.aval.shape == out.aval.shape, (
            f"a tangent of type {tangent.aval} for a result of type {out.aval}"
        )
        if is_inexact(out):
            assert tangent.aval.dtype == out.aval.dtype, (
                f"a tangent of type {tangent.aval} for a result of type {out.aval}"
            )
            kept.append(instantiate(tangent))
        else:
            assert type(tangent) is Zero, f"the tangent of a result of type {out.aval} is not a symbolic zero"
    return kept
