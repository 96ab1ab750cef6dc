"""Evaluation of programs: values, constants, lifetimes, under transformations."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core import rules
from pullback._src.core.aval import ShapedArray
from pullback._src.core.evaluate import evaluate, last_uses
from pullback._src.core.primitive import Primitive
from pullback._src.core.program import Equation, Literal, Program, Var

F32 = ShapedArray((), np.float32)


def program(function: Any, *args: Any) -> Program:
    return pb.make_jaxpr(function)(*args)


def test_values_agree_with_the_function() -> None:
    f = lambda x, y: (pnp.sin(x) * y, x, pnp.sum(x) + 2.0)
    x, y = pnp.arange(3.0), pnp.asarray(2.0)
    for a, b in zip(evaluate(program(f, x, y), [x, y]), f(x, y), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_constants_can_be_replaced() -> None:
    table = pnp.arange(2.0)
    p = program(lambda x: x + table, table)
    assert evaluate(p, [pnp.ones(2)])[0].tolist() == [1, 2]
    assert evaluate(p, [pnp.ones(2)], [pnp.asarray([5.0, 5.0])])[0].tolist() == [6, 6]


def test_outputs_may_be_inputs_literals_and_repeated() -> None:
    x = Var(F32)
    two = Literal(pnp.asarray(2.0), F32)
    out = evaluate(Program([x], [x, two, x], []), [pnp.asarray(1.0)])
    assert [float(o) for o in out] == [1, 2, 1]


def test_last_uses() -> None:
    p = program(lambda x: pnp.sin(pnp.cos(x)) * pnp.exp(x), 1.0)
    uses = last_uses(p)
    assert last_uses(p) is uses
    x = p.invars[0]
    dead_after = {v: i for i, vs in enumerate(uses) for v in vs}
    for v, i in dead_after.items():
        assert v in p.eqns[i].invars or v in p.eqns[i].outvars
        assert not any(v in e.invars for e in p.eqns[i + 1 :])
    assert x in dead_after and p.outvars[0] not in dead_after


def test_intermediate_values_are_dropped_after_their_last_use() -> None:
    alive: list[int] = []
    refs: list[weakref.ref[Any]] = []
    probe_p = Primitive("test_evaluate_probe")

    def probe(x: Any) -> Any:
        gc.collect()
        alive.append(sum(r() is not None for r in refs))
        out = x + 1.0
        refs.append(weakref.ref(out))
        return out

    rules.evaluate[probe_p] = probe
    variables = [Var(F32) for _ in range(6)]
    eqns = [Equation(probe_p, [a], [b], {}, None) for a, b in itertools.pairwise(variables)]
    (out,) = evaluate(Program(variables[:1], variables[-1:], eqns), [pnp.asarray(0.0)])
    assert float(out) == 5.0
    assert max(alive) <= 1, "each step should find only its own operand alive"


def test_unused_results_do_not_stay() -> None:
    p = program(lambda x: (pnp.exp(x), x)[1], pnp.ones(2))
    assert last_uses(p) == [(p.eqns[0].outvars[0],)]
    assert evaluate(p, [pnp.ones(2)])[0].tolist() == [1, 1]


def test_under_a_transformation_the_program_is_transformed() -> None:
    p = program(lambda x: pnp.sin(x) * x, 1.0)
    run = lambda x: evaluate(p, [x])[0]
    assert float(pb.grad(run)(1.0)) == float(pb.grad(lambda x: pnp.sin(x) * x)(1.0))
    np.testing.assert_allclose(
        np.asarray(pb.vmap(run)(pnp.arange(3.0))), np.sin(np.arange(3.0)) * np.arange(3.0), rtol=1e-6
    )
    again = program(run, 1.0)
    assert str(again) == str(p)
    assert [e.location.line for e in again.eqns] == [e.location.line for e in p.eqns]
