"""Ordinary differential equations, under the name of `jax.experimental.ode`."""

from pullback._src.advanced.ode import odeint

__all__ = ["odeint"]
