"""The examples on the pages of documentation, and in docstrings, print what is shown there."""

from __future__ import annotations

import doctest
import importlib
import logging
import re
from pathlib import Path

import pytest

import pullback as pb
import pullback.numpy as pnp

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "pullback").rglob("*.py")
    if ">>>" in file.read_text(encoding="utf-8")
)
PAGES = [
    DOCS / "first_steps.md",
    DOCS / "compiling.md",
    *sorted(set((DOCS / "advanced").glob("*.md")) - {DOCS / "advanced" / "README.md"}),
]
OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page.name, str(page), 0)
    failures: list[str] = []
    logger = logging.getLogger("pullback")
    handlers = list(logger.handlers)
    try:
        doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=failures.append)
    finally:
        logger.handlers[:] = handlers
        pb.config.update("engine", "llvm")
        pb.config.update("explain_cache_misses", False)
    assert not failures, "".join(failures)
    assert test.examples


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    names = {"pb": pb, "pnp": pnp}
    result = doctest.testmod(importlib.import_module(module), extraglobs=names, optionflags=OPTIONS)
    assert result.attempted
    assert not result.failed
