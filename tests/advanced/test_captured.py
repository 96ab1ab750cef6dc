"""Calls that are compiled once though the functions in them are written anew: what counts as the same."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import implicit
from pullback._src.advanced import captured
from pullback._src.advanced.captured import call_compiled
from pullback.errors import ConvergenceError, StructureError

scale: Any = 2.0
table: Any = {"a": pnp.array(1.0), "power": 2}


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    captured._compiled.clear()
    yield
    captured._compiled.clear()


def traced() -> list[int]:
    """For each call that is kept, how often it was traced."""
    return [-1 if f is None else f._cache_size() for f in captured._compiled.values()]


def at_three(f: Callable[[Any], Any]) -> Any:
    return f(pnp.array(3.0))


def value_of(f: Callable[[Any], Any]) -> float:
    return float(call_compiled(at_three, f))


def test_functions_written_anew_are_compiled_once() -> None:
    for a in (2.0, 3.0, np.float64(5.0), pnp.array(4.0)):
        for _ in range(2):
            assert value_of(lambda x: x * a) == 3.0 * float(a)  # noqa: B023  # called before a changes
    assert len(traced()) == 1


def test_what_is_static_is_told_apart() -> None:
    for power in (1, 2, True):
        assert value_of(lambda x: x**power) == 3.0 ** int(power)  # noqa: B023
    for name in ("sin", "cos"):
        assert value_of(lambda x: 2 * getattr(pnp, name)(x)) == 2 * float(getattr(pnp, name)(3.0))  # noqa: B023
    for shape in ((2,), (3,)):
        assert value_of(lambda x: pnp.full(shape, x).sum()) == 3.0 * shape[0]  # noqa: B023
    assert traced() == [1] * 7


def test_variables_of_closures_may_change() -> None:
    a: Any = 2.0
    b = [pnp.array(1.0), 2]
    c = np.array(1.0)

    def helper(x: Any) -> Any:
        return x * a + b[0] * b[1] + c

    def f(x: Any) -> Any:
        return helper(x)

    assert value_of(f) == 9.0
    a = 3.0
    assert value_of(f) == 12.0
    b[0] = pnp.array(5.0)
    assert value_of(f) == 20.0
    c[...] = 0.0  # in place
    assert value_of(f) == 19.0
    assert traced() == [1]
    b[1] = 0
    assert value_of(f) == 9.0
    b.append("more")
    assert value_of(f) == 9.0
    assert traced() == [1, 1, 1]


def _global(x: Any, factor: Any = 1.0, *, shift: Any = 0.0) -> Any:
    return _helper(x) * factor + shift + table["a"] ** table["power"]


def _helper(x: Any) -> Any:
    return max([x * scale for _ in range(1)], key=id)


def test_globals_and_defaults_may_change(monkeypatch: pytest.MonkeyPatch) -> None:
    assert value_of(_global) == 7.0
    monkeypatch.setitem(globals(), "scale", 4.0)
    assert value_of(_global) == 13.0
    monkeypatch.setitem(table, "a", pnp.array(2.0))
    assert value_of(_global) == 16.0
    monkeypatch.setattr(_global, "__defaults__", (2.0,))
    assert value_of(_global) == 28.0
    monkeypatch.setattr(_global, "__kwdefaults__", {"shift": 1.0})
    assert value_of(_global) == 29.0
    assert traced() == [1]
    monkeypatch.setitem(table, "power", 1)
    assert value_of(_global) == 27.0
    monkeypatch.setitem(globals(), "_helper", lambda x: x)
    assert value_of(_global) == 9.0
    assert value_of(functools.partial(_global, factor=3.0)) == 12.0
    assert value_of(functools.partial(_global, factor=4.0)) == 15.0
    assert traced() == [1, 1, 1, 1]


def test_objects_that_may_change_are_asked_each_time() -> None:
    class Model:
        factor = 2.0

        def f(self, x: Any) -> Any:
            return x * self.factor

    model = Model()
    assert value_of(lambda x: model.f(x) + 1) == 7.0
    model.factor = 5.0
    assert value_of(lambda x: model.f(x) + 1) == 16.0
    assert value_of(model.f) == 15.0
    assert traced() == []


def test_effects_on_variables_happen_at_each_call() -> None:
    count = 0

    def f(x: Any) -> Any:
        nonlocal count
        count += 1
        return x

    def inner(x: Any) -> Any:
        def g() -> Any:
            nonlocal count
            count += 10
            return x

        return g()

    for _ in range(3):
        value_of(f)
        value_of(inner)
    assert count == 33
    assert traced() == []


def test_own_variables_of_nested_functions_are_no_effects() -> None:
    def f(x: Any) -> Any:
        total = x

        def add() -> None:
            nonlocal total
            total = total + 1

        add()
        return total

    assert value_of(f) == 4.0
    assert traced() == [1]


def test_functions_that_call_themselves() -> None:
    def f(x: Any, n: int = 3) -> Any:
        return x if n == 0 else f(x * 2, n - 1)

    assert value_of(f) == 24.0
    assert traced() == []


def test_values_that_decide_what_is_computed() -> None:
    for a, expected in ((1.0, 6.0), (-1.0, 3.0)):
        assert value_of(lambda x: x * 2 if a > 0 else x) == expected  # noqa: B023
    for n, m in ((np.array(2), 6.0), (np.array(3), 9.0)):
        assert value_of(lambda x: pnp.full(int(n), x).sum()) == m  # noqa: B023
    for key, m in ((1.5, 3.0), (2.5, 6.0)):
        assert value_of(lambda x: x * {1.5: 1, 2.5: 2}[key]) == m  # noqa: B023
    assert traced() == [-1, -1, -1]


def test_transformed_and_jitted_functions_are_described() -> None:
    @pb.jit
    def jitted(x: Any) -> Any:
        return x * x

    for a in (1.0, 2.0):
        assert value_of(pb.grad(lambda x: a * x**2)) == 6.0 * a  # noqa: B023
        assert value_of(lambda x: jitted(x) + a) == 9.0 + a  # noqa: B023
    assert traced() == [1, 1]


def test_no_arrays_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "KEPT", 2)
    for n in range(5):
        assert value_of(lambda x: x + n) == 3.0 + n  # noqa: B023
    assert len(traced()) == 2


def test_errors_are_those_of_the_function() -> None:
    for _ in range(2):
        with pytest.raises(StructureError, match="like its argument"):
            implicit.fixed_point(lambda x: (x, x), 1.0)
        with pytest.raises(ZeroDivisionError):
            value_of(lambda x: x * (1 // 0))


# Implicit functions -----------------------------------------------------------------------------------------


def test_implicit_functions_are_compiled_once() -> None:
    def cube_root(a: Any) -> Any:
        return implicit.root(lambda x: x**3 - a, 1.0, solver=implicit.newton(max_steps=60))

    for a in (8.0, 27.0, 64.0):
        np.testing.assert_allclose(float(cube_root(a)), a ** (1 / 3), rtol=1e-5)
        np.testing.assert_allclose(float(pb.grad(cube_root)(a)), a ** (-2 / 3) / 3, rtol=1e-4)
        np.testing.assert_allclose(float(pb.grad(pb.grad(cube_root))(a)), -2 / 9 * a ** (-5 / 3), rtol=1e-3)
        expected = (a * np.arange(1.0, 3.0)) ** (1 / 3)
        np.testing.assert_allclose(pb.vmap(cube_root)(a * pnp.arange(1.0, 3.0)), expected, rtol=1e-5)
    assert len(traced()) == 1 and traced()[0] <= 2  # weakly typed numbers, and arrays

    def minimum(w: Any, solver: Any = None) -> Any:
        return implicit.argmin(lambda x, w: pnp.sum((x - w) ** 2 + x**4), pnp.zeros(2), w, solver=solver)

    for k in range(3):
        w = pnp.array([0.5, 1.0 + k])
        x = minimum(w)
        np.testing.assert_allclose(2 * (x - w) + 4 * x**3, 0, atol=1e-4)
    assert len(traced()) == 2


def test_a_solver_that_does_not_converge_raises_each_time() -> None:
    for _ in range(3):
        with pytest.raises(ConvergenceError, match="after 2 steps"):
            implicit.root(lambda x: x**2 - 2, 1.0, solver=implicit.newton(max_steps=2))
    _, info = implicit.root(lambda x: x**2 - 2, 1.0, solver=implicit.newton(max_steps=2), info=True)
    assert not bool(info.converged)


def test_without_jit() -> None:
    with pb.disable_jit():
        assert abs(float(implicit.root(lambda x: x**2 - 2, 1.0)) - 2**0.5) < 1e-5
    assert traced() == []
