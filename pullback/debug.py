"""Looking into running code: `debug.print` and `debug.callback` work under every transformation."""

from pullback._src.control.callback import debug_callback as callback
from pullback._src.control.callback import debug_print as print

__all__ = ["callback", "print"]
