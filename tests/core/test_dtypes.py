"""Dtypes against JAX's: canonical forms, promotion of all pairs, categories, limits, names, warnings."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import operator
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.dtypes
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import pullback.dtypes as public
from pullback._src.base.config import enable_x64, numpy_dtype_promotion
from pullback._src.base.errors import DTypeError, PullbackError
from pullback._src.core import dtypes

oracle: Any = jax.dtypes  # for the type checker: the oracle does not declare all that it exports

shape_of: Any = functools.partial(jax.ShapeDtypeStruct, ())

NAMES = [
    "bool", "uint2", "uint4", "uint8", "uint16", "uint32", "uint64", "int2", "int4", "int8", "int16", "int32",
    "int64", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3",
    "float8_e8m0fnu", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "bfloat16", "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
DTYPES = [np.dtype(getattr(np, name, None) or getattr(ml_dtypes, name)) for name in NAMES]
PYTHON_TYPES = [bool, int, float, complex]
VALUES: list[Any] = [
    *DTYPES,
    *PYTHON_TYPES,
    True,
    1,
    1.0,
    1j,
    np.float32(1),
    np.float64(1),
    np.int64(1),
    np.zeros(2),
]


@contextlib.contextmanager
def modes(x64: bool, promotion: str = "standard") -> Iterator[None]:
    """The same modes in both libraries; the oracle's warnings about 64-bit names are no subject here."""
    with warnings.catch_warnings(), enable_x64(x64), numpy_dtype_promotion(promotion):
        warnings.filterwarnings("ignore", message="Explicitly requested dtype")
        with jax.enable_x64(x64), jax.numpy_dtype_promotion(promotion):
            yield


def outcome(function: Any, *args: Any, **kwargs: Any) -> Any:
    """The result, or that there was an error."""
    try:
        return function(*args, **kwargs)
    except (ValueError, TypeError):
        return "error"


both_widths = pytest.mark.parametrize("x64", [False, True])
both_promotions = pytest.mark.parametrize("promotion", ["standard", "strict"])


@both_widths
@both_promotions
def test_result_type_of_all_pairs_is_that_of_jax(x64: bool, promotion: str) -> None:
    with modes(x64, promotion):
        for a, b in itertools.product(VALUES, VALUES):
            ours = outcome(dtypes.result_type, a, b, return_weak_type_flag=True)
            theirs = outcome(oracle.result_type, a, b, return_weak_type_flag=True)
            assert ours == theirs, (a, b)


@both_widths
def test_result_type_of_triples_is_that_of_jax(x64: bool) -> None:
    names = "bool uint8 int8 uint32 int32 uint64 bfloat16 float16 float32 float64 complex64 float8_e5m2 int4"
    chosen = [np.dtype(name) for name in names.split()]
    with modes(x64):
        for triple in itertools.product([*chosen, *PYTHON_TYPES], repeat=3):
            ours = outcome(dtypes.result_type, *triple, return_weak_type_flag=True)
            theirs = outcome(oracle.result_type, *triple, return_weak_type_flag=True)
            assert ours == theirs, triple


@both_widths
@both_promotions
def test_promote_types_of_all_pairs_is_that_of_jax(x64: bool, promotion: str) -> None:
    with modes(x64, promotion):
        for a, b in itertools.product([*DTYPES, *PYTHON_TYPES], repeat=2):
            assert outcome(dtypes.promote_types, a, b) == outcome(jnp.promote_types, a, b), (a, b)


@both_widths
def test_lattice_result_type_is_the_type_of_sums_of_arrays(x64: bool) -> None:
    """Weak and strong arrays of all ordinary dtypes, added by the oracle (in types only)."""
    with modes(x64):
        names = "bool uint8 int16 int32 uint32 bfloat16 float16 float32 complex64"
        kinds = [np.dtype(name) for name in names.split()]
        arrays = [jnp.zeros((), dtype) for dtype in kinds] + [jnp.asarray(v) for v in (1, 1.0, 1j)]
        for a, b in itertools.product(arrays, repeat=2):
            add = operator.or_ if a.dtype == b.dtype == bool else operator.add
            total = jax.eval_shape(add, a, b)
            pair = ((a.dtype, a.weak_type), (b.dtype, b.weak_type))
            assert dtypes.lattice_result_type(*pair) == (total.dtype, total.weak_type), pair


