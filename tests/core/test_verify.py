"""The verifier accepts what is recorded and finds each broken invariant, naming the equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.base.errors import PullbackError, VerificationError
from pullback._src.core.aval import ShapedArray
from pullback._src.core.primitive import Primitive
from pullback._src.core.program import Equation, Literal, Program, Var
from pullback._src.core.verify import verify
from pullback._src.ops.arithmetic import add_p
from pullback._src.ops.transcendental import sin_p

F3 = ShapedArray((3,), np.float32)
F4 = ShapedArray((4,), np.float32)
nameless_p = Primitive("test_verify_without_rules")


def sin(x: Any, y: Var) -> Equation:
    return Equation(sin_p, [x], [y], {}, None)


def mlp(x: Any) -> Any:
    return pnp.sum(pb.jit(pnp.tanh)(x) * x)


@pytest.mark.parametrize(
    "function",
    [
        mlp,
        pb.grad(mlp),
        pb.vmap(pb.grad(mlp)),
        pb.jacfwd(pb.grad(mlp)),
        lambda x: lax.scan(lambda c, r: (c * r, c), 1.0, x.ravel()),
        pb.grad(lambda x: lax.scan(lambda c, r: (c * r, c), 1.0, x.ravel())[0]),
        lambda x: x + np.arange(4.0, dtype=np.float32),
    ],
)
def test_recorded_programs_are_well_formed(function: Callable[..., Any]) -> None:
    program = pb.make_jaxpr(function)(np.ones((2, 4), np.float32))
    assert verify(program) is program
    assert verify(program.with_consts_as_inputs())


def undefined() -> Program:
    x, y = Var(F3), Var(F3)
    return Program([x], [y], [sin(Var(F3), y)])


def used_before_definition() -> Program:
    x, y, z = Var(F3), Var(F3), Var(F3)
    return Program([x], [z], [sin(y, z), sin(x, y)])


def defined_twice() -> Program:
    x, y = Var(F3), Var(F3)
    return Program([x], [y], [sin(x, y), sin(x, y)])


def redefined_input() -> Program:
    x = Var(F3)
    return Program([x], [x], [sin(x, x)])


def listed_twice() -> Program:
    x = Var(F3)
    return Program([x, x], [x], [])


def constant_and_input() -> Program:
    x = Var(F3)
    return Program([x], [x], [], [x], [pnp.ones(3)])


def missing_constants() -> Program:
    x = Var(F3)
    return Program([], [x], [], [x], [])


def undefined_output() -> Program:
    return Program([Var(F3)], [Var(F3)], [])


def wrong_shape() -> Program:
    x, y = Var(F3), Var(F4)
    return Program([x], [y], [sin(x, y)])


def wrong_dtype() -> Program:
    x, y = Var(F3), Var(ShapedArray((3,), np.float16))
    return Program([x], [y], [sin(x, y)])


def wrong_number_of_results() -> Program:
    x, y, z = Var(F3), Var(F3), Var(F3)
    return Program([x], [y], [Equation(sin_p, [x], [y, z], {}, None)])


def wrong_literal() -> Program:
    y = Var(F3)
    return Program([], [y], [sin(Literal(pnp.ones(4), F3), y)])


def operands_that_do_not_fit() -> Program:
    x, y, z = Var(F3), Var(F4), Var(F3)
    return Program([x, y], [z], [Equation(add_p, [x, y], [z], {}, None)])


def unhashable_parameter() -> Program:
    x, y = Var(F3), Var(F3)
    return Program([x], [y], [Equation(sin_p, [x], [y], {"list": [1]}, None)])


def no_shape_rule() -> Program:
    x, y = Var(F3), Var(F3)
    return Program([x], [y], [Equation(nameless_p, [x], [y], {}, None)])


def constants_inside() -> Program:
    c, x = Var(F3), Var(F3)
    inner = Program([x], [c], [], [c], [pnp.ones(3)])
    a, b = Var(F3), Var(F3)
    return Program([a], [b], [Equation(sin_p, [a], [b], {"program": inner}, None)])


def broken_inside() -> Program:
    a, b = Var(F3), Var(F3)
    return Program([a], [b], [Equation(sin_p, [a], [b], {"branches": (undefined(),)}, None)])


BROKEN = [
    (undefined, "used before it is defined"),
    (used_before_definition, "used before it is defined"),
    (defined_twice, "defined twice"),
    (redefined_input, "defined twice"),
    (listed_twice, "listed twice"),
    (constant_and_input, "listed twice"),
    (missing_constants, "1 constants declared, 0 given"),
    (undefined_output, "is not defined"),
    (wrong_shape, "the shape rule gives"),
    (wrong_dtype, "the shape rule gives"),
    (wrong_number_of_results, "the shape rule gives"),
    (wrong_literal, "value of another type"),
    (operands_that_do_not_fit, r"the shape rule refuses the operands: add: .*\(3,\) and \(4,\)"),
    (unhashable_parameter, "not hashable"),
    (no_shape_rule, "has no shape rule"),
    (constants_inside, "constants of its own"),
    (broken_inside, "used before it is defined"),
]


@pytest.mark.parametrize(("build", "message"), BROKEN, ids=lambda v: getattr(v, "__name__", ""))
def test_each_broken_invariant_is_found(build: Callable[[], Program], message: str) -> None:
    with pytest.raises(VerificationError, match=message) as caught:
        verify(build())
    assert isinstance(caught.value, PullbackError)


def test_the_error_names_equation_and_place() -> None:
    program = pb.make_jaxpr(pnp.sin)(np.ones(3, np.float32))
    (eqn,) = program.eqns
    eqn.outvars = [Var(F4)]
    with pytest.raises(VerificationError, match=r"in .*sin") as caught:
        verify(program)
    assert __file__ in str(caught.value)


def test_weak_types_may_differ() -> None:
    x, y = Var(F3), Var(ShapedArray((3,), np.float32, True))
    verify(Program([x], [y], [sin(x, y)]))
