"""Functions with batching rules of their own, under the names of `jax.custom_batching`."""

from pullback._src.control.custom_vmap import custom_vmap, sequential_vmap

__all__ = ["custom_vmap", "sequential_vmap"]
