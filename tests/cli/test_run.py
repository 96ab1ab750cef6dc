import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import jax, jax.numpy as jnp
import jax.random
import pullback
from jax import grad
assert jax is pullback and jnp is pullback.numpy and jax.random is pullback.random
assert sys.modules["jax.numpy"] is pullback.numpy and jnp.__spec__.name == "pullback.numpy"

def g():
    raise ValueError("boom")

if __name__ == "__main__":
    print(sys.argv[1:], __file__ == sys.argv[0], grad(jnp.tanh)(2.0))
    print(sys.modules["__main__"].g is g)
    import helper
    print(helper.sine is jnp.sin)
    if "fail" in sys.argv:
        g()
    if "exit" in sys.argv:
        sys.exit(5)
    if "missing" in sys.argv:
        import jax.no_such_module
    if "private" in sys.argv:
        import jax._src
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("from jax.numpy import sin as sine\n")
    file = tmp_path / "program.py"
    file.write_text(SCRIPT)
    return file


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pullback", "run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_script_meets_its_own_world(script: Path) -> None:
    done = run(script, "--flag", "value")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['--flag', 'value'] True 0.070650816\nTrue\nTrue\n"


def test_the_traceback_begins_in_the_script(script: Path) -> None:
    done = run(script, "fail")
    assert done.returncode == 1
    line = SCRIPT.splitlines().index("        g()") + 1
    assert done.stderr.startswith(
        f'Traceback (most recent call last):\n  File "{script}", line {line}, in <module>'
    )
    assert done.stderr.endswith("ValueError: boom\n")
    assert "pullback/_src" not in done.stderr


def test_the_exit_status_is_the_scripts(script: Path) -> None:
    assert run(script, "exit").returncode == 5


@pytest.mark.parametrize(("argument", "name"), [("missing", "jax.no_such_module"), ("private", "jax._src")])
def test_missing_modules_are_named(script: Path, argument: str, name: str) -> None:
    done = run(script, argument)
    assert done.returncode == 1
    assert f"ModuleNotFoundError: '{name}' here means" in done.stderr


def test_a_syntax_error_is_the_scripts(tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text("x = (\n")
    done = run(file)
    assert done.returncode == 1
    assert done.stderr.startswith(f'  File "{file}", line 1')


def test_a_missing_script_is_reported(tmp_path: Path) -> None:
    done = run(tmp_path / "none.py")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "none.py: No such file or directory" in done.stderr
