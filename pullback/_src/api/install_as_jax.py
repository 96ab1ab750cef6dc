"""Letting a program that imports `jax` use this library instead."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from ..base.errors import PullbackError

__all__ = ["JaxAlreadyImportedError", "install_as_jax"]


class JaxAlreadyImportedError(PullbackError, RuntimeError):
    """The name `jax` already means another package in this process."""


class _JaxFinder(MetaPathFinder, Loader):
    """Finds `jax` and `jax.x.y` and loads the modules of this library under these names.

    The module objects are the library's own, not copies: state such as flags exists once, and
    `jax.numpy is pullback.numpy`.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "jax":
            return None
        name = _own_name(fullname)
        # An answer of None would let the next finder look for the module in the library's own folder,
        # and load a second copy of it.
        if fullname.startswith("jax._") or importlib.util.find_spec(name) is None:
            message = f"'{fullname}' here means '{name}', and Pullback has no such module"
            raise ModuleNotFoundError(message, name=fullname)
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        # The import system hands out what sys.modules holds after this call.
        sys.modules[module.__name__] = importlib.import_module(_own_name(module.__name__))


def install_as_jax() -> None:
    """Make `import jax`, `import jax.numpy`, ... mean this library for the rest of the process.

    Calling it twice is the same as calling it once.

    Raises:
      JaxAlreadyImportedError: if the real `jax` has been imported before: modules that hold on to it
        would mix the two libraries' arrays.
    """
    if any(isinstance(finder, _JaxFinder) for finder in sys.meta_path):
        return
    if "jax" in sys.modules:
        place = getattr(sys.modules["jax"], "__file__", None)
        raise JaxAlreadyImportedError(
            f"expected a process that has not imported jax, but it has imported {place}: "
            "call install_as_jax() before the first import of jax"
        )
    sys.meta_path.insert(0, _JaxFinder())


def _own_name(jax_name: str) -> str:
    return "pullback" + jax_name.removeprefix("jax")