def test_weak_operands_keep_their_precision_among_themselves() -> None:
    half, single = np.dtype(np.float16), np.dtype(np.float32)
    assert dtypes.lattice_result_type((half, True), (half, True)) == (half, True)
    assert dtypes.lattice_result_type((half, True), (single, True)) == (single, True)
    assert dtypes.lattice_result_type((half, False), (single, True)) == (half, False)
    assert dtypes.lattice_result_type((single, True)) == (single, True)


def test_promotion_is_commutative_and_idempotent() -> None:
    for a, b in itertools.product(DTYPES, repeat=2):
        assert outcome(dtypes.promote_types, a, b) == outcome(dtypes.promote_types, b, a)
        assert dtypes.promote_types(a, a) is a


@pytest.mark.parametrize(
    ("a", "b", "match"),
    [
        ("float8_e4m3fn", "float32", r"float32 and float8_e4m3fn .* 8 bits or fewer .*\.astype\('float32'\)"),
        ("int4", "int8", r"int4 and int8 .* 4 bits or fewer .*\.astype\('int32'\)"),
    ],
)
def test_small_types_do_not_promote_and_the_error_says_what_to_do(a: str, b: str, match: str) -> None:
    with pytest.raises(dtypes.TypePromotionError, match=match) as caught:
        dtypes.promote_types(a, b)
    assert isinstance(caught.value, (PullbackError, TypeError)) and isinstance(caught.value, ValueError)


def test_strict_promotion_error_names_flag_and_remedy() -> None:
    with numpy_dtype_promotion("strict"):
        with pytest.raises(dtypes.TypePromotionError, match=r"Python float and int32 .*strict.*astype"):
            dtypes.result_type(1.0, "int32")
        assert dtypes.result_type(1.0, "float32") == np.float32
    assert dtypes.result_type(1.0, "int32") == np.float32


def test_result_type_refuses_what_has_no_dtype() -> None:
    for bad in ([1, 2], (1.0,), object(), {}):
        with pytest.raises(TypeError, match="convert lists and tuples"):
            dtypes.result_type(bad)
    for unsupported in ("object", "M8[s]", "S3", np.dtype([("a", "i4")])):
        with pytest.raises(TypeError, match="booleans, numbers or random keys"):
            dtypes.result_type(unsupported)
    with pytest.raises(TypeError, match=r"Expected a dtype.*'foo'"):
        dtypes.result_type("foo")
    with pytest.raises(ValueError, match="At least one"):
        dtypes.result_type()


@both_widths
def test_canonicalize_dtype_is_that_of_jax(x64: bool) -> None:
    with modes(x64):
        for dtype in [*DTYPES, *PYTHON_TYPES, *NAMES, np.float64, np.int64, jnp.float64, dtypes.float0, None]:
            theirs = oracle.canonicalize_dtype(dtype)
            assert dtypes.canonicalize_dtype(dtype) == theirs, dtype
            assert dtypes.canonicalize_value_dtype(dtype) == theirs, dtype


def test_foreign_byte_order_becomes_native() -> None:
    assert dtypes.as_numpy_dtype(">f4") == np.dtype("=f4")
    assert dtypes.canonicalize_dtype(np.dtype(">f8")) == np.dtype("=f4")


def test_things_that_are_no_dtype_are_refused() -> None:
    for bad in ("float99", [1], object(), 3):
        with pytest.raises(DTypeError, match="Expected a dtype"):
            dtypes.canonicalize_dtype(bad)
    for unsupported in (object, "U3", "M8[s]", "longdouble"):
        with pytest.raises(DTypeError, match="booleans, numbers or random keys"):
            dtypes.canonicalize_value_dtype(unsupported)


