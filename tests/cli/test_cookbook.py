from pathlib import Path

import numpy as np
import pytest

from pullback._src.cli import cookbook as command
from pullback._src.cli.csv_data import LabelledData
from pullback._src.cli.document import Document, parse_document
from pullback._src.cli.training import Result, train

DOCUMENT = """
A preface.

#%% document A title
#%% section A section
#%% code
import jax
import jax.numpy as jnp
print("slope", jax.grad(jnp.square)(1.5))
#%% output
slope {documented}
#%% code
silent = 1
#%% code
jnp.sin(0.0)
#%% restored-output
Array(0., dtype=float32)
"""


def digits() -> LabelledData:
    return command._digits()


@pytest.fixture
def instant_training(monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result(initial_loss=2.3, final_loss=0.1, correct=98, test_rows=100, train_rows=400)
    monkeypatch.setattr(command, "train", lambda data: result)


def with_document(monkeypatch: pytest.MonkeyPatch, documented: str) -> None:
    documents: list[Document] = [parse_document(DOCUMENT.format(documented=documented))]
    monkeypatch.setattr(command, "load_documents", lambda: documents)


@pytest.mark.usefixtures("instant_training")
def test_agreement_is_success(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with_document(monkeypatch, "3.0")
    assert command.cookbook() == 0
    printed = capsys.readouterr().out
    assert "    pullback    slope 3.0\n    documented  slope 3.0\n    agrees" in printed
    assert "ran 1 line that prints nothing" in printed
    assert "3 of 3 code cells ran without an error" in printed
    assert "2 of 2 documented results agree" in printed
    assert "accuracy 98.0% (98 correct)" in printed


@pytest.mark.usefixtures("instant_training")
def test_a_wrong_number_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with_document(monkeypatch, "3.1")
    assert command.cookbook() == 1
    assert "DISAGREES, 3.0 where 3.1 is documented" in capsys.readouterr().out


@pytest.mark.usefixtures("instant_training")
def test_an_error_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    document = parse_document("#%% document D\n#%% section S\n#%% code\nraise KeyError('lost')\n")
    monkeypatch.setattr(command, "load_documents", lambda: [document])
    assert command.cookbook() == 1
    printed = capsys.readouterr().out
    assert "KeyError: 'lost'" in printed
    assert "0 of 1 code cells ran" in printed


def test_poor_accuracy_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with_document(monkeypatch, "3.0")
    monkeypatch.setattr(command, "train", lambda data: Result(2.3, 0.1, 95, 100, 400))
    assert command.cookbook() == 1
    assert "at least 96%" in capsys.readouterr().out


def test_unknown_directives_are_refused() -> None:
    with pytest.raises(ValueError, match="expects one of its directives"):
        parse_document("#%% chapter A\n")


def test_digits_are_learnt() -> None:
    data = digits()
    assert data.features.shape == (1797, 64)
    result = train(data, epochs=12)
    assert (result.train_rows, result.test_rows) == (1438, 359)
    assert result.final_loss < 0.1 < 2 < result.initial_loss
    assert result.accuracy >= 0.96


def test_training_is_reproducible() -> None:
    data = digits()
    few = LabelledData(data.features[:200], data.labels[:200], data.classes)
    assert train(few, epochs=2) == train(few, epochs=2)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_scale_and_constant_columns_do_not_matter(scale: float) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 100).astype(np.int32)
    signal = labels + 0.1 * rng.normal(size=100)
    features = np.stack([scale * signal, np.full(100, 7.0)], axis=1)
    result = train(LabelledData(features, labels, ("no", "yes")), epochs=40)
    assert result.accuracy == 1.0


def test_two_rows_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "two.csv"
    file.write_text("1,2,yes\n2,1,no\n")
    assert command.cookbook(file) == 0
    assert "trained on 1 rows" in capsys.readouterr().out
