"""Pullback differentiates, batches and compiles Python functions of arrays.

>>> import pullback as pb, pullback.numpy as pnp
>>> pb.grad(lambda x: pnp.sum(pnp.sin(x) ** 2))(pnp.array([0.0, 1.0]))
Array([0.       , 0.9092974], dtype=float32)
"""

from . import (
    ad_checkpoint,
    core,
    custom_batching,
    custom_derivatives,
    debug,
    dtypes,
    errors,
    experimental,
    flatten_util,
    implicit,
    lax,
    nn,
    numpy,
    ops,
    random,
    scipy,
    test_util,
    tree,
    tree_util,
    typing,
)
from ._src.advanced.elimination.jacobian import jacobian
from ._src.advanced.modes import jvp_from_vjp, vjp_from_jvp
from ._src.advanced.probes import hessian_diagonal, hessian_trace
from ._src.advanced.products import gnvp, hvp
from ._src.advanced.taylor import jet
from ._src.api.check_rules import check_rules
from ._src.api.grad import grad, value_and_grad
from ._src.api.install_as_jax import install_as_jax
from ._src.api.jacobian import hessian, jacfwd, jacrev
from ._src.api.jit import jit, make_jaxpr
from ._src.api.misc import (
    Device,
    block_until_ready,
    clear_caches,
    default_backend,
    device_count,
    device_get,
    device_put,
    devices,
    live_arrays,
    local_device_count,
    local_devices,
    named_call,
    named_scope,
    process_count,
    process_index,
    stop_gradient,
    typeof,
)
from ._src.api.stage import eval_shape
from ._src.api.tangents import register_type
from ._src.api.vjp import jvp, linear_transpose, linearize, vjp
from ._src.api.vmap import vmap
from ._src.base.config import (
    check_tracer_leaks,
    checking_leaks,
    config,
    debug_infs,
    debug_nans,
    default_device,
    default_matmul_precision,
    default_prng_impl,
    disable_jit,
    enable_checks,
    enable_custom_prng,
    enable_x64,
    log_compiles,
    numpy_dtype_promotion,
    numpy_rank_promotion,
    threefry_partitionable,
)
from ._src.base.pytree import tree_map
from ._src.control.callback import pure_callback
from ._src.control.checkpoint import checkpoint, checkpoint_policies, remat
from ._src.control.closures import closure_convert
from ._src.control.custom_jvp import custom_jvp
from ._src.control.custom_rule import custom_rule
from ._src.control.custom_vjp import custom_vjp
from ._src.core.array import Array
from ._src.core.aval import ShapeDtypeStruct
from ._src.core.dtypes import float0

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Device",
    "ShapeDtypeStruct",
    "__version__",
    "ad_checkpoint",
    "block_until_ready",
    "check_rules",
    "check_tracer_leaks",
    "checking_leaks",
    "checkpoint",
    "checkpoint_policies",
    "clear_caches",
    "closure_convert",
    "config",
    "core",
    "custom_batching",
    "custom_derivatives",
    "custom_jvp",
    "custom_rule",
    "custom_vjp",
    "debug",
    "debug_infs",
    "debug_nans",
    "default_backend",
    "default_device",
    "default_matmul_precision",
    "default_prng_impl",
    "device_count",
    "device_get",
    "device_put",
    "devices",
    "disable_jit",
    "dtypes",
    "enable_checks",
    "enable_custom_prng",
    "enable_x64",
    "errors",
    "eval_shape",
    "experimental",
    "flatten_util",
    "float0",
    "gnvp",
    "grad",
    "hessian",
    "hessian_diagonal",
    "hessian_trace",
    "hvp",
    "implicit",
    "install_as_jax",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jet",
    "jit",
    "jvp",
    "jvp_from_vjp",
    "lax",
    "linear_transpose",
    "linearize",
    "live_arrays",
    "local_device_count",
    "local_devices",
    "log_compiles",
    "make_jaxpr",
    "named_call",
    "named_scope",
    "nn",
    "numpy",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "ops",
    "process_count",
    "process_index",
    "pure_callback",
    "random",
    "register_type",
    "remat",
    "scipy",
    "stop_gradient",
    "test_util",
    "threefry_partitionable",
    "tree",
    "tree_map",
    "tree_util",
    "typeof",
    "typing",
    "value_and_grad",
    "vjp",
    "vjp_from_jvp",
    "vmap",
]
