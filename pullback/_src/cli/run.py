"""The `run` command: a script that imports `jax` runs on this library instead."""

import io
import sys
import traceback
import types
from pathlib import Path

from ..api.install_as_jax import install_as_jax


def run(file: Path, arguments: list[str]) -> int:
    """Run a script as `python FILE ARGUMENTS` would, with `jax` meaning this library.

    Returns:
      The exit status: 0, or 1 with a traceback on stderr if the script raises, or 2 if it cannot be
      read. `SystemExit` passes through.
    """
    try:
        with io.open_code(str(file.absolute())) as opened:
            source = opened.read()
    except OSError as error:
        print(f"pullback run: cannot open {file}: {error.strerror}", file=sys.stderr)
        return 2
    install_as_jax()
    main = types.ModuleType("__main__")
    main.__file__ = str(file)
    sys.argv = [str(file), *arguments]
    if not sys.flags.safe_path:
        # The first entry is where Python found this command; a script expects its own folder there.
        sys.path[0] = str(file.resolve().parent)
    sys.modules["__main__"] = main
    try:
        exec(compile(source, str(file), "exec", dont_inherit=True), vars(main))
    except SystemExit:
        raise
    except BaseException as error:
        return _report(error)
    return 0


def _report(error: BaseException) -> int:
    """Print the traceback from the script's own first frame on, as the interpreter would."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    if sys.excepthook is sys.__excepthook__:
        traceback.print_exception(type(error), error, frames)
    else:
        sys.excepthook(type(error), error, frames)
    return 130 if isinstance(error, KeyboardInterrupt) else 1
