"""What nobody needs is not computed, in the bodies of loops and branches either."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.core.program import Equation, Program, subprograms
from pullback._src.engines.llvm.inline import inline_calls
from pullback._src.engines.llvm.unused import without_unused

X = np.linspace(0.1, 0.9, 6).astype(np.float32)


def reduced(f: Any, *args: Any) -> Program:
    return without_unused(inline_calls(pb.make_jaxpr(f)(*args).jaxpr))


def equations(program: Program) -> list[Equation]:
    """All equations, those of loops' bodies after the loop."""
    found = []
    for eqn in program.eqns:
        found.append(eqn)
        for inner in subprograms(eqn.params):
            found.extend(equations(inner))
    return found


def names(program: Program) -> list[str]:
    return [eqn.primitive.name for eqn in equations(program)]


def only(program: Program, name: str) -> Equation:
    (found,) = [eqn for eqn in equations(program) if eqn.primitive.name == name]
    return found


def check(f: Any, *args: Any) -> None:
    """The program computes what it does without the compiler."""
    with pb.disable_jit():
        expected = f(*args)
    for found, value in zip(pb.tree.leaves(pb.jit(f)(*args)), pb.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-6)


def test_scan_without_results_that_nothing_reads() -> None:
    """Of the state, `b` follows only itself; of the slices `y` is read for what is left out alone."""

    def f(x: Any, y: Any, k: Any) -> Any:
        def step(state: Any, xs: Any) -> Any:
            a, b, c = state
            u, v = xs
            return (a + c * u, pnp.sin(b) * k + v, c + 1.0), (a, pnp.exp(b), v)

        (a, _, _), (stacked, _, _) = lax.scan(step, (0.0, 1.0, 2.0), (x, y))
        return a, stacked

    scan = only(reduced(f, X, X + 1, 2.0), "scan")
    assert scan.params["num_carry"] == 2  # `c` is needed for `a`
    assert scan.params["num_consts"] == 0
    assert len(scan.invars) == 3
    assert len(scan.outvars) == 3
    assert not {"sin", "exp"} & set(names(scan.params["program"]))
    check(f, X, X + 1, 2.0)


def test_while_keeps_what_its_test_needs() -> None:
    def f(x: Any, k: Any) -> Any:
        body = lambda s: (s[0] + 1, s[1] * 0.5, pnp.cos(s[2]) + k, s[1])
        return lax.while_loop(lambda s: s[0] < 5, body, (0, x, x, x))[1]

    loop = only(reduced(f, X, 1.5), "while")
    assert [v.aval.shape for v in loop.outvars] == [(), X.shape]
    assert loop.params["body_nconsts"] == 0
    assert "cos" not in names(loop.params["body_program"])
    check(f, X, 1.5)


def test_branches_and_loops_within_loops() -> None:
    def f(x: Any, y: Any) -> Any:
        def step(a: Any, u: Any) -> Any:
            either = lax.cond(u > 0.5, lambda p, q: (p + 1, pnp.sin(q)), lambda p, q: (p, pnp.cos(q)), a, y)
            inner, twice = lax.scan(lambda s, _: (s * 0.5, pnp.tan(s)), either[0], None, length=3)
            return inner, twice

        return lax.scan(step, 1.0, x)[0]

    program = reduced(f, X, 0.3)
    assert not {"sin", "cos", "tan"} & set(names(program))
    branch = only(program, "cond")
    assert len(branch.outvars) == 1
    assert len(branch.invars) == 2
    check(f, X, 0.3)


def test_dead_equations_in_bodies() -> None:
    def f(x: Any) -> Any:
        def step(a: Any, u: Any) -> Any:
            pnp.sin(u)
            return a + u, None

        return lax.scan(step, 0.0, x)[0]

    assert "sin" not in names(reduced(f, X))


def test_effects_and_what_they_read_stay() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        def step(state: Any, u: Any) -> Any:
            a, b = state
            pb.debug.callback(lambda v: seen.append(float(v)), b)
            return (a + u, b + 1.0), a

        return lax.scan(step, (0.0, 10.0), x)[0][0]

    scan = only(reduced(f, X), "scan")
    assert scan.params["num_carry"] == 2
    assert len(scan.outvars) == 2
    pb.block_until_ready(pb.jit(f)(X))
    assert seen == [10.0 + k for k in range(6)]


def test_programs_that_need_all_stay_the_same() -> None:
    def f(x: Any) -> Any:
        return lax.scan(lambda a, u: (a + u, a * u), 0.0, x)

    program = inline_calls(pb.make_jaxpr(f)(X).jaxpr)
    assert without_unused(program) is program
