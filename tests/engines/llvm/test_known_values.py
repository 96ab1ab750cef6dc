"""What is known while code is written needs no instruction, and means what the instruction would."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback._src.engines.llvm.engine import Compilation
from pullback._src.engines.llvm.ir import Emitter, Value
from pullback._src.engines.llvm.ir_values import compared, constant, negative, vector_literal
from pullback._src.engines.llvm.module import Module

NUMBERS = [0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, math.nan]
INTEGERS = [0, 1, 50, -1, -128, 127]
ORDERS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def truth(value: Value | None) -> bool:
    assert value is not None
    return "true" in value.name


@pytest.mark.parametrize("elem", ["float", "double"])
@pytest.mark.parametrize("lanes", [1, 4])
def test_comparisons_of_known_numbers(elem: str, lanes: int) -> None:
    for (a, b), order in itertools.product(itertools.product(NUMBERS, NUMBERS), ORDERS):
        x, y = constant(a, elem, lanes), constant(b, elem, lanes)
        unordered = math.isnan(a) or math.isnan(b)
        holds = eval(f"a {ORDERS[order]} b", {"a": a, "b": b})
        assert truth(compared("o" + order, x, y)) == (holds and not unordered)
        assert truth(compared("u" + order, x, y)) == (holds or unordered)


@pytest.mark.parametrize(("elem", "kind"), [("i8", np.uint8), ("i32", np.uint32), ("i64", np.uint64)])
def test_comparisons_of_known_integers(elem: str, kind: Any) -> None:
    for (a, b), order in itertools.product(itertools.product(INTEGERS, INTEGERS), ORDERS):
        x, y = constant(a, elem), constant(b, elem)
        names = {"a": a, "b": b}
        as_unsigned = {k: int(np.array(v).astype(kind)) for k, v in names.items()}
        text = f"a {ORDERS[order]} b"
        if order in ("eq", "ne"):
            assert truth(compared(order, x, y)) == eval(text, names)
        else:
            assert truth(compared("s" + order, x, y)) == eval(text, names)
            assert truth(compared("u" + order, x, y)) == eval(text, as_unsigned)


def test_what_is_not_known_is_compared_when_the_program_runs() -> None:
    x, one = Value("%x", "float", 1, 0), constant(1.0, "float")
    assert compared("olt", x, one) is None
    assert compared("uno", one, one) is None
    different = Value(vector_literal([1.0, 2.0], "float"), "float", 2, 0)
    assert compared("olt", different, constant(1.0, "float", 2)) is None
    assert negative(different) is None
    assert compared("olt", constant(1.0, "half"), constant(2.0, "half")) is None


def test_negatives_of_known_numbers() -> None:
    for number in NUMBERS:
        found = negative(constant(number, "float", 3))
        assert found is not None
        if not math.isnan(number):
            assert found.name == constant(-number, "float", 3).name


def test_known_truths_and_factors_leave_no_instruction() -> None:
    e = Emitter(Module())
    x, yes, no = Value("%x", "i1", 4, 0), constant(True, "i1"), constant(False, "i1")
    assert e.and_(x, yes) is x
    assert e.or_(no, x) is x
    assert e.and_(no, x).name == constant(False, "i1", 4).name
    assert e.or_(x, yes).name == constant(True, "i1", 4).name
    assert not e.scope.lines
    number = Value("%y", "float", 4, 0)
    product = e.fmul(number, constant(-1.0, "float"))
    assert e.fneg(product) is number
    assert e.fneg(number) is product
    assert len(e.scope.lines) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 10, 13, 64, 77, 200, 3000])
def test_whether_some_lane_or_all_hold(count: int) -> None:
    """In registers and along a loop; vectors of any length."""
    functions = [
        lambda x: lax.reduce_or(x, (0,)), lambda x: lax.reduce_and(x, (0,)), pnp.any, pnp.all, pnp.max,
        pnp.min, lambda x: lax.reduce_xor(x, (0,)),
    ]  # fmt: skip
    references: list[Any] = [np.any, np.all, np.any, np.all, np.max, np.min, np.logical_xor.reduce]
    run = pb.jit(lambda x: [f(x > 0) for f in functions])
    samples = [np.zeros(count), np.ones(count)]
    for place in {0, count // 2, count - 1}:
        one = np.zeros(count)
        one[place] = 1
        samples += [one, 1 - one]
    for x in samples:
        for found, reference in zip(run(x.astype(np.float32)), references, strict=True):
            assert bool(found) == bool(reference(x > 0))


def compiled(f: Any, *args: Any) -> Compilation:
    return Compilation(pb.make_jaxpr(f)(*args).jaxpr)


def test_a_loops_first_state_is_made_where_its_result_goes() -> None:
    def f(start: Any) -> Any:
        step = lambda i, y: y.at[i].set(0.5 * pnp.sin(y[i - 1]) + 0.25 * y[i - 2] + 1)
        return lax.fori_loop(2, 1000, step, pnp.zeros(1000, np.float32).at[:2].set(start))

    start = np.array([0.1, 0.2], np.float32)
    assert compiled(f, start).arena_bytes == 0
    expected = np.zeros(1000, np.float32)
    expected[:2] = start
    for i in range(2, 1000):
        expected[i] = 0.5 * np.sin(expected[i - 1]) + 0.25 * expected[i - 2] + 1
    np.testing.assert_allclose(pb.jit(f)(start), expected, rtol=1e-5)


def test_lanes_that_are_filled_up_are_copied_once() -> None:
    """Two operands of a chunked loop, and its result."""

    def f(x: Any, n: Any) -> Any:
        return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] * 0.5 + x), (0, x))[1]

    count = 1000
    x, n = np.ones(count, np.float32), np.arange(count, dtype=np.int32) % 7
    padded = 32 * 32 * 4
    assert compiled(pb.vmap(f), x, n).arena_bytes <= 3 * padded + 64
    expected = [1.0 if k == 0 else f_alone(int(k)) for k in n]
    np.testing.assert_allclose(pb.jit(pb.vmap(f))(x, n), expected, rtol=1e-6)


def f_alone(turns: int) -> float:
    y = 1.0
    for _ in range(turns):
        y = y * 0.5 + 1.0
    return y
