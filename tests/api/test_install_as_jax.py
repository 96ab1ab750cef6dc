import subprocess
import sys

import pytest

import pullback as pb


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_jax_is_pullback() -> None:
    done = run(
        "import pullback; pullback.install_as_jax(); pullback.install_as_jax()\n"
        "import jax.numpy as jnp, jax\n"
        "from jax.tree_util import tree_map\n"
        "assert jax is pullback and jnp is pullback.numpy and tree_map is pullback.tree_util.tree_map\n"
        "assert jax.__spec__.name == 'pullback' and jnp.__spec__.name == 'pullback.numpy'\n"
        "import importlib.util\n"
        "assert importlib.util.find_spec('json') is not None\n"
    )
    assert done.returncode == 0, done.stderr


def test_it_refuses_where_jax_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    assert sys.modules["jax"] is jax
    with pytest.raises(RuntimeError, match="before the first import of jax"):
        pb.install_as_jax()
    import jax.numpy as jnp

    assert jnp is not pb.numpy
