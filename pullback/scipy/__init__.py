"""Functions of SciPy on arrays that can be differentiated, batched and compiled."""

from . import linalg as linalg
from . import sparse as sparse
from . import special as special
from . import stats as stats

__all__ = [name for name in dir() if not name.startswith("_")]
