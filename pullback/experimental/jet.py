"""Taylor-mode differentiation, under the name of `jax.experimental.jet`."""

from pullback._src.advanced.taylor import jet

__all__ = ["jet"]
