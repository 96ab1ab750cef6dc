"""Distributions: densities, probabilities, quantiles."""

from ..._src.lib.scipy.stats import bernoulli as bernoulli
from ..._src.lib.scipy.stats import beta as beta
from ..._src.lib.scipy.stats import betabinom as betabinom
from ..._src.lib.scipy.stats import binom as binom
from ..._src.lib.scipy.stats import cauchy as cauchy
from ..._src.lib.scipy.stats import chi2 as chi2
from ..._src.lib.scipy.stats import dirichlet as dirichlet
from ..._src.lib.scipy.stats import expon as expon
from ..._src.lib.scipy.stats import gamma as gamma
from ..._src.lib.scipy.stats import gennorm as gennorm
from ..._src.lib.scipy.stats import geom as geom
from ..._src.lib.scipy.stats import gumbel_l as gumbel_l
from ..._src.lib.scipy.stats import gumbel_r as gumbel_r
from ..._src.lib.scipy.stats import laplace as laplace
from ..._src.lib.scipy.stats import logistic as logistic
from ..._src.lib.scipy.stats import multivariate_normal as multivariate_normal
from ..._src.lib.scipy.stats import nbinom as nbinom
from ..._src.lib.scipy.stats import norm as norm
from ..._src.lib.scipy.stats import pareto as pareto
from ..._src.lib.scipy.stats import poisson as poisson
from ..._src.lib.scipy.stats import t as t
from ..._src.lib.scipy.stats import uniform as uniform
from ..._src.lib.scipy.stats import vonmises as vonmises

__all__ = [name for name in dir() if not name.startswith("_")]
