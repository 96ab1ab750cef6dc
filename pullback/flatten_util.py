"""Pytrees of arrays as vectors."""

from ._src.lib.flatten_util import ravel_pytree

__all__ = ["ravel_pytree"]
