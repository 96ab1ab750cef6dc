"""Functions with derivative rules of their own, under the names of `jax.custom_derivatives`."""

from pullback._src.control.closures import closure_convert, custom_gradient
from pullback._src.control.custom_jvp import custom_jvp, custom_jvp_call_p
from pullback._src.control.custom_rule import custom_rule
from pullback._src.control.custom_tangents import CustomVJPPrimal, SymbolicZero, zero_from_primal
from pullback._src.control.custom_vjp import custom_vjp, custom_vjp_call_p, custom_vjp_primal_tree_values
from pullback._src.control.linear_call import linear_call

__all__ = [
    "CustomVJPPrimal",
    "SymbolicZero",
    "closure_convert",
    "custom_gradient",
    "custom_jvp",
    "custom_jvp_call_p",
    "custom_rule",
    "custom_vjp",
    "custom_vjp_call_p",
    "custom_vjp_primal_tree_values",
    "linear_call",
    "zero_from_primal",
]
