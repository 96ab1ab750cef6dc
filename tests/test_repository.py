"""What the repository promises to those who meet it first: the README, the checks, the façades."""

import ast
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest

import pullback

ROOT = Path(__file__).resolve().parents[1]
FACADES = [
    "pullback",
    *(
        module.name
        for module in pkgutil.walk_packages(pullback.__path__, "pullback.")
        if not re.match(r"pullback\.(_|.*\._)", module.name)
    ),
]


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_readme_has_exactly_two_commands() -> None:
    main, test = readme_commands()
    for command in (main, test):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert not re.search(r"https?:|(?<![\w.])/", command)
    assert main.endswith("pullback cookbook")
    assert " -m pytest" in test


def test_the_checks_run_the_readmes_test_command() -> None:
    file = ROOT / ".ci" / "run"
    text = file.read_text(encoding="utf-8")
    assert file.stat().st_mode & 0o111
    assert "set -euo pipefail" in text
    (pattern,) = re.findall(r"grep -E '(.*)' README\.md", text)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in readme if re.search(pattern, line)] == [readme_commands()[1]]
    assert 'sh -c "$test_command"' in text
    assert "pytest" not in text.replace(pattern, "")
    for check in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert f".venv/bin/{check}" in text


def test_the_changelog_names_the_current_version_or_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "Keep a Changelog" in changelog
    assert re.search(r"^## \[(Unreleased|\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)


def test_the_license_is_apache() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = project["dependencies"] + [r for extra in extras.values() for r in extra]
    for requirement in requirements:
        assert re.fullmatch(r"[\w.-]+>=[\d.]+|pullback\[\w+\]", requirement), requirement


@pytest.mark.parametrize("name", FACADES)
def test_facades_export_what_they_say(name: str) -> None:
    module = importlib.import_module(name)
    names = module.__all__
    assert len(names) == len(set(names))
    for exported in names:
        assert hasattr(module, exported), f"{name}.__all__ names {exported}, which is not there"
    assert not [n for n in names if n.startswith("_") and n != "__version__"]


PLAIN_STATEMENTS = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.AugAssign)


@pytest.mark.parametrize("name", FACADES)
def test_facades_hold_no_logic(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    for statement in ast.parse(Path(file).read_text(encoding="utf-8")).body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        # __getattr__ may import a module at its first use.
        lazy = isinstance(statement, ast.FunctionDef) and statement.name in ("__getattr__", "__dir__")
        plain = isinstance(
            statement, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.AugAssign
        )
        assert docstring or lazy or plain, (
            f"{name} has a {type(statement).__name__} on line {statement.lineno}"
        )
