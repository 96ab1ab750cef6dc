"""Checking derivatives."""

from ._src.api.check_grads import check_grads, check_jvp, check_vjp
from ._src.api.check_rules import check_rules

__all__ = ["check_grads", "check_jvp", "check_rules", "check_vjp"]
