"""Pytrees of arrays as vectors."""

from ._src.api.flatten_util import ravel_pytree

__all__ = ["ravel_pytree"]
