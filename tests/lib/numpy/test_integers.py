"""Divisors, multiples and packed bits, against JAX."""

from __future__ import annotations

from .expressions import check, parametrize


@parametrize(
    [
        "jnp.gcd(n, 6)",
        "jnp.gcd(12, 18)",
        "jnp.gcd(n[:, None], n)",
        "jnp.lcm(n[:, None], n)",
        "jnp.lcm(-4, 6)",
        "jnp.lcm(0, 0)",
        "jnp.gcd(u, 2)",
        "jnp.gcd(f, f)",
        "jnp.gcd(b, b)",
        "jnp.gcd(jnp.int8(-128), jnp.int8(64))",
        "jnp.gcd(i[:0], 2)",
        "vmap(jnp.gcd)(n, n[::-1])",
        "jit(jnp.gcd)(n, n[::-1])",
    ]
)
def test_divisors(text: str) -> None:
    check(text)


@parametrize(
    [
        "jnp.packbits(jnp.array([1,0,1,1,0,0,0,1,1]))",
        "jnp.packbits(b)",
        "jnp.packbits(m>2,axis=1)",
        "jnp.packbits(m>2,axis=0,bitorder='little')",
        "jnp.packbits(f)",
        "jnp.unpackbits(u)",
        "jnp.unpackbits(u,count=10)",
        "jnp.unpackbits(u,count=-3)",
        "jnp.unpackbits(u,count=30)",
        "jnp.unpackbits(u[:,None],axis=1,bitorder='little')",
        "jnp.unpackbits(i)",
        "jnp.packbits(i,bitorder='x')",
        "jnp.packbits(jnp.array(1))",
    ]
)
def test_packed_bits(text: str) -> None:
    check(text)
