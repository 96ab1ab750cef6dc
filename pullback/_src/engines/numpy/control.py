"""Loops and branches: functions of NumPy arrays made of the functions of their programs.

A *lowering* takes an equation and `compile`, which makes a program a function of NumPy arrays that returns a
tuple of them (and says whether it consists of kernels only), and returns the same for the equation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...core.program import Equation, Program

Array = np.ndarray[Any, Any]
Raw = tuple[Callable[..., Any], bool]
Compile = Callable[[Program], Raw]


def jit(eqn: Equation, compile: Compile) -> Raw:
    return compile(eqn.params["program"])


def cond(eqn: Equation, compile: Compile) -> Raw:
    compiled = [compile(branch) for branch in eqn.params["branches"]]
    branches = [function for function, _ in compiled]
    last = len(branches) - 1

    def run(index: Array, *operands: Array) -> Any:
        return branches[min(max(int(index), 0), last)](*operands)

    return run, all(pure for _, pure in compiled)


def while_loop(eqn: Equation, compile: Compile) -> Raw:
    test, pure_test = compile(eqn.params["cond_program"])
    step, pure_step = compile(eqn.params["body_program"])
    first = eqn.params["cond_nconsts"]
    second = first + eqn.params["body_nconsts"]

    def run(*args: Array) -> Any:
        test_consts, step_consts, carry = args[:first], args[first:second], args[second:]
        while test(*test_consts, *carry)[0]:
            carry = step(*step_consts, *carry)
        return carry

    return run, pure_test and pure_step


def scan(eqn: Equation, compile: Compile) -> Raw:
    """The loop as generated source: no lists or tuples are built for an iteration but the body's results."""
    params = eqn.params
    program: Program = params["program"]
    length = params["length"]
    step, pure = compile(program)
    first, num_carry = params["num_consts"], params["num_carry"]
    consts = [f"c{i}" for i in range(first)]
    carry = [f"s{i}" for i in range(num_carry)]
    xs = [f"x{i}" for i in range(len(program.invars) - first - num_carry)]
    out_avals = program.out_avals[num_carry:]
    ys = [f"y{i}" for i in range(len(out_avals))]
    parts = [f"p{i}" for i in range(len(out_avals))]
    namespace: dict[str, Any] = {
        "step": step,
        "empty": np.empty,
        "indices": range(length - 1, -1, -1) if params["reverse"] else range(length),
    }
    lines = [f"def run({', '.join(consts + carry + xs)}):"]
    for i, aval in enumerate(out_avals):
        namespace[f"shape{i}"], namespace[f"dtype{i}"] = (length, *aval.shape), aval.dtype
        lines.append(f"    y{i} = empty(shape{i}, dtype{i})")
    targets = ", ".join(carry + parts)
    operands = ", ".join(consts + carry + [f"{x}[at]" for x in xs])
    lines += [
        "    for i in indices:",
        "        at = i, ...",
        f"        {targets + ', = ' if targets else ''}step({operands})",
        *[f"        {y}[i] = {p}" for y, p in zip(ys, parts, strict=True)],
        f"    return [{', '.join(carry + ys)}]",
    ]
    exec(compile_source("\n".join(lines), program.name), namespace)
    return namespace["run"], pure


def compile_source(source: str, name: str) -> Any:
    """Generated Python source as code."""
    return compile(source, f"<program {name}>", "exec")


# Keyed by name: engines know nothing of the layer that defines these primitives.
lowerings: dict[str, Callable[[Equation, Compile], Raw]] = {
    "cond": cond,
    "jit": jit,
    **dict.fromkeys(("loop", "loop_record", "loop_tangent"), jit),
    **dict.fromkeys(("loop_adjoint", "loop_adjoint_mapped", "loop_adjoint_tangent"), jit),
    **dict.fromkeys(("linear_solve", "root"), jit),
    "scan": scan,
    "while": while_loop,
}
