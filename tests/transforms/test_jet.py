"""Taylor mode against nested forward mode, for a sample of every differentiable primitive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import pullback._src.control.taylor  # noqa: F401  # rules of control flow
from pullback._src.base.errors import NotDifferentiableError
from pullback._src.core.aval import Zero
from pullback._src.ops.structural import instantiate
from pullback._src.transforms.jet import jet
from pullback._src.transforms.jvp import jvp

from ..flat import Flat, flat
from ..matrix import Sample, _random, arrays, epsilon, precision_of
from ..test_completeness import samples

ORDER = 3


def _chosen() -> list[Sample]:
    """One sample for each set of primitives, at 64 bits where there is one."""
    found: dict[tuple[str, ...], Sample] = {}
    for s in samples():
        if s.differentiable and (s.primitives not in found or _wide(s) > _wide(found[s.primitives])):
            found[s.primitives] = s
    return list(found.values())


def _wide(sample: Sample) -> int:
    return max((a.dtype.itemsize for a in sample.args if isinstance(a, np.ndarray)), default=0)


def _pushed(function: Flat, where: Sequence[int], directions: Sequence[Any]) -> Flat:
    """The derivative along fixed directions."""

    def run(*xs: Any) -> list[Any]:
        tangents: list[Any] = [Zero(x.aval.tangent) for x in xs]
        for i, v in zip(where, directions, strict=True):
            tangents[i] = v
        outs, out_tangents = jvp(function, xs, tangents)
        smooth = [o.aval.tangent is o.aval for o in outs]
        return [instantiate(t) for t, s in zip(out_tangents, smooth, strict=True) if s]

    return run


@pytest.mark.parametrize("sample", _chosen(), ids=lambda s: s.name)
def test_agrees_with_nested_forward_mode(sample: Sample) -> None:
    with precision_of(sample):
        function, args = flat(sample.function), arrays(sample.args)
        # The times of a solution have no power series.
        where = sample.differentiable[:2] if sample.name == "odeint-f64" else sample.differentiable
        directions = [_random((3, i), args[i]) for i in where]
        terms: list[Any] = [None] * len(args)
        for i, v in zip(where, directions, strict=True):
            terms[i] = [v] + [Zero(v.aval)] * (ORDER - 1)
        if sample.name.startswith("igamma"):
            with pytest.raises(NotDifferentiableError, match="of which the next has no known formula"):
                jet(function, args, terms, ORDER)
            return
        outs, found = jet(function, args, terms, ORDER)
        smooth = [i for i, o in enumerate(outs) if o.aval.tangent is o.aval]
        assert all(found[i] is None for i in range(len(outs)) if i not in smooth)
        nested = function
        scale = [0.0] * len(outs)
        for k in range(1, ORDER + 1):
            nested = _pushed(nested, where, directions)
            for i, expected in zip(smooth, nested(*args), strict=True):
                column = found[i]
                term = Zero(outs[i].aval) if column is None else column[k - 1]
                actual = np.asarray(instantiate(term)) * math.factorial(k)
                wanted = np.asarray(expected)
                # What cancels in a derivative is as large as the value or the derivative before.
                scale[i] = np.max(np.abs(wanted), where=np.isfinite(wanted), initial=scale[i])
                unit = epsilon(outs[i].aval.dtype)
                np.testing.assert_allclose(
                    actual,
                    wanted,
                    rtol=1e5 * unit,
                    atol=1e5 * unit * scale[i],
                    err_msg=f"order {k}, result {i}",
                )