@both_widths
def test_python_scalar_dtypes(x64: bool) -> None:
    with modes(x64):
        for python_type in PYTHON_TYPES:
            assert dtypes.python_scalar_dtype(python_type) == jnp.asarray(python_type(1)).dtype
        assert dtypes.default_int_dtype() == jnp.asarray(1).dtype
        assert dtypes.default_float_dtype() == jnp.asarray(1.0).dtype
        assert dtypes.default_complex_dtype() == jnp.asarray(1j).dtype

        class Colour(int):
            pass

        assert dtypes.python_scalar_dtype(Colour) == dtypes.default_int_dtype()
    with pytest.raises(DTypeError, match="number types"):
        dtypes.python_scalar_dtype(str)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint64", "complex128", np.float64, np.dtype("int64")])
def test_narrowing_of_explicit_dtypes_warns_as_jax_does(dtype: Any) -> None:
    with pytest.warns(UserWarning, match="Explicitly requested dtype") as ours:
        result = dtypes.check_user_dtype(dtype, "zeros")
    with pytest.warns(UserWarning, match="Explicitly requested dtype") as theirs:
        assert jnp.zeros(2, dtype).dtype == result
    cut = " To enable"
    assert str(ours[0].message).split(cut)[0] == str(theirs[0].message).split(cut)[0]
    assert "PULLBACK_ENABLE_X64=1" in str(ours[0].message)
    assert ours[0].filename == __file__  # the warning names the user's line
    with enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dtypes.check_user_dtype(dtype) == np.dtype(dtype)


def test_ordinary_explicit_dtypes_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dtypes.check_user_dtype(float) == np.float32
        assert dtypes.check_user_dtype(int) == np.int32
        assert dtypes.check_user_dtype("bfloat16") == dtypes.bfloat16
        assert dtypes.check_user_dtype(jnp.float32) == np.float32
        assert dtypes.check_user_dtype(dtypes.key_dtype) == dtypes.KEY_DTYPE
    with pytest.raises(DTypeError, match="the dtype requested in zeros is object"):
        dtypes.check_user_dtype(object, "zeros")


ABSTRACT = [np.generic, np.number, np.integer, np.signedinteger, np.unsignedinteger, np.inexact, np.floating,
            np.complexfloating, np.bool_, np.void, np.character]  # fmt: skip


def test_issubdtype_is_that_of_jax() -> None:
    their_key = jax.random.key(0).dtype
    ours = [*DTYPES, *PYTHON_TYPES, *ABSTRACT, np.float32, dtypes.bfloat16, dtypes.float0, dtypes.prng_key,
            dtypes.extended, dtypes.key_dtype]  # fmt: skip
    theirs = [*ours[:-3], oracle.prng_key, oracle.extended, their_key]
    for (a, their_a), (b, their_b) in itertools.product(zip(ours, theirs, strict=True), repeat=2):
        assert dtypes.issubdtype(a, b) == oracle.issubdtype(their_a, their_b), (a, b)
    assert dtypes.issubdtype(dtypes.KEY_DTYPE, dtypes.prng_key)
    assert not dtypes.issubdtype(dtypes.KEY_DTYPE, np.void)


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_predicates_agree_with_issubdtype(dtype: np.dtype[Any]) -> None:
    for predicate, category in [
        (dtypes.is_bool, np.bool_), (dtypes.is_integer, np.integer), (dtypes.is_inexact, np.inexact),
        (dtypes.is_signed_integer, np.signedinteger), (dtypes.is_unsigned_integer, np.unsignedinteger),
        (dtypes.is_floating, np.floating), (dtypes.is_complex, np.complexfloating),
    ]:  # fmt: skip
        assert predicate(dtype) == oracle.issubdtype(dtype, category)
    assert dtypes.is_supported(dtype) and not dtypes.is_key(dtype) and not dtypes.is_extended(dtype)


