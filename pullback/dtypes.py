"""Data types beyond NumPy's and how they promote; the names of ``jax.dtypes``."""

from ._src.core.dtypes import TypePromotionError as TypePromotionError
from ._src.core.dtypes import bfloat16 as bfloat16
from ._src.core.dtypes import canonicalize_dtype as canonicalize_dtype
from ._src.core.dtypes import extended as extended
from ._src.core.dtypes import finfo as finfo
from ._src.core.dtypes import float0 as float0
from ._src.core.dtypes import iinfo as iinfo
from ._src.core.dtypes import issubdtype as issubdtype
from ._src.core.dtypes import itemsize_bits as itemsize_bits
from ._src.core.dtypes import prng_key as prng_key
from ._src.core.dtypes import result_type as result_type
from ._src.core.dtypes import scalar_type_of as scalar_type_of

__all__ = [
    "TypePromotionError",
    "bfloat16",
    "canonicalize_dtype",
    "extended",
    "finfo",
    "float0",
    "iinfo",
    "issubdtype",
    "itemsize_bits",
    "prng_key",
    "result_type",
    "scalar_type_of",
]
