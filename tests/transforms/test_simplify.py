"""Dead code: what is dropped, and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np

import pullback as pb
import pullback.numpy as pnp
from pullback._src.core import rules
from pullback._src.core.aval import ShapedArray
from pullback._src.core.primitive import Primitive
from pullback._src.core.verify import verify
from pullback._src.transforms.simplify import eliminate_dead_code, outputs_only

F32 = ShapedArray((), np.float32)
print_p = Primitive("test_simplify_print", effectful=True, multiple_results=True)
rules.abstract[print_p] = lambda x: []


def names(program: Any) -> list[str]:
    return [e.primitive.name for e in program.eqns]


def test_what_no_output_needs_is_dropped() -> None:
    def f(x: Any) -> Any:
        unused = pnp.exp(pnp.log(x))
        pnp.cos(unused)
        y = pnp.sin(x)
        return y * 2.0

    program = pb.make_jaxpr(f)(1.0)
    clean = verify(eliminate_dead_code(program))
    assert names(program) == ["log", "exp", "cos", "sin", "mul"] and names(clean) == ["sin", "mul"]
    assert clean.invars == program.invars and clean.name == program.name
    assert eliminate_dead_code(clean) is clean


def test_outputs_can_be_dropped() -> None:
    program = pb.make_jaxpr(lambda x, y: (pnp.sin(x), pnp.cos(y), x))(1.0, 2.0)
    clean = verify(eliminate_dead_code(program, [False, True, False]))
    assert names(clean) == ["cos"] and len(clean.outvars) == 1 and len(clean.invars) == 2
    assert names(outputs_only(program, (0, 2))) == ["sin"]
    assert outputs_only(program, (0,)) is outputs_only(program, (0,))
    assert names(eliminate_dead_code(program, [False] * 3)) == []


def test_effects_stay_unless_they_may_go() -> None:
    program = pb.make_jaxpr(lambda x: (print_p.bind(pnp.sin(x)), x)[1])(1.0)
    assert names(eliminate_dead_code(program)) == ["sin", "test_simplify_print"]
    assert names(eliminate_dead_code(program, keep_effects=False)) == []
    assert program.effectful and program.effects


def test_effects_inside_sub_programs_stay() -> None:
    inner = pb.jit(lambda x: (print_p.bind(x), x)[1])
    program = pb.make_jaxpr(lambda x: (inner(x), x)[1])(1.0)
    assert names(eliminate_dead_code(program)) == ["jit"]
    quiet = pb.make_jaxpr(lambda x: (pb.jit(pnp.sin)(x), x)[1])(1.0)
    assert names(eliminate_dead_code(quiet)) == []


def test_an_operation_is_kept_if_any_of_its_results_is_needed() -> None:
    program = pb.make_jaxpr(lambda x: pb.jit(lambda y: (pnp.sin(y), pnp.cos(y)))(x)[1])(1.0)
    assert names(eliminate_dead_code(program)) == ["jit"]
