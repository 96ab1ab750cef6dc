"""What operations accept: un-jitted code takes the dtypes that programs take, and refuses the others."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import pullback as pb
import pullback.numpy as pnp
from pullback import lax
from pullback.scipy import special

DTYPES = ["bool", "uint8", "int32", "bfloat16", "float32", "complex64"]


def _elementwise() -> Iterator[tuple[str, Callable[..., Any], int]]:
    """Functions of one to three arrays that broadcast, with the number of arrays."""
    spaces = [("lax", lax, ["x"]), ("nn", pb.nn, ["x"]), ("special", special, ["x", "z", "p", "n"])]
    for space, module, first in spaces:
        for name in sorted(set(dir(module)) - {"bernoulli"}):
            function = getattr(module, name)
            if name.startswith("_") or isinstance(function, type) or not inspect.isfunction(function):
                continue
            given = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
            if given and given[0].name in first and len(given) == 1:
                yield f"{space}.{name}", function, 1
    for name in ("logaddexp", "hypot", "igamma", "igammac", "polygamma", "zeta", "betainc", "clamp"):
        if hasattr(lax, name):
            yield f"lax.{name}", getattr(lax, name), 3 if name in ("betainc", "clamp") else 2
    for name in ("betaln", "gammainc", "rel_entr", "kl_div", "xlogy", "comb", "poch", "owens_t"):
        yield f"special.{name}", getattr(special, name), 2


FUNCTIONS = {name: (function, arity) for name, function, arity in _elementwise()}


def test_functions_are_found() -> None:
    wanted = {"lax.erf", "lax.round", "lax.sin", "lax.betainc", "nn.relu", "special.ndtr", "special.erfcx"}
    assert wanted <= FUNCTIONS.keys() and len(FUNCTIONS) > 90


@pytest.mark.parametrize("name", FUNCTIONS)
def test_un_jitted_code_accepts_what_programs_do(name: str) -> None:
    function, arity = FUNCTIONS[name]
    for dtype in DTYPES:
        args = [pnp.ones(4, dtype)] * arity
        staged, computed = (_types_or_error(f, args) for f in (partial(pb.eval_shape, function), function))
        assert computed == staged, dtype


def _types_or_error(function: Callable[..., Any], args: list[Any]) -> Any:
    try:
        return pb.tree.map(lambda a: (a.shape, a.dtype), function(*args))
    except TypeError as error:
        return str(error).splitlines()[0]


def test_complex_arguments_of_real_functions_are_refused() -> None:
    with pytest.raises(pb.errors.DTypeError, match=r"erfcx expects .* floating-point; got dtype complex64"):
        special.erfcx(np.complex64(1j))
    with pytest.raises(pb.errors.DTypeError, match="ndtr expects"):
        special.ndtr(1j)
