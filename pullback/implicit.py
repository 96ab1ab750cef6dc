"""Implicit functions: solutions of equations, differentiable by the equations' parameters."""

from ._src.advanced.implicit import (
    Info,
    anderson,
    argmin,
    bicgstab,
    bisection,
    cg,
    dense,
    fixed_point,
    gmres,
    iteration,
    newton,
    root,
)

__all__ = [
    "Info",
    "anderson",
    "argmin",
    "bicgstab",
    "bisection",
    "cg",
    "dense",
    "fixed_point",
    "gmres",
    "iteration",
    "newton",
    "root",
]
