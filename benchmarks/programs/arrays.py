"""Elementwise chains, reductions, layouts, sorting, scans along an axis, scatters and stencils."""

from collections.abc import Callable
from typing import Any

import numpy as np

from programs.registry import normals, program, uniforms

_MILLION = 1_000_000


@program("add_one", "`jit(x+1)` on 3 numbers", normals((3,)), stated=(10, 1))
def add_one(lib: Any) -> Callable[..., Any]:
    return lambda x: x + 1


@program(
    "elementwise",
    "tanh(y)·exp(−y²)+sin(y), 4M",
    normals((4 * _MILLION,)),
    stated=(20_300, 3_500),
)
def elementwise(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda y: np.tanh(y) * np.exp(-(y**2)) + np.sin(y)


@program("softmax", "softmax 4000×1000", normals((4000, 1000)), stated=(2_600, 1_500))
def softmax(lib: Any) -> Callable[..., Any]:
    return lambda x: lib.nn.softmax(x, axis=-1)


@program("transpose", "`(4000×1000).T + 1`", normals((4000, 1000)), stated=(9_100, 4_000))
def transpose(lib: Any) -> Callable[..., Any]:
    return lambda x: x.T + 1


@program(
    "einsum",
    "einsum of 250,000 4×4 products",
    normals((250_000, 4, 4), (250_000, 4, 4)),
    stated=(308_000, 5_000),
)
def einsum(lib: Any) -> Callable[..., Any]:
    return lambda a, b: lib.numpy.einsum("nij,njk->nik", a, b)


@program("sort", "sort of 1M", normals((_MILLION,)), stated=(390_000, 15_000), tolerance=0.0)
def sort(lib: Any) -> Callable[..., Any]:
    return lib.numpy.sort


@program("cumsum", "cumsum of 4M", normals((4 * _MILLION,)), stated=(51_000, 8_000), tolerance=2e-4)
def cumsum(lib: Any) -> Callable[..., Any]:
    return lib.numpy.cumsum


@program(
    "softplus_f64",
    "log1p(exp(−|x|)) + max(x, 0), 1M, f64",
    normals((_MILLION,), dtype=np.float64),
    group="arrays",
    like="elementwise",
    x64=True,
)
def softplus_f64(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda x: np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0.0)


@program(
    "polar",
    "polar coordinates of 1M points",
    normals((_MILLION,), (_MILLION,)),
    group="arrays",
    like="elementwise",
)
def polar(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda x, y: (np.sqrt(x * x + y * y), np.arctan2(y, x))


@program("gelu", "grad of gelu 1000×1000", normals((1000, 1000)), group="arrays", like="softmax")
def gelu(lib: Any) -> Callable[..., Any]:
    return lib.grad(lambda x: lib.numpy.sum(lib.nn.gelu(x) ** 2))


@program(
    "logsumexp", "logsumexp 2000×1000 down columns", normals((2000, 1000)), group="arrays", like="softmax"
)
def logsumexp(lib: Any) -> Callable[..., Any]:
    return lambda x: lib.scipy.special.logsumexp(x, axis=0)


@program("variance", "mean and variance 300×200×50", normals((300, 200, 50)), group="arrays", like="softmax")
def variance(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda x: (np.mean(x, axis=(0, 2)), np.var(x, axis=(0, 2)), np.max(x, axis=1))


@program(
    "permute",
    "axes (2, 0, 1) of 200×300×64, doubled",
    normals((200, 300, 64)),
    group="arrays",
    like="transpose",
)
def permute(lib: Any) -> Callable[..., Any]:
    return lambda x: lib.numpy.transpose(x, (2, 0, 1)) * 2


@program(
    "rotations",
    "100,000 3×3 matrices times vectors, f64",
    normals((100_000, 3, 3), (100_000, 3), dtype=np.float64),
    group="arrays",
    like="softmax",
    x64=True,
)
def rotations(lib: Any) -> Callable[..., Any]:
    return lambda a, v: lib.numpy.einsum("nij,nj->ni", a, v)


@program(
    "vmapped_products",
    "vmap of tanh(A@B)@v, 50,000 4×4",
    normals((50_000, 4, 4), (50_000, 4, 4), (50_000, 4)),
    group="arrays",
    like="einsum",
)
def vmapped_products(lib: Any) -> Callable[..., Any]:
    return lib.vmap(lambda a, b, v: lib.numpy.tanh(a @ b) @ v)


@program(
    "sort_rows",
    "sort of 1000 rows of 1000",
    normals((1000, 1000)),
    group="arrays",
    like="sort",
    tolerance=0.0,
)
def sort_rows(lib: Any) -> Callable[..., Any]:
    return lambda x: lib.numpy.sort(x, axis=-1)


@program("argsort", "argsort of 200,000", normals((200_000,)), group="arrays", like="sort", tolerance=0.0)
def argsort(lib: Any) -> Callable[..., Any]:
    return lib.numpy.argsort


@program(
    "cumulative_rows", "cumsum and cummax 1000×1000", normals((1000, 1000)), group="arrays", like="cumsum"
)
def cumulative_rows(lib: Any) -> Callable[..., Any]:
    return lambda x: (lib.numpy.cumsum(x, axis=1), lib.lax.cummax(x, axis=1))


def _segments(generator: np.random.Generator) -> tuple[Any, ...]:
    values = generator.standard_normal(_MILLION).astype(np.float32)
    return values, generator.integers(0, 1000, _MILLION).astype(np.int32)


@program("segment_sum", "segment sums, 1M into 1,000", _segments, group="arrays", like="softmax")
def segment_sum(lib: Any) -> Callable[..., Any]:
    return lambda values, segments: lib.numpy.zeros(1000, values.dtype).at[segments].add(values)


def _embedding(generator: np.random.Generator) -> tuple[Any, ...]:
    table = generator.standard_normal((5_000, 64)).astype(np.float32)
    return table, generator.integers(0, 5_000, (256, 50)).astype(np.int32)


@program(
    "embedding", "grad of a bag of embeddings, 256×50 of 5,000×64", _embedding, group="arrays", like="softmax"
)
def embedding(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def loss(table: Any, words: Any) -> Any:
        return np.sum(np.mean(table[words], axis=1) ** 2)

    return lib.grad(loss)


def _life(generator: np.random.Generator) -> tuple[Any, ...]:
    return (generator.integers(0, 2, (512, 512)).astype(np.int32),)


@program("life", "Conway's Life 512×512, 50 steps", _life, group="arrays", like="elementwise", tolerance=0.0)
def life(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def step(_: Any, cells: Any) -> Any:
        shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
        neighbours = sum(np.roll(cells, shift, (0, 1)) for shift in shifts)
        return ((neighbours == 3) | ((cells == 1) & (neighbours == 2))).astype(cells.dtype)

    return lambda cells: lib.lax.fori_loop(0, 50, step, cells)


@program(
    "heat",
    "heat equation 1,000×1,000, 10 steps by slices",
    normals((1000, 1000)),
    group="arrays",
    like="elementwise",
)
def heat(lib: Any) -> Callable[..., Any]:
    def step(_: Any, u: Any) -> Any:
        inner = u[1:-1, 1:-1]
        laplacian = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * inner
        return u.at[1:-1, 1:-1].set(inner + 0.1 * laplacian)

    return lambda u: lib.lax.fori_loop(0, 10, step, u)


@program(
    "kmeans",
    "k-means step, 20,000 points in 16 dimensions, 32 centres",
    normals((20_000, 16), (32, 16)),
    group="arrays",
    like="gmm",
)
def kmeans(lib: Any) -> Callable[..., Any]:
    np = lib.numpy

    def step(points: Any, centres: Any) -> Any:
        distances = np.sum(centres**2, axis=1) - 2 * points @ centres.T
        nearest = np.argmin(distances, axis=1)
        sums = np.zeros_like(centres).at[nearest].add(points)
        counts = np.zeros(len(centres), points.dtype).at[nearest].add(1.0)
        return sums / np.maximum(counts, 1.0)[:, None]

    return step


@program(
    "interpolation",
    "linear interpolation of 500,000 points in 1,000",
    uniforms((500_000,), (1_000,)),
    group="arrays",
    like="cumsum",
    tolerance=1e-4,
)
def interpolation(lib: Any) -> Callable[..., Any]:
    np = lib.numpy
    return lambda x, f: np.interp(x, np.linspace(0.0, 1.0, 1_000), f)
