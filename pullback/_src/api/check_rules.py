"""`check_rules`: forward mode, reverse mode and finite differences of a function against each other."""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import pytree
from ..control.custom_jvp import custom_jvp
from ..control.custom_rule import CustomRule
from ..control.custom_rules import CustomFunction, leaf_path, name_of
from ..control.custom_vjp import custom_vjp
from ..lib.numpy.promotion import asarray
from .check_grads import _TOLERANCE, _default, _difference_quotient, _inexact, _random_like
from .vjp import jvp, vjp

_EPS = {"float16": 0.1, "bfloat16": 0.5, "float32": 1e-2, "complex64": 1e-2}
_PRECISION = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1.2e-7, "complex64": 1.2e-7}
_ADJOINT = {
    "float16": 1e-2,
    "bfloat16": 1e-1,
    "float32": 1e-4,
    "float64": 1e-9,
    "complex64": 1e-4,
    "complex128": 1e-9,
}


def check_rules(
    f: Callable[..., Any],
    *args: Any,
    probes: int = 2,
    seed: int = 0,
    atol: float = 0.0,
    rtol: float | None = None,
    adjoint_rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check the derivative rules of a function: that they agree with each other and with the function.

    For random directions v of each array in the arguments and u of each array in the output, the numbers
    <u, J v> (forward mode), <J^T u, v> (reverse mode) and <u, (f(x + h v) - f(x - h v)) / 2h> must be equal;
    for complex arrays, their real parts (nothing is conjugated). The values that the rules return must be
    the function's, and forward mode linear in v, reverse mode in u.

    Args:
        f: a function, usually one with rules of its own (`custom_rule`, `custom_jvp`, `custom_vjp`).
        args: the point at which to check, one pytree of arrays for each argument; arguments that `f` marks
            as not differentiable may be anything.
        probes: how many random directions to take.
        seed: of the random directions.
        atol, rtol: tolerances against the differences, beside their rounding errors (default: 0, and by the
            dtypes); `rtol` is relative to the sum of the magnitudes of all products.
        adjoint_rtol: the tolerance of forward against reverse mode, likewise (default: 1e-9 in double
            precision, 1e-4 in single).
        eps: the step of the differences, of which two are combined so that errors of order eps^2 cancel.

    Raises:
        AssertionError: a check fails; the message says which rule is wrong, for which argument and output,
            and by how much.
    """
    if isinstance(f, types.MethodType) and isinstance(f.__func__, CustomFunction):
        f, args = f.__func__, (f.__self__, *args)
    fixed = f.nondiff_argnums if isinstance(f, CustomFunction) else ()
    places = [i for i in range(len(args)) if i not in fixed]
    point = tuple([pytree.tree_map(asarray, args[i]) for i in places])

    def g(*given: Any) -> Any:
        full = list(args)
        for i, value in zip(places, given, strict=True):
            full[i] = value
        return pytree.tree_map(asarray, f(*full))

    checked = _Checked(f, g, point, places)
    checked.atol = atol
    for name, given in (("rtol", rtol), ("adjoint", adjoint_rtol), ("eps", eps)):
        if given is not None:
            setattr(checked, name, given)
    if not checked.inputs or not checked.outputs:
        what = "argument" if not checked.inputs else "output"
        raise TypeError(
            f"check_rules of {name_of(f)}: there is no {what} of floating-point or complex type, so there is "
            "nothing to differentiate"
        )
    rng = np.random.default_rng(seed)
    for _ in range(probes):
        checked.probe(rng)


class _Checked:
    """One call of `check_rules`."""

    def __init__(
        self,
        f: Any,
        g: Callable[..., Any],
        point: tuple[Any, ...],
        places: list[int],
    ) -> None:
        self.g = g
        self.point = point
        self.value = g(*point)
        types = (point, self.value)
        self.atol = 0.0
        self.rtol = _default(types, _TOLERANCE, 1e-5)
        self.adjoint = _default(types, _ADJOINT, 1e-9)
        self.eps = _default(point, _EPS, 1e-4)
        self.precision = _default(types, _PRECISION, 2.3e-16)
        leaves, self.in_tree = pytree.flatten(point)
        self.inputs = [i for i, leaf in enumerate(leaves) if _inexact(leaf)]
        self.in_leaves = leaves
        self.out_leaves, self.out_tree = pytree.flatten(self.value)
        self.outputs = [i for i, leaf in enumerate(self.out_leaves) if _inexact(leaf)]
        self.in_names = _argument_names(places, point)
        self.names, self.derived = _rules_of(f)

    def probe(self, rng: np.random.Generator) -> None:
        """All checks for one random direction."""
        vs = [_random_like(rng, leaf) for leaf in self.in_leaves]
        us = [_random_like(rng, leaf) for leaf in self.out_leaves]
        forward: dict[int, list[Any]] = {}
        backward: dict[int, list[Any]] = {}
        # Rules that were given come before the ones that are derived from them.
        for mode in sorted(self.names, key=lambda mode: mode in self.derived):
            if mode == "jvp":
                forward = self._forward(vs)
            else:
                backward = self._backward(us)
        for i in self.inputs:
            exact, doubt = self._differences(i, vs)
            for o in self.outputs:
                pushed, pulled = forward[i][o], backward[o][i]
                by = {"jvp": _dot(us[o], pushed), "vjp": _dot(pulled, vs[i])}
                size = max(_size(us[o], pushed), _size(pulled, vs[i]))
                exact_size, doubt_size = _size(us[o], exact[o]), _size(us[o], doubt[o])
                self._compare(i, o, by, size, (_dot(us[o], exact[o]), exact_size, doubt_size))

    def _forward(self, vs: Sequence[Any]) -> dict[int, list[Any]]:
        """For each input the tangents of the outputs, after checking the value and linearity."""
        found = {}
        for i in self.inputs:
            value, tangent = jvp(self.g, self.point, self._only(self.in_tree, self.in_leaves, {i: vs[i]}))
            self._check_value("jvp", value)
            _, scaled = jvp(self.g, self.point, self._only(self.in_tree, self.in_leaves, {i: -2 * vs[i]}))
            found[i] = pytree.leaves_of(tangent)
            self._check_linear("jvp", "tangent", found[i], pytree.leaves_of(scaled), self._out_name)
        return found

    def _backward(self, us: Sequence[Any]) -> dict[int, list[Any]]:
        """For each output the cotangents of the inputs, after checking the value and linearity."""
        found = {}
        value, pullback = vjp(self.g, *self.point)
        self._check_value("vjp", value)
        for o in self.outputs:
            found[o] = pytree.leaves_of(pullback(self._only(self.out_tree, self.out_leaves, {o: us[o]})))
            scaled = pullback(self._only(self.out_tree, self.out_leaves, {o: -2 * us[o]}))
            self._check_linear("vjp", "cotangent", found[o], pytree.leaves_of(scaled), self._in_name)
        return found

    def _only(self, tree: Any, leaves: Sequence[Any], given: dict[int, Any]) -> Any:
        """Zeros, but for the given leaves."""
        return pytree.unflatten(
            tree, [given[i] if i in given else _zeros(leaf) for i, leaf in enumerate(leaves)]
        )

    def _differences(self, i: int, vs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Richardson's combination of two difference quotients, and how far these are apart."""
        direction = self._only(self.in_tree, self.in_leaves, {i: vs[i]})
        wide, narrow = [
            pytree.leaves_of(_difference_quotient(self.g, self.point, direction, eps))
            for eps in (self.eps, self.eps / 2)
        ]
        pairs = list(zip(wide, narrow, strict=True))
        return [(4 * n - w) / 3 for w, n in pairs], [n - w for w, n in pairs]

    def _compare(
        self, i: int, o: int, by: dict[str, float], size: float, differences: tuple[float, float, float]
    ) -> None:
        """The numbers that the two modes give against each other and against finite differences."""
        reference, exact_size, doubt = differences
        noise = 30 * self.precision * _size(1.0, self.out_leaves[o]) / self.eps
        allowed = self.atol + self.rtol * exact_size + noise
        wrong = [mode for mode, number in by.items() if not abs(number - reference) <= allowed]
        agree = abs(by["jvp"] - by["vjp"]) <= self.adjoint * size
        if not wrong and agree:
            return
        figures = (
            f"derivative of {self._out_name(o)} by {self._in_name(i)}, paired with random directions: "
            f"forward mode <u, Jv> = {by['jvp']:.9g}, reverse mode <J'u, v> = {by['vjp']:.9g}, "
            f"finite differences {reference:.9g}"
        )
        for mode in wrong:
            if reference and abs(by[mode] / reference) < 1e6:
                which = "forward mode" if mode == "jvp" else "reverse mode"
                figures += f"; {which} gives {by[mode] / reference:.6g} times the difference quotient"
        if doubt > 0.1 * allowed and wrong:
            figures += (
                f". (Differences with the steps {self.eps:g} and {self.eps / 2:g} are {doubt:.2g} apart: the "
                "function may not be smooth there, or eps= may not suit it)"
            )
        raise AssertionError(f"check_rules: {self._verdict(wrong, agree)}.\n{figures}")

    def _verdict(self, wrong: list[str], agree: bool) -> str:
        if not wrong:
            return (
                f"{self.names['jvp']} and {self.names['vjp']} disagree with each other, though both are "
                "within the tolerance of finite differences: one is inaccurate, or is not linear"
            )
        given = [mode for mode in wrong if mode not in self.derived]
        if len(given) == 1 and len(wrong) == 2:
            (derived,) = set(wrong) - set(given)
            return f"{self.names[given[0]]} is wrong (and {self.names[derived]})"
        if len(wrong) == 1:
            (mode,) = wrong
            other = "vjp" if mode == "jvp" else "jvp"
            return f"{self.names[mode]} is wrong; {self.names[other]} agrees with finite differences"
        return f"{self.names['jvp']} and {self.names['vjp']} are both wrong" + (
            ", in the same way (or the function is not smooth there)" if agree else ""
        )

    def _check_value(self, mode: str, value: Any) -> None:
        tree = pytree.structure_of(value)
        types, expected_types = [
            [(a.shape, a.dtype) for a in leaves] for leaves in (pytree.leaves_of(value), self.out_leaves)
        ]
        if tree != self.out_tree or types != expected_types:
            raise AssertionError(
                f"check_rules: {self.names[mode]} is wrong: it returns a value of another type than the "
                f"function: {_shapes(value)} instead of {_shapes(self.value)}"
            )
        for o, (found, expected) in enumerate(zip(pytree.leaves_of(value), self.out_leaves, strict=True)):
            a, b = np.asarray(found), np.asarray(expected)
            if not np.allclose(a, b, atol=self.atol + 1e-300, rtol=self.rtol, equal_nan=True):
                worst = np.unravel_index(np.argmax(np.abs(a - b)), a.shape)
                raise AssertionError(
                    f"check_rules: {self.names[mode]} is wrong: it returns another value than the function "
                    f"for {self._out_name(o)}: {a[worst]} instead of {b[worst]}"
                )

    def _check_linear(
        self, mode: str, word: str, once: list[Any], scaled: list[Any], name: Callable[[int], str]
    ) -> None:
        for k, (a, b) in enumerate(zip(once, scaled, strict=True)):
            a, b = np.asarray(a), np.asarray(b)
            if a.dtype.kind == "V":
                continue
            bound = 100 * self.adjoint * (np.max(np.abs(a), initial=0.0) + np.max(np.abs(b), initial=0.0))
            gap = np.abs(b + 2 * a)
            if a.size and not np.max(gap) <= bound:
                worst = np.unravel_index(np.argmax(gap), a.shape)
                raise AssertionError(
                    f"check_rules: {self.names[mode]} is wrong: it is not linear in the {word}. For "
                    f"{word}s w and -2 w it gives {a[worst]} and {b[worst]} (for {name(k)}); the second "
                    "must be -2 times the first"
                )

    def _in_name(self, i: int) -> str:
        return self.in_names[i]

    def _out_name(self, o: int) -> str:
        return f"the output{leaf_path(self.out_tree, o)}"


def _rules_of(f: Any) -> tuple[dict[str, str], set[str]]:
    """What to call the two modes of a function, and which of them are derived from the other."""
    name = name_of(f)
    forward = backward = None
    if isinstance(f, (custom_jvp, CustomRule)) and f.jvp is not None:
        forward = name_of(f.jvp)
    if isinstance(f, CustomRule) and f.vjp is not None:
        backward = name_of(f.vjp)
    elif isinstance(f, (custom_vjp, CustomRule)) and f.fwd is not None and f.bwd is not None:
        backward = f"{name_of(f.fwd)}, {name_of(f.bwd)}"
    if forward is None and backward is None:
        return {"jvp": f"forward mode (jvp) of {name}", "vjp": f"reverse mode (vjp) of {name}"}, set()
    jvp_rule, vjp_rule = f"the jvp rule ({forward}) of {name}", f"the vjp rule ({backward}) of {name}"
    if forward is None:
        return {"vjp": vjp_rule, "jvp": "forward mode, which is derived from it"}, {"jvp"}
    if backward is None:
        return {"jvp": jvp_rule, "vjp": "reverse mode, which is derived from it"}, {"vjp"}
    return {"jvp": jvp_rule, "vjp": vjp_rule}, set()


def _argument_names(places: list[int], point: tuple[Any, ...]) -> list[str]:
    found = []
    for place, argument in zip(places, point, strict=True):
        for path, _ in pytree.tree_leaves_with_path(argument):
            found.append(f"argument {place}{pytree.keystr(path)}")
    return found


def _shapes(tree: Any) -> Any:
    return pytree.tree_map(lambda a: a.aval.str_short(False), tree)


def _zeros(leaf: Any) -> Any:
    dtype = leaf.dtype if _inexact(leaf) else [("float0", np.void, 0)]
    return np.zeros(leaf.shape, dtype)


def _dot(a: Any, b: Any) -> float:
    a, b = np.asarray(a).astype(np.complex128), np.asarray(b).astype(np.complex128)
    return float(np.real(np.sum(a * b)))


def _size(a: Any, b: Any) -> float:
    """The sum of the magnitudes of the products."""
    return float(np.sum(np.abs(np.asarray(a).astype(np.complex128) * np.asarray(b).astype(np.complex128))))


__all__ = ["check_rules"]
