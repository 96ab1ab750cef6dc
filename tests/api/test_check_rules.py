"""`check_rules` accepts right rules, and says of wrong ones which is wrong, where, and by how much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback.custom_derivatives import custom_jvp, custom_rule, custom_vjp
from pullback.test_util import check_rules

X = np.array([0.3, 0.7, -1.1], np.float32)


def value(x: Any, y: Any) -> Any:
    return {"p": pnp.sin(x) * y, "s": pnp.sum(x)}


def jvp_rule(a: float = 1.0, b: float = 1.0, c: float = 1.0) -> Any:
    def jvp(p: Any, t: Any) -> Any:
        (x, y), (tx, ty) = p, t
        return value(x, y), {"p": a * pnp.cos(x) * y * tx + b * pnp.sin(x) * ty, "s": c * pnp.sum(tx)}

    return jvp


def vjp_rule(a: float = 1.0, b: float = 1.0, c: float = 1.0) -> Any:
    def vjp(x: Any, y: Any) -> Any:
        def pullback(ct: Any) -> Any:
            return a * pnp.cos(x) * y * ct["p"] + c * ct["s"], b * pnp.sum(pnp.sin(x) * ct["p"])

        return value(x, y), pullback

    return vjp


@pytest.mark.parametrize("x64", [False, True])
def test_right_rules_pass(x64: bool) -> None:
    with pb.enable_x64(x64):
        x = X.astype(np.float64) if x64 else X
        for rules in ({"jvp": jvp_rule()}, {"vjp": vjp_rule()}, {"jvp": jvp_rule(), "vjp": vjp_rule()}):
            f = custom_rule(value, **rules)
            check_rules(f, x, 2.0)
            check_rules(pb.jit(pb.vmap(f, (0, None))), np.stack([x, 2 * x]), 2.0)
            pb.check_rules(lambda x, f=f: pb.grad(lambda x: f(x, 2.0)["p"].sum())(x), x)
        check_rules(value, x, 2.0)
        check_rules(lambda x: 1e-9 * pnp.sin(x), x)
        check_rules(lambda x: 1e9 * pnp.exp(x), x)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"jvp": jvp_rule(b=1.5), "vjp": vjp_rule()},
            r"the jvp rule \(jvp\) of .* is wrong; the vjp .*agrees.*\n.*argument 1, .*mode gives 1\.(5|49)",
        ),
        (
            {"jvp": jvp_rule(), "vjp": vjp_rule(c=-1.0)},
            r"the vjp rule .* is wrong; the jvp .*agrees.*\n.*argument 0, .*reverse mode gives -(1|0\.99)",
        ),
        (
            {"jvp": jvp_rule(a=2.0)},
            r"the jvp rule .* is wrong \(and reverse mode, which is derived.*\n.*mode gives (2|1\.99)",
        ),
        (
            {"vjp": vjp_rule(a=0.0)},
            r"the vjp rule .* is wrong \(and forward mode, which is derived from.*\n.*reverse mode gives 0 t",
        ),
        (
            {"jvp": jvp_rule(a=2.0), "vjp": vjp_rule(a=2.0)},
            r"the jvp rule \(jvp\) of value and the vjp rule .* are both wrong, in the same way",
        ),
        ({"jvp": jvp_rule(a=2.0), "vjp": vjp_rule(a=3.0)}, r"are both wrong\.\n"),
        (
            {"jvp": lambda p, t: ({**value(*p), "s": 3 * pnp.sum(p[0])}, jvp_rule()(p, t)[1])},
            r"returns another value than the function for the output\['s'\]: -0\.3\d* instead of -0\.1",
        ),
        (
            {"jvp": lambda p, t: ({**value(*p), "s": p[0]}, {**jvp_rule()(p, t)[1], "s": t[0]})},
            r"a value of another type than the function: .*'s': 'float\d\d\[3\]'.* instead of .*\[\]'",
        ),
        (
            {"vjp": lambda x, y: (value(x, y), lambda ct: (ct["p"] * ct["p"], None))},
            r"the vjp rule .* not linear in the cotangent",
        ),
        (
            {"vjp": lambda x, y: (value(x, y), lambda ct: (vjp_rule()(x, y)[1](ct)[0] + 1, None))},
            r"the vjp rule .* not linear in the cotangent.*for argument 0",
        ),
        (
            {"jvp": lambda p, t: (value(*p), {"p": abs(t[0]), "s": pnp.sum(t[0])})},
            r"the jvp rule .* not linear in the tangent.*for the output\['p'\]",
        ),
    ],
)
def test_wrong_rules_are_found(rules: Any, message: str, x64: bool) -> None:
    with pb.enable_x64(x64), pytest.raises(AssertionError, match=message):
        check_rules(custom_rule(value, **rules), X.astype(np.float64) if x64 else X, pnp.array(2.0))


def test_other_decorators_and_plain_functions() -> None:
    f = custom_jvp(pnp.sin)
    f.defjvp(lambda p, t: (pnp.sin(p[0]), 1.01 * pnp.cos(p[0]) * t[0]))
    with pytest.raises(AssertionError, match=r"jvp rule \(<lambda>\) of sin is wrong \(and reverse mode"):
        check_rules(f, X)
    with pytest.raises(
        AssertionError, match=r"forward mode \(jvp\) of .* and reverse mode .* are both wrong"
    ):
        check_rules(lambda x: f(x), X)  # noqa: PLW0108
    g = custom_vjp(pnp.sin)

    def fwd(x: Any) -> Any:
        return pnp.sin(x), x

    def bwd(x: Any, ct: Any) -> Any:
        return (pnp.sin(x) * ct,)

    g.defvjp(fwd, bwd)
    with pytest.raises(AssertionError, match=r"the vjp rule \(fwd, bwd\) of sin is wrong"):
        check_rules(g, X)


def test_small_derivatives_are_not_lost_in_large_ones() -> None:
    with pb.enable_x64(True):
        f = custom_rule(lambda p: p["a"] * 1e6 + 1e-4 * p["b"])
        f.defjvp(lambda p, t: (f(*p), t[0]["a"] * 1e6 + 1.1e-4 * t[0]["b"]))
        with pytest.raises(AssertionError, match=r"by argument 0\['b'\].*1\.1\d* times"):
            check_rules(f, {"a": np.zeros(3), "b": np.ones(3)})


def test_rules_that_disagree_within_the_tolerance_of_differences() -> None:
    with pb.enable_x64(True):
        f = custom_rule(pnp.sin, jvp=lambda p, t: (pnp.sin(p[0]), pnp.cos(p[0]) * t[0] * (1 + 1e-7)))
        check_rules(f, 0.5)
        f.defvjp(lambda x: (pnp.sin(x), lambda ct: (pnp.cos(x) * ct,)))
        with pytest.raises(AssertionError, match="disagree with each other"):
            check_rules(f, 0.5)
        check_rules(f, 0.5, adjoint_rtol=1e-6)


def test_complex_integers_and_other_arguments() -> None:
    with pb.enable_x64(True):
        z = np.array([0.3 + 0.2j, -1.0 + 0.5j])
        f = lambda z: (pnp.conj(z) * z.real, pnp.abs(z) ** 2, 3)
        check_rules(f, z)
        right = custom_rule(f, vjp=lambda z: pb.vjp(f, z))
        check_rules(right, z)
        wrong = custom_rule(f, vjp=lambda z: (f(z), lambda ct: (pnp.conj(pb.vjp(f, z)[1](ct)[0]),)))
        with pytest.raises(AssertionError, match="vjp rule"):
            check_rules(wrong, z)

    class Power:
        @custom_rule(nondiff_argnums=(0, 1), jvp=lambda self, name, p, t: (p[0] ** p[1], p[1] * p[0] * t[0]))
        def call(self, name: str, x: Any, n: Any) -> Any:
            return x**n

    check_rules(Power().call, "square", X, 2)
    with pytest.raises(AssertionError, match="by argument 2,"):
        check_rules(Power().call, "cube", X, 3)


def test_functions_that_are_not_smooth() -> None:
    with pytest.raises(AssertionError, match=r"steps 0\.01 and 0\.005 are .* may not be smooth"):
        check_rules(lambda x: pnp.sqrt(pnp.abs(x)), pnp.array(1e-4))


def test_wrong_use() -> None:
    with pytest.raises(TypeError, match="no argument of floating-point or complex type"):
        check_rules(lambda n: n * 2.0, 3)
    with pytest.raises(TypeError, match="no output of floating-point or complex type"):
        check_rules(lambda x: x > 0, 3.0)
