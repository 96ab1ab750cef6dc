"""`custom_rule`: functions with a forward-mode rule, a reverse-mode rule, or both.

A missing rule follows from the other. Reverse mode transposes what a jvp rule does with tangents; forward
mode transposes what a vjp rule does with cotangents (the transpose of the transpose is the derivative). So a
function with a jvp rule alone is a `custom_jvp` function, and one with a vjp rule a `custom_vjp` function
that may have a jvp rule besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base import pytree
from ..core.trace import CURRENT, EVAL
from .closures import ConvertedPullback, convert_pullback
from .custom_jvp import bind_jvp, flat_jvp
from .custom_rules import Arguments, CustomFunction, name_of
from .custom_vjp import bind_vjp

Function = Callable[..., Any]
_LEAF = pytree.structure_of(0)


class CustomRule(CustomFunction):
    """A function with derivative rules of its own; made by `custom_rule`."""

    kind = "custom_rule"

    def __init__(self, fun: Function, nondiff_argnums: Any = (), nondiff_argnames: Any = ()) -> None:
        super().__init__(fun, nondiff_argnums, nondiff_argnames)
        self.jvp: Function | None = None
        self.vjp: Function | None = None  # a rule of one function, from which fwd and bwd are made
        self.fwd: Function | None = None
        self.bwd: Function | None = None
        self.jvp_symbolic_zeros = False
        self.vjp_symbolic_zeros = False

    def defjvp(self, jvp: Function, symbolic_zeros: bool = False) -> Function:
        """Set the forward-mode rule; usable as a decorator.

        Args:
            jvp: called as `jvp(*nondiff_args, primals, tangents)`; returns a pair (output, output tangent).
            symbolic_zeros: pass tangents that are zero as `SymbolicZero` instead of arrays of zeros.
        """
        if not callable(jvp):
            raise TypeError(f"defjvp expects a function, got {jvp!r} of type {type(jvp).__name__}")
        self.jvp = jvp
        self.jvp_symbolic_zeros = symbolic_zeros
        return jvp

    def defvjp(self, vjp: Function, bwd: Function | None = None, symbolic_zeros: bool = False) -> Function:
        """Set the reverse-mode rule, one function (usable as a decorator) or two.

        Args:
            vjp: called as the function itself; returns a pair (output, pullback). `pullback(cotangent)`
                returns a tuple with a cotangent for each differentiable argument, in its structure; None
                stands for zeros. It may close over all that the rule computed, and must be traceable.
            bwd: if given, the rule is the pair (fwd, bwd) of `custom_vjp`: `vjp` returns (output, residuals),
                and `bwd(*nondiff_args, residuals, cotangent)` the tuple.
            symbolic_zeros: for such a pair, as in `custom_vjp.defvjp`.
        """
        for what, rule in (("vjp", vjp), ("bwd", vjp if bwd is None else bwd)):
            if not callable(rule):
                raise TypeError(
                    f"defvjp expects a function as {what}, got {rule!r} of type {type(rule).__name__}"
                )
        if bwd is None and symbolic_zeros:
            raise ValueError(
                "defvjp: symbolic_zeros needs a rule of two functions: defvjp(fwd, bwd, symbolic_zeros=True)"
            )
        self.vjp = vjp if bwd is None else None
        self.fwd, self.bwd = (self._fwd(vjp), self._bwd(vjp)) if bwd is None else (vjp, bwd)
        self.vjp_symbolic_zeros = symbolic_zeros
        return vjp

    def _fwd(self, vjp: Function) -> Function:
        def fwd(*args: Any) -> Any:
            pair = vjp(*args)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not callable(pair[1]):
                raise TypeError(
                    f"the vjp rule {name_of(vjp)} of the custom_rule function {name_of(self.fun)} must "
                    "return a pair (output, pullback), where pullback is a function from a cotangent of the "
                    f"output to the tuple of cotangents of the arguments; got {pair!r}"
                )
            out, pullback = pair
            if pytree.structure_of(pullback) != _LEAF:
                return out, (pullback, None)  # a function that is a pytree of its residuals
            return out, convert_pullback(pullback, out)

        fwd.__name__ = name_of(vjp)
        return fwd

    def _bwd(self, vjp: Function) -> Function:
        def bwd(*nondiff_residuals_and_cotangent: Any) -> Any:
            (pullback, consts), cotangent = nondiff_residuals_and_cotangent[-2:]
            if isinstance(pullback, ConvertedPullback):
                return pullback(cotangent, consts)
            return pullback(cotangent)

        bwd.__name__ = f"pullback of {name_of(vjp)}"
        return bwd

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = name_of(self.fun)
        if self.jvp is None and self.fwd is None:
            raise AttributeError(
                f"the custom_rule function {name} has no rule: give custom_rule a jvp or a vjp, or "
                f"define one with {name}.defjvp or {name}.defvjp"
            )
        positional = self.signature.resolve(args, kwargs)
        if CURRENT.get() is EVAL:
            return self.fun(*positional)
        call = Arguments(self.signature, positional)
        if self.fwd is None or self.bwd is None:
            assert self.jvp is not None
            return bind_jvp(call, self.jvp, self.jvp_symbolic_zeros)
        forward = None if self.jvp is None else flat_jvp(call, self.jvp, self.jvp_symbolic_zeros)
        return bind_vjp(call, self.fwd, self.bwd, self.vjp_symbolic_zeros, forward)


def custom_rule(
    fun: Function | None = None,
    *,
    jvp: Function | None = None,
    vjp: Function | tuple[Function, Function] | None = None,
    nondiff_argnums: Any = (),
    nondiff_argnames: Any = (),
) -> Any:
    """Give a function a rule for forward mode, for reverse mode, or for both; a missing one is derived.

    Reverse mode is derived from a jvp rule by transposing it, forward mode from a vjp rule by transposing the
    pullback, which must be linear in the cotangent. All transformations (`jvp`, `grad`, `linearize`,
    `hessian`, ...) so work through a function with any one of the rules. Where both are given, `jvp` and the
    function that `linearize` returns use the jvp rule, and `vjp` and `grad` use the vjp rule.
    `test_util.check_rules` tests that they agree with each other and with the function.

    Args:
        fun: a function of arrays, numbers and pytrees of them. Without it, `custom_rule` returns a decorator.
        jvp: `jvp(primals, tangents)` returns a pair (output, output tangent), linear in the tangents: what
            `pullback.jvp` returns for the function. As in `custom_jvp`.
        vjp: `vjp(*args)` returns a pair (output, pullback): what `pullback.vjp` returns for the function.
            `pullback(cotangent)` returns a tuple with a cotangent for each differentiable argument. Or a
            pair of functions (fwd, bwd), as in `custom_vjp`; un-jitted, that is faster, since a pullback
            that closes over arrays is traced at each call.
        nondiff_argnums: positions of arguments that are not differentiated (functions, strings, shapes). A
            jvp rule and `bwd` take these first.
        nondiff_argnames: the same by name.

    Returns:
        The function, with the methods `defjvp` and `defvjp`, which set or replace a rule.

    Raises:
        TypeError: a rule is no function; or, when it is used, returns another structure, shape or dtype.
        AttributeError: the function is called and has no rule.

    Example:
        >>> @custom_rule
        ... def norm(x):
        ...     return pnp.sqrt(x @ x)
        >>> @norm.defvjp
        ... def norm_vjp(x):
        ...     length = norm(x)
        ...     return length, lambda ct: (ct * x / length,)
        >>> print(pb.hessian(norm)(pnp.array([3.0, 4.0])).round(3))
        [[ 0.128 -0.096]
         [-0.096  0.072]]
    """
    if fun is None:
        return lambda fun: custom_rule(
            fun, jvp=jvp, vjp=vjp, nondiff_argnums=nondiff_argnums, nondiff_argnames=nondiff_argnames
        )
    made = CustomRule(fun, nondiff_argnums, nondiff_argnames)
    if jvp is not None:
        made.defjvp(jvp)
    if isinstance(vjp, (tuple, list)):
        if len(vjp) != 2:
            raise TypeError(f"custom_rule: vjp is one function, or a pair (fwd, bwd); got {vjp!r}")
        made.defvjp(*vjp)
    elif vjp is not None:
        made.defvjp(vjp)
    return made


__all__ = ["CustomRule", "custom_rule"]
