"""The sample matrix of `odeint`.

Steps are short, and of one length: all derivatives then agree to rounding, whatever rounding does to steps
that adapt (tests/advanced/test_ode.py has those).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import pullback.numpy as pnp
from pullback._src.core.array import Array
from pullback._src.transforms.linearize import linearize, push_forward
from pullback.experimental.ode import odeint

from ..flat import flat
from ..matrix import Sample, matrix_cells, run_cell

_T = np.array([0.1, 0.12, 0.16])
_Y = np.array([0.7, -0.4])
_K = np.array([1.3, 0.2])


def _slope(n: Any, y: Any, t: Any, k: Any) -> Any:
    return n.stack([y[1], -k[0] * n.sin(y[0]) - k[1] * y[1] * n.cos(t)])


def _solution(y: Any, k: Any, t: Any) -> Any:
    return odeint(lambda y, t, k: _slope(pnp, y, t, k), y, t, k, rtol=1e-3, atol=1e-3, hmax=0.004)


def _reference(y: Any, k: Any, t: Any) -> Any:
    found = solve_ivp(
        lambda s, y: _slope(np, y, s, k), (t[0], t[-1]), y, t_eval=t, rtol=1e-13, atol=1e-13, method="DOP853"
    )
    return found.y.T


def _pushforward(y: Any, k: Any, dy: Any) -> list[Array]:
    _, linear = linearize(flat(lambda y: _solution(y, k, pnp.asarray(_T))), [y])
    return push_forward(linear.program, linear.residuals, [dy])


def _reference_pushforward(y: Any, k: Any, dy: Any) -> Any:
    h = 1e-4
    return (_reference(y + h * dy, k, _T) - _reference(y - h * dy, k, _T)) / (2 * h)


SAMPLES = [
    Sample(
        "odeint-f64",
        _solution,
        (_Y, _K, _T),
        _reference,
        (0, 1, 2),
        order=1,
        batchable=(0,),
        rtol=1e-11,
        atol=1e-12,
        primitives=("odeint",),
    ),
    Sample(
        "odeint-tangent-f64",
        _pushforward,
        (_Y, _K, np.array([0.3, 0.5])),
        _reference_pushforward,
        (),
        batchable=(2,),
        rtol=1e-6,
        atol=1e-6,
        primitives=("odeint_tangent",),
    ),
]


@pytest.mark.parametrize(("sample", "cell"), matrix_cells(SAMPLES))
def test_matrix(sample: Sample, cell: str) -> None:
    run_cell(sample, cell)