@pytest.mark.parametrize("name", [n for n in NAMES if "float" in n or "complex" in n])
def test_finfo_is_that_of_jax(name: str) -> None:
    ours: Any = dtypes.finfo(name)  # type: ignore[no-untyped-call]
    theirs: Any = oracle.finfo(name)
    for field in (
        "bits",
        "eps",
        "max",
        "min",
        "tiny",
        "smallest_subnormal",
        "dtype",
        "nmant",
        "maxexp",
        "minexp",
    ):
        np.testing.assert_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)


@pytest.mark.parametrize("name", [n for n in NAMES if "int" in n])
def test_iinfo_is_that_of_jax(name: str) -> None:
    ours: Any = dtypes.iinfo(name)  # type: ignore[no-untyped-call]
    theirs: Any = oracle.iinfo(name)
    assert (ours.min, ours.max, ours.bits) == (theirs.min, theirs.max, theirs.bits)


def test_limits_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError):
        dtypes.finfo("int32")  # type: ignore[no-untyped-call]
    with pytest.raises(ValueError):
        dtypes.iinfo("float32")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_sizes_and_python_kinds_are_those_of_jax(dtype: np.dtype[Any]) -> None:
    with modes(True):
        assert dtypes.itemsize_bits(dtype) == oracle.itemsize_bits(dtype)
        assert dtypes.scalar_type_of(dtype) is oracle.scalar_type_of(dtype)


def test_scalar_type_of_values() -> None:
    for x in (True, 1, 1.0, 1j, np.float32(1), np.zeros(2, np.int8), "float32"):
        assert dtypes.scalar_type_of(x) is oracle.scalar_type_of(x)
    with pytest.raises(ValueError, match="None"):
        dtypes.scalar_type_of(None)
    with pytest.raises(TypeError, match="key<fry>"):
        dtypes.scalar_type_of(dtypes.key_dtype)


@both_widths
def test_inexact_dtype_is_that_of_a_sine(x64: bool) -> None:
    with modes(x64):
        for name in ("bool", "int4", "uint4", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64",
                     "bfloat16", "float16", "float32", "float64", "complex64", "complex128"):  # fmt: skip
            dtype = dtypes.canonicalize_dtype(name)
            assert dtypes.to_inexact_dtype(dtype) == jax.eval_shape(jnp.sin, jnp.zeros((), dtype)).dtype, name


@pytest.mark.parametrize("name", ["int8", "int32", "bfloat16", "float16", "float32", "complex64"])
def test_complex_and_real_dtypes_are_those_of_an_fft_and_a_real_part(name: str) -> None:
    dtype = np.dtype(name)
    if name not in ("bfloat16", "float16"):
        assert dtypes.to_complex_dtype(dtype) == jax.eval_shape(jnp.fft.fft, jnp.zeros(4, dtype)).dtype
    assert dtypes.to_complex_dtype(dtype) == np.complex64
    assert dtypes.to_real_dtype(dtype) == jax.eval_shape(jnp.real, jnp.zeros(4, dtype)).dtype


def test_wide_complex_and_real_dtypes() -> None:
    for name in ("int64", "float64", "complex128"):
        assert dtypes.to_complex_dtype(np.dtype(name)) == np.complex128
    assert dtypes.to_real_dtype(np.dtype("complex128")) == np.float64
    for dtype in (dtypes.KEY_DTYPE, dtypes.float0):
        with pytest.raises(DTypeError, match="dtype of numbers"):
            dtypes.to_inexact_dtype(dtype)


@both_widths
def test_short_names_are_those_of_printed_programs(x64: bool) -> None:
    with modes(x64):
        for dtype in DTYPES:
            if dtypes.canonicalize_dtype(dtype) == dtype:
                printed = str(jax.make_jaxpr(lambda x: x)(shape_of(dtype)))
                assert f"a:{dtypes.short_name(dtype)}[]" in printed, printed
    key_program = str(jax.make_jaxpr(lambda x: x)(jax.random.key(0)))
    for key in (dtypes.KEY_DTYPE, dtypes.key_dtype):
        assert f"a:{dtypes.short_name(key)}[]" in key_program
        assert dtypes.dtype_name(key) == "key<fry>"
    assert dtypes.short_name(dtypes.float0) == dtypes.dtype_name(dtypes.float0) == "float0"
    assert dtypes.dtype_name(np.dtype(dtypes.bfloat16)) == "bfloat16"


