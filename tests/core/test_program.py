"""The text of programs, and that every equation keeps the user's file and line under all transformations."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pullback as pb
import pullback.lax as lax
import pullback.numpy as pnp
from pullback._src.core.aval import ShapedArray
from pullback._src.core.program import Literal, Program, Var, equation_text, program_text, subprograms

from ..flat import run_program

F32 = ShapedArray((), np.float32)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda np_, x: np_.sin(x), (1.0,)),
        (lambda np_, x, y: (x * x, np_.sin(y)), (np.ones(3, np.float32), 2.0)),
        (lambda np_, x: x, (np.ones((2, 0), np.int32),)),
        (lambda np_, x: (), (1.0,)),
    ],
)
def test_text_is_that_of_jax(function: Any, args: tuple[Any, ...]) -> None:
    """Up to line breaks: JAX puts short programs on one line, with semicolons."""
    mine = str(pb.make_jaxpr(lambda *xs: function(pnp, *xs))(*args))
    theirs = str(jax.make_jaxpr(lambda *xs: function(jnp, *xs))(*args))
    assert mine.replace(";", " ").split() == theirs.replace(";", " ").split()


def test_text_of_every_part() -> None:
    table = np.arange(3, dtype=np.float32)

    def f(x: Any) -> Any:
        pnp.exp(x)
        return x * 2.0 + pnp.asarray(table)

    assert str(pb.make_jaxpr(f)(table)) == (
        "{ lambda a:f32[3] ; b:f32[3]. let\n"
        "    _:f32[3] = exp b\n"
        "    c:f32[3] = mul b 2.0:f32[]\n"
        "    d:f32[3] = add c a\n"
        "  in (d,) }"
    )


def test_text_of_sub_programs() -> None:
    text = str(pb.make_jaxpr(pb.jit(pnp.sin))(1.0))
    assert "program={ lambda ; a:f32[]. let\n          b:f32[] = sin a\n        in (b,) }" in text
    branches = str(pb.make_jaxpr(lambda x: lax.cond(x > 0, pnp.sin, pnp.cos, x))(1.0))
    assert "cos a" in branches and "sin a" in branches and branches.count("{ lambda") == 3


def test_names_go_past_z() -> None:
    def f(x: Any) -> Any:
        for _ in range(30):
            x = pnp.sin(x)
        return x

    lines = str(pb.make_jaxpr(f)(1.0)).splitlines()
    assert lines[25].split(":")[0].strip() == "z"
    assert lines[26].split(":")[0].strip() == "ba"
    assert lines[-1].strip() == "in (be,) }"


def test_an_equation_alone_has_text() -> None:
    program = pb.make_jaxpr(pnp.sin)(1.0)
    assert equation_text(program.eqns[0]) == repr(program.eqns[0]) == "b:f32[] = sin a"
    assert repr(program) == str(program) == program_text(program)


def test_parameters_are_readable() -> None:
    program = pb.make_jaxpr(lambda x: x.astype(pnp.bfloat16).sum(axis=0))(np.ones((2, 3)))
    assert "new_dtype=bfloat16" in str(program)
    assert "axes=(0,)" in str(program)


def test_attributes() -> None:
    table = pnp.arange(2.0)
    program = pb.make_jaxpr(lambda x: x + table)(table)
    assert program.jaxpr is program
    assert program.consts == program.literals and program.consts[0] is table
    assert program.in_avals == program.out_avals == [table.aval]
    assert not program.effectful and program.effects == frozenset()
    opened = program.with_consts_as_inputs()
    assert opened is program.with_consts_as_inputs()
    assert len(opened.invars) == 2 and not opened.constvars
    np.testing.assert_array_equal(run_program(opened, [table, table])[0], [0, 2])
    assert opened.with_consts_as_inputs() is opened


def test_sub_programs_are_found_also_in_tuples() -> None:
    inner = Program([], [], [])
    assert list(subprograms({"a": inner, "b": (inner, 1), "c": 2, "d": "x"})) == [inner, inner]


def test_variables_are_told_apart_by_identity() -> None:
    assert Var(F32) != Var(F32)
    literal = Literal(pnp.asarray(2.0), F32)
    assert literal.val is literal.value and repr(literal) == "2.0:f32[]"


# Source lines -------------------------------------------------------------------------------------


def squash(x: Any) -> Any:
    y = pnp.sin(x)  # line A
    z = y * pnp.cos(x)  # line B
    return pnp.sum(z)  # line C


START = inspect.getsourcelines(squash)[1]
LINES = {START + 1, START + 2, START + 3}


def equations(program: Program) -> list[Any]:
    """All equations of a program and of those within it."""
    out = []
    for eqn in program.eqns:
        out.append(eqn)
        for sub in subprograms(eqn.params):
            out += equations(sub)
    return out


NESTS: dict[str, Any] = {
    "plain": squash,
    "grad": pb.grad(squash),
    "jvp": lambda x: pb.jvp(squash, (x,), (x,)),
    "vmap": pb.vmap(pb.vmap(squash)),
    "jit": pb.jit(squash),
    "grad of jit": pb.grad(pb.jit(squash)),
    "jit of grad": pb.jit(pb.grad(squash)),
    "vmap of grad of jit": pb.vmap(pb.grad(pb.jit(squash))),
    "grad of grad": pb.grad(lambda x: pnp.sum(pb.grad(squash)(x))),
    "jacfwd of jacrev": pb.jacfwd(pb.jacrev(squash)),
    "linearize": lambda x: pb.linearize(squash, x)[1](x),
    "vjp": lambda x: pb.vjp(squash, x)[1](1.0),
    "scan": lambda x: lax.scan(lambda c, row: (c + squash(row), row), 0.0, x),
    "grad of scan": pb.grad(lambda x: lax.scan(lambda c, row: (c + squash(row), c), 0.0, x)[0]),
}


@pytest.mark.parametrize("nest", NESTS)
def test_equations_keep_the_users_line(nest: str) -> None:
    program = pb.make_jaxpr(NESTS[nest])(np.ones((2, 3), np.float32))
    found = equations(program)
    assert found
    for eqn in found:
        assert eqn.location is not None, eqn
        assert eqn.location.file == __file__, (eqn, eqn.location)
    by_function = {(e.location.function, e.location.line) for e in found}
    ours = {line for function, line in by_function if function == "squash"}
    assert ours <= LINES and len(ours) >= 2
    for eqn in found:
        if eqn.primitive.name in ("sin", "cos"):
            assert eqn.location.line in LINES


def test_lines_survive_repetition() -> None:
    """Rules that are applied ahead of time, and programs that are shared, do not lose the places."""

    def one(x: Any) -> Any:
        return pnp.sum(pnp.sin(x) * x)

    def other(x: Any) -> Any:
        return pnp.sum(pnp.sin(x) * x)

    x = pnp.ones(3)
    for _ in range(4):
        for f in (one, other):
            _, pushforward = pb.linearize(f, x)
            start = inspect.getsourcelines(f)[1]
            assert {e.location.line for e in equations(pushforward.program)} == {start + 1}


def test_pretty_print_shows_the_lines_also_inside() -> None:
    program = pb.make_jaxpr(pb.jit(squash))(np.ones(3, np.float32))
    text = program.pretty_print(source_info=True)
    for line in LINES:
        assert f"{__file__}:{line}" in text
    assert __file__ not in program.pretty_print()
