"""Which CPU code is generated for: this machine's, or one with fewer instructions.

The environment variable `PULLBACK_CPU` says which: `native` (the default), `generic` (any machine of the
architecture), or a level of x86-64: `x86-64-v2` (SSE4.2), `x86-64-v3` (AVX2 and FMA), `x86-64-v4` (AVX-512).
Machines that share a cache on disk share its entries if they generate code for the same CPU. The text of
programs depends on it in one place only: whether numbers are scaled by one instruction (`math.base.scales`).
"""

from __future__ import annotations

from collections.abc import Mapping

_SECOND = ("cx16", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2")
_THIRD = (*_SECOND, "avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe")
_FOURTH = (*_THIRD, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

# What a machine must have.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "generic": (),
    "x86-64-v2": _SECOND,
    "x86-64-v3": _THIRD,
    "x86-64-v4": _FOURTH,
}


def chosen(wanted: str, name: str, features: Mapping[str, bool]) -> tuple[str, str] | None:
    """The name and features to generate code for, or None for this machine's.

    Args:
        wanted: the value of the environment variable; empty or `native` for this machine.
        name: this machine's CPU.
        features: what this machine has.

    Raises:
        ValueError: the name is not one of the above, or this machine cannot run such code.
    """
    if wanted in ("", "native"):
        return None
    if wanted not in NEEDED:
        raise ValueError(
            f"Environment variable PULLBACK_CPU: expected one of native, {', '.join(NEEDED)}; got {wanted!r}"
        )
    missing = [feature for feature in NEEDED[wanted] if not features.get(feature)]
    if missing:
        raise ValueError(
            f"Environment variable PULLBACK_CPU: this machine ({name}) cannot run code for {wanted}: it has "
            f"no {', '.join(missing)}. Use generic, or native for all that it has."
        )
    return wanted, ""


__all__ = ["NEEDED", "chosen"]
