"""Staging: what is recorded, constants and literals, checks between passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import VerificationError
from pullback._src.core import rules
from pullback._src.core.array import ConcreteArray, as_array
from pullback._src.core.aval import ShapedArray
from pullback._src.core.primitive import Primitive
from pullback._src.core.program import Literal
from pullback._src.core.staging import StagingTrace, StagingTracer, stage
from pullback._src.core.trace import CURRENT, EVAL, using
from pullback._src.ops.transcendental import sin_p

F32 = ShapedArray((), np.float32)
F3 = ShapedArray((3,), np.float32)


def names(program: Any) -> list[str]:
    return [e.primitive.name for e in program.eqns]


def test_operations_are_recorded_in_order_and_not_run() -> None:
    ran: list[Any] = []
    probe_p = Primitive("test_staging_probe")
    rules.abstract[probe_p] = lambda x: x
    rules.evaluate[probe_p] = lambda x: ran.append(x) or x
    program = stage(lambda x: [sin_p.bind(probe_p.bind(x))], [F3], name="f")
    assert names(program) == ["test_staging_probe", "sin"] and ran == []
    assert program.name == "f" and CURRENT.get() is EVAL


def test_operations_on_constants_are_recorded_too() -> None:
    program = stage(lambda x: [x + pnp.zeros(10**6).sum()], [F32])
    assert program.consts == (), "the zeros are built when the program runs"
    assert "reduce_sum" in names(program)


def test_scalars_become_literals_and_arrays_constants() -> None:
    table, number = pnp.arange(3.0), as_array(np.float32(2.5))
    program = stage(lambda x: [x * 2.0 + table * number - table], [F3])
    assert [c is table for c in program.consts] == [True], (
        "one constant for one array, however often it is used"
    )
    literals = [v for e in program.eqns for v in e.invars if isinstance(v, Literal)]
    assert sorted(float(v.value) for v in literals) == [2.0, 2.5]


def test_keys_are_never_literals() -> None:
    key = pb.random.key(0)
    program = pb.make_jaxpr(lambda x: pb.random.uniform(key) + x)(1.0)
    assert any(c is key for c in program.consts)


def test_outputs_may_be_inputs_constants_and_literals() -> None:
    table = pnp.arange(3.0)
    program = stage(lambda x: [x, table, pnp.asarray(2.0), x], [F3])
    assert program.outvars[0] is program.outvars[3] is program.invars[0]
    assert program.outvars[1] is program.constvars[0]
    assert isinstance(program.outvars[2], Literal)
    assert program.eqns == ()


def test_nested_staging_takes_outer_tracers_as_constants() -> None:
    seen: list[Any] = []

    def outer(x: Any) -> list[Any]:
        inner = stage(lambda y: [y * x], [F3])
        seen.extend(inner.consts)
        return [x]

    stage(outer, [F3])
    assert len(seen) == 1 and type(seen[0]) is StagingTracer


def test_describe() -> None:
    trace = StagingTrace("jit (f)")
    trace.arg_names = lambda: ["x", "options['k']"]
    x, k = trace.new_input(F3), trace.new_input(F32)
    with using(trace):
        y = pnp.sin(x)
    assert x.describe() == "the argument x of a function traced for jit (f)"
    assert k.describe() == "the argument options['k'] of a function traced for jit (f)"
    assert y.describe().startswith("the result of sin (") and __file__ in y.describe()
    trace.arg_names = None
    assert k.describe() == "input 1 of a function traced for jit (f)"
    program = trace.finish([y])
    assert names(program) == ["sin"] and not trace.active


def test_the_trace_ends_also_after_an_error() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        raise KeyError("mine")

    with pytest.raises(KeyError):
        stage(f, [F32])
    assert CURRENT.get() is EVAL and not kept[0]._trace.active


def test_recording_time_is_linear() -> None:
    """Equations, not time, are counted: each operation records one."""

    def f(n: int) -> int:
        def chain(x: Any) -> list[Any]:
            for _ in range(n):
                x = x * 2.0
            return [x]

        return len(stage(chain, [F32]).eqns)

    assert [f(n) for n in (10, 100, 1000)] == [10, 100, 1000]


def test_programs_are_verified_on_request() -> None:
    wrong_p = Primitive("test_staging_wrong")
    shapes = iter([F3, F32])
    rules.abstract[wrong_p] = lambda x: next(shapes)
    with pb.enable_checks(True), pytest.raises(VerificationError, match="the shape rule gives"):
        stage(lambda x: [wrong_p.bind(x)], [F3])


def test_all_transformations_give_programs_that_pass_the_checks() -> None:
    def f(x: Any) -> Any:
        carry, ys = lax.scan(lambda c, r: (pnp.tanh(c * r), c), pnp.sum(x), x)
        return carry * lax.cond(carry > 0, pnp.sin, pnp.cos, carry) + pnp.sum(pb.jit(pnp.exp)(ys))

    x = np.linspace(0.1, 0.5, 3, dtype=np.float32)
    with pb.enable_checks(True):
        for _ in range(3):
            results = [
                pb.jit(f)(x),
                pb.grad(f)(x),
                pb.jit(pb.grad(f))(x),
                pb.hessian(f)(x),
                pb.vmap(pb.grad(f))(np.stack([x, x])),
                pb.jit(pb.vmap(pb.hessian(f)))(np.stack([x, x])),
                pb.jacrev(pb.jit(pb.grad(f)))(x),
                pb.vjp(f, x)[1](1.0)[0],
            ]
    assert all(type(r) is ConcreteArray and bool(pnp.isfinite(r).all()) for r in results)
