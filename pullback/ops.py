"""Reductions by segments, under the names of `jax.ops`."""

from ._src.lib.segments import segment_max, segment_min, segment_prod, segment_sum

__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
