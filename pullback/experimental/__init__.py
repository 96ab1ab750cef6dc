"""Names that JAX keeps under `jax.experimental`."""

from pullback._src.base.config import enable_x64
from pullback._src.control.callback import io_callback

__all__ = ["enable_x64", "io_callback"]
