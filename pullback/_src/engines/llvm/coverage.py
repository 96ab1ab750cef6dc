"""Why primitives run in Python: what the coverage page and inspections say."""

from __future__ import annotations

from .elementwise import rules
from .inline import CALLS
from .lower import lowerings

NARROW = "of dtypes of fewer than eight bits or of eight-bit floats"
_CALLBACK = "it runs the user's Python function"
_LIBRARY = "the algorithm is a library's (LAPACK, pocketfft), which SciPy and NumPy call"
_SPECIAL = "the function is SciPy's, or computed by a loop of NumPy's operations"
_REPLACED = "transformations replace it before a program is compiled, unless it is what remains of one"
_NAMED = "it needs a named axis, which `vmap` replaces before a program is compiled"
_SAMPLED = "samples are drawn by rejection, in a loop of NumPy's operations"
_FACTORS = "matrices without rows or columns"
_WIDE = "indices of a dtype too narrow for the axis; empty arrays; complex numbers"
_ORDER = "complex numbers, whose order is that of their parts"

# Primitives that always run in Python, and why.
always: dict[str, str] = {
    **dict.fromkeys(("debug_callback", "io_callback", "pure_callback"), _CALLBACK),
    **dict.fromkeys(("custom_vjp_linear", "linear_call"), _REPLACED),
    **dict.fromkeys(
        ("all_gather", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum", "psum_scatter"), _NAMED
    ),
    **dict.fromkeys(
        ("cofactor", "eig", "fft", "hessenberg", "pinv", "schur", "tridiagonal", "tridiagonal_solve"),
        _LIBRARY,
    ),
    **dict.fromkeys(("random_binomial", "random_gamma", "random_poisson"), _SAMPLED),
    **dict.fromkeys(("igamma_grad_a", "polygamma", "random_gamma_grad", "sinc", "wofz", "zeta"), _SPECIAL),
    "lu_pivots_to_permutation": "a loop of swaps, on few numbers",
}

# Primitives that run in Python in some cases, and in which, besides operands of the NARROW dtypes.
sometimes: dict[str, str] = {
    **dict.fromkeys(("argmax", "argmin", "searchsorted", "top_k"), _WIDE),
    **dict.fromkeys(
        (
            "cummax",
            "cummin",
            "reduce_max",
            "reduce_min",
            "reduce_window_max",
            "reduce_window_min",
            "scatter_max",
            "scatter_min",
            "window_deposit",
            "window_select",
        ),
        _ORDER,
    ),
    **dict.fromkeys(
        (
            "cholesky",
            "det",
            "eigh",
            "eigvalsh",
            "geqrf",
            "householder_product",
            "inv",
            "lu",
            "slogdet",
            "solve",
            "svd",
            "triangular_solve",
        ),
        _FACTORS,
    ),
    "qr": f"pivoting; {_FACTORS}",
    "random_bits": "2**30 numbers or more at once",
    "random_split": "2**30 keys or more at once",
    "sort": "2**31 elements or more along the axis",
}


def is_native(name: str) -> bool:
    """Whether there is native code for a primitive, at least in some cases."""
    return name in lowerings or name in rules or name in CALLS


def reason(name: str) -> str:
    """Why an equation of this primitive runs in Python, given that it does."""
    if is_native(name):
        return "; ".join([*([sometimes[name]] if name in sometimes else []), f"operands {NARROW}"])
    return always.get(name, "nobody has written native code for it yet")


__all__ = ["NARROW", "always", "is_native", "reason", "sometimes"]