def test_float0_is_that_of_jax() -> None:
    assert dtypes.float0 == oracle.float0
    assert dtypes.float0.itemsize == 0
    assert not dtypes.is_inexact(dtypes.float0)
    assert dtypes.result_type(dtypes.float0, dtypes.float0) == dtypes.float0
    with pytest.raises(dtypes.TypePromotionError, match="float0"):
        dtypes.promote_types(dtypes.float0, "float32")


def test_key_dtype_looks_like_that_of_jax() -> None:
    ours, theirs = dtypes.key_dtype, jax.random.key(0).dtype
    assert repr(ours) == str(ours) == ours.name == repr(theirs) == theirs.name
    assert ours.itemsize == theirs.itemsize == dtypes.KEY_DTYPE.itemsize
    assert ours.type is dtypes.prng_key


def test_key_dtype_equals_its_memory_dtype() -> None:
    key, memory = dtypes.key_dtype, dtypes.KEY_DTYPE
    assert key == key and key == memory and memory == key
    assert (
        key != np.dtype(np.float32)
        and np.dtype(np.float32) != key
        and key != dtypes.float0
        and key != "key<fry>"
    )
    assert hash(key) == hash(memory) and len({key, memory}) == 1
    assert dtypes.KeyDType() is key and copy.deepcopy(key) is key and pickle.loads(pickle.dumps(key)) is key
    assert dtypes.public_dtype(memory) is key and dtypes.public_dtype(np.dtype("f4")) == np.float32
    assert dtypes.as_numpy_dtype(key) is memory and dtypes.canonicalize_dtype(key) is memory
    assert dtypes.is_key(key) and dtypes.is_key(memory) and dtypes.is_extended(memory)


def test_keys_promote_only_with_keys() -> None:
    memory = dtypes.KEY_DTYPE
    assert dtypes.promote_types(memory, memory) == memory
    assert dtypes.lattice_result_type((memory, False), (memory, False)) == (memory, False)
    assert dtypes.result_type(dtypes.key_dtype, np.zeros(2, memory)) == memory
    with pytest.raises(dtypes.TypePromotionError, match=r"key<fry> do not promote"):
        dtypes.result_type(dtypes.key_dtype, 1)


def test_numpy_handles_arrays_of_keys_structurally() -> None:
    keys = np.zeros((2, 3), dtypes.KEY_DTYPE)
    keys["fry"] = np.arange(12).reshape(2, 3, 2)
    assert keys.reshape(6).shape == (6,) and keys[1, 2]["fry"].tolist() == [10, 11]
    assert np.concatenate([keys, keys]).shape == (4, 3)
    chosen = np.where(np.array([True, False, True]), keys[0], keys[1])
    assert chosen["fry"].tolist() == [[0, 1], [8, 9], [4, 5]]
    assert keys.T.copy()["fry"].tolist() == np.arange(12).reshape(2, 3, 2).swapaxes(0, 1).tolist()


def test_arrays_of_the_oracle_are_read_by_their_dtype_and_weak_type() -> None:
    weak = jnp.asarray(1.0)
    assert dtypes.result_type(weak, "bfloat16") == dtypes.bfloat16
    assert dtypes.result_type(weak, return_weak_type_flag=True) == (np.float32, True)


def test_public_names_are_those_of_jax() -> None:
    theirs = {name for name in dir(jax.dtypes) if not name.startswith("_")}
    assert set(public.__all__) == theirs
    assert all(getattr(public, name) is getattr(dtypes, name) for name in public.__all__)
    assert set(dtypes.__all__) <= set(vars(dtypes))
