"""Products with the Hessian and the Gauss-Newton matrix: linearize once, apply many times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..api.common import check_callable, check_structure, name_of, normalize_argnums, split_aux, to_array
from ..api.grad import value_and_grad
from ..api.tangents import on_coordinates
from ..api.vjp import Pushforward, check_tangents, linearize
from ..base import pytree
from ..base.errors import DTypeError
from ..core.aval import ShapedArray
from ..core.kinds import kind


class _Space:
    """The space of vectors that an operator takes: their structure and types."""

    __slots__ = ("tree", "avals", "name")

    def __init__(self, tree: Any, avals: tuple[ShapedArray, ...], name: str) -> None:
        self.tree = tree
        self.avals = avals
        self.name = name

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Space)
            and self.tree == other.tree
            and self.avals == other.avals
            and self.name == other.name
        )

    def __hash__(self) -> int:
        return hash((self.tree, self.avals, self.name))

    def check(self, operator: str, vector: Any) -> Any:
        """The vector with arrays as its leaves; raises what says how it differs from the variables."""
        leaves, tree = pytree.flatten(vector)
        check_structure(operator, self.tree, tree, "the point", "the vector")
        check_tangents(operator, leaves, self.avals, tree)
        return vector


class _SymmetricOperator:
    """A symmetric linear map of the space of a function's variables, with what was computed on the way.

    A callable pytree: `jit` and `vmap` take it as an argument and return it.

    Attributes:
        value: the function's value at the point.
        gradient: its gradient there.
        aux: its auxiliary data (None without has_aux).
    """

    __slots__ = ("space", "value", "gradient", "aux")

    def __init__(self, space: _Space, value: Any, gradient: Any, aux: Any) -> None:
        self.space = space
        self.value = value
        self.gradient = gradient
        self.aux = aux

    @property
    def T(self) -> Any:
        """The transpose, which is the operator itself."""
        return self

    def __repr__(self) -> str:
        shapes = ", ".join(a.str_short() for a in self.space.avals)
        return f"{type(self).__name__} of {self.space.name}, on vectors of {shapes}"


class HessianOperator(_SymmetricOperator):
    """The Hessian at a point as a function of vectors; see `hvp`."""

    __slots__ = ("derivative", "single")

    def __init__(
        self,
        space: _Space,
        single: bool,
        derivative: Pushforward,
        value: Any,
        gradient: Any,
        aux: Any,
    ) -> None:
        super().__init__(space, value, gradient, aux)
        self.single = single
        self.derivative = derivative

    def __call__(self, vector: Any) -> Any:
        vector = self.space.check("hvp", vector)
        return self.derivative(vector) if self.single else self.derivative(*vector)


class GaussNewtonOperator(_SymmetricOperator):
    """The Gauss-Newton matrix at a point as a function of vectors; see `gnvp`.

    Attributes:
        outputs: the model's outputs.
        model_derivative: the derivative of the outputs by the parameters.
        loss_hessian: the Hessian of the loss by the outputs, applied to changes of the outputs.
    """

    __slots__ = ("model_derivative", "loss_hessian", "outputs")

    def __init__(
        self,
        space: _Space,
        model_derivative: Pushforward,
        loss_hessian: Pushforward,
        outputs: Any,
        value: Any,
        gradient: Any,
        aux: Any,
    ) -> None:
        super().__init__(space, value, gradient, aux)
        self.model_derivative = model_derivative
        self.loss_hessian = loss_hessian
        self.outputs = outputs

    def __call__(self, vector: Any) -> Any:
        vector = self.space.check("gnvp", vector)
        changes = self.model_derivative(vector)
        return self.model_derivative.T(self.loss_hessian(changes))[0]


pytree.register_pytree_node(
    HessianOperator,
    lambda h: ((h.derivative, h.value, h.gradient, h.aux), (h.space, h.single)),
    lambda static, children: HessianOperator(*static, *children),
)
pytree.register_pytree_node(
    GaussNewtonOperator,
    lambda g: ((g.model_derivative, g.loss_hessian, g.outputs, g.value, g.gradient, g.aux), g.space),
    lambda space, children: GaussNewtonOperator(space, *children),
)


def _space(point: Any, fun: Any, operator: str) -> _Space:
    leaves, tree = pytree.flatten(point)
    avals = tuple(to_array(v, f"{operator}: the point").aval for v in leaves)
    for aval in avals:
        if kind(aval.dtype) not in "fc":
            raise DTypeError(
                f"{operator} expects variables of a floating-point or complex dtype, got {aval.str_short()}. "
                "Convert them with .astype(float), or leave them to the function's closure."
            )
    return _Space(tree, avals, name_of(fun))


def hvp(
    fun: Callable[..., Any], *primals: Any, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> HessianOperator:
    """The Hessian of `fun` at a point as a linear operator.

    The gradient of `fun` is computed and linearized once. Each call of the operator then costs about as much
    as a gradient's linear part, and no more run of `fun`. The derivative of the gradient, d/dt of
    grad f(x + t v), is exact: no differences are taken.

    Args:
        fun: returns a scalar, or with `has_aux` a pair (scalar, auxiliary data).
        primals: the point: the arguments of `fun`.
        argnums: the positional arguments that are the variables; a tuple makes vectors tuples.
        has_aux: whether `fun` returns auxiliary data.

    Returns:
        A `HessianOperator` H. `H(v)` takes a vector in the structure, shapes and dtypes of the variables and
        returns one (for complex variables a cotangent, in the convention of `grad`). `H.value`, `H.gradient`
        and `H.aux` are what was computed on the way; `H.T` is H. It is a pytree.

    Raises:
        TypeError: `fun` is no function, does not return a scalar, or variables have no derivatives.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian" (1994).

    Example:
        >>> H = hvp(lambda x: (x**3).sum(), pnp.array([1.0, 2.0]))
        >>> print(H(pnp.array([1.0, 1.0])))
        [ 6. 12.]
    """
    check_callable("hvp", fun)
    single = not isinstance(argnums, (tuple, list))
    places = normalize_argnums("hvp", argnums, len(primals))
    fun, primals = on_coordinates(fun, places, primals)
    point = tuple([primals[i] for i in places])
    space = _space(point[0] if single else point, fun, "hvp")
    wanted = places[0] if single else places
    differentiate = value_and_grad(fun, wanted, has_aux)

    def gradient_of(*variables: Any) -> Any:
        args = list(primals)
        for i, v in zip(places, variables, strict=True):
            args[i] = v
        value, gradient = differentiate(*args)
        return gradient, value

    gradient, derivative, value = linearize(gradient_of, *point, has_aux=True)
    value, aux = value if has_aux else (value, None)
    return HessianOperator(space, single, derivative, value, gradient, aux)


def gnvp(
    model: Callable[[Any], Any], loss: Callable[[Any], Any], params: Any, has_aux: bool = False
) -> GaussNewtonOperator:
    """The (generalised) Gauss-Newton matrix of `loss(model(params))` as a linear operator.

    G = Jᵀ H J, where J is the derivative of the model's outputs by the parameters and H the Hessian of the
    loss by the outputs. It is the Hessian without the model's own curvature; where the loss is convex it is
    positive semidefinite. The model and the loss are run and linearized once; a call of the operator pushes
    a vector through J, H and Jᵀ.

    Args:
        model: a function of the parameters (data by closure) that returns outputs, or with `has_aux` a pair
            (outputs, auxiliary data).
        loss: a function of the outputs that returns a scalar.
        params: the point, a pytree of arrays.
        has_aux: whether `model` returns auxiliary data.

    Returns:
        A `GaussNewtonOperator` G. `G(v)` takes and returns vectors in the structure of `params`. `G.value` is
        the loss, `G.gradient` its gradient by the parameters, `G.outputs` the outputs, `G.aux` the auxiliary
        data; `G.T` is G. It is a pytree.

    Raises:
        TypeError: an argument is no function, the loss is no scalar, or parameters have no derivatives.

    Source: Schraudolph, "Fast curvature matrix-vector products for second-order gradient descent" (2002).
    """
    check_callable("gnvp: model", model)
    check_callable("gnvp: loss", loss)
    model, (params,) = on_coordinates(model, (0,), (params,))
    space = _space(params, model, "gnvp")

    def run(params: Any) -> Any:
        out = model(params)
        return split_aux("gnvp", out) if has_aux else (out, None)

    def gradient_of(outputs: Any) -> Any:
        value, gradient = value_and_grad(loss)(outputs)
        return gradient, value

    outputs, model_derivative, aux = linearize(run, params, has_aux=True)
    by_outputs, loss_hessian, value = linearize(gradient_of, outputs, has_aux=True)
    (gradient,) = model_derivative.T(by_outputs)
    return GaussNewtonOperator(space, model_derivative, loss_hessian, outputs, value, gradient, aux)


__all__ = ["GaussNewtonOperator", "HessianOperator", "gnvp", "hvp"]
