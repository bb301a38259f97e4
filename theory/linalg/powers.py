"""Powers of symmetric matrices, with derivatives of every order that are right at equal values."""

import functools
import itertools
import string

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Int

from theory.linalg.arrays import Arr, Matrix, Scalar, require_float64

# Points nearer to each other than this fraction take a series in place of a quotient.
_NEAR = 0.1
_TERMS = 14


def psd_power(
    matrix: Matrix, exponent: float | Scalar, *, tolerance: float | Scalar = 1e-10
) -> Matrix:
    r"""Raise a positive semi-definite matrix to a power on its range.

    For eigenpairs (w, u): :math:`\sum_{w > \text{tolerance} \cdot w_{\max}} w^{e} u u^\top`, so a
    negative exponent gives the power of the pseudo-inverse and exponent 0 the projector on the
    range.

    Args:
      matrix: Symmetric, positive semi-definite.
      exponent: Any real number.
      tolerance: Eigenvalues at or below this fraction of the largest are outside the range.

    Returns:
      Symmetric matrix of the same shape.

    Raises:
      InputError: The matrix is not float64.

    Accuracy:
      Backward stable: relative error about machine precision times condition number on the range
      for negative exponents. Derivatives of every order, forward and reverse, are exact to rounding
      where no eigenvalue lies at the edge of the range: equal eigenvalues, zeros and a range that
      turns included. The rank is constant under differentiation.

    Source:
      Derivatives: Daleckii and Krein's divided-difference formula and its higher orders.

    Example:
      The square root of a projector is the projector itself, although it is singular:

      >>> with jax.enable_x64(True):
      ...     projector = jnp.full((2, 2), 0.5)
      ...     bool(jnp.allclose(psd_power(projector, 0.5), projector, atol=1e-15))
      True
    """
    require_float64(matrix=matrix)
    return _power(matrix, exponent, tolerance, matrix.shape[0])


def leading_power(matrix: Matrix, exponent: float | Scalar, count: int | Int[Arr, ""]) -> Matrix:
    """Raise the part of a symmetric matrix that belongs to its largest eigenvalues to a power.

    Args:
      matrix: Symmetric.
      exponent: Any real number; 1 is the part itself, 0 the projector on it.
      count: Number of eigenvalues in the part, those above zero among the largest; may be traced.

    Returns:
      Symmetric matrix of the same shape.

    Raises:
      InputError: The matrix is not float64.

    Accuracy:
      That of `psd_power`; derivatives exist iff the last eigenvalue kept lies above the next.

    Source:
      As `psd_power`.

    Example:
      >>> with jax.enable_x64(True):
      ...     leading_power(jnp.diag(jnp.array([4.0, 1.0])), 0.5, 1).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    require_float64(matrix=matrix)
    return _power(matrix, exponent, -jnp.inf, count)


def fractional_gram(gram: Matrix, fraction: float | Scalar) -> Matrix:
    r"""Return the Gram :math:`G^t` at fractional depth t of a balanced network.

    t = l/L is layer l of L; t = 0 the projector on the range of G, t = 1 the output, t > 1 a
    network that projects more than it was trained to.

    Args:
      gram: End-to-end Gram G = WᵀW, positive semi-definite.
      fraction: t, at least 0; may be traced.

    Returns:
      Gram at that depth, ``(dim, dim)``.

    Raises:
      InputError: The Gram is not float64.

    Accuracy:
      Exact for balanced layers. Eigenvalues of G below dim × machine precision × the largest
      cannot be told from zero and are left out. Derivatives as those of `psd_power`.

    Source:
      Derived: balance W_{l+1}ᵀW_{l+1} = W_lW_lᵀ makes every layer Gram a power of the first.

    Example:
      >>> with jax.enable_x64(True):
      ...     fractional_gram(jnp.diag(jnp.array([4.0, 0.0])), 0.5).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    require_float64(gram=gram)
    return psd_power(gram, fraction, tolerance=gram.shape[0] * float(jnp.finfo(gram.dtype).eps))


@jax.jit
def _power(matrix, exponent, tolerance, count):
    exponent, tolerance = jnp.asarray(exponent, float), jnp.asarray(tolerance, float)
    return _derivative(0, 0.5 * (matrix + matrix.T), exponent, tolerance, jnp.asarray(count))


def _evaluate(matrix, exponent, tolerance, count, *directions, logs, batch_dims):
    """Return the power's derivative along symmetric directions, ``logs`` times by its exponent."""
    if batch_dims:
        inner = functools.partial(_evaluate, logs=logs, batch_dims=batch_dims - 1)
        return jax.vmap(inner)(matrix, exponent, tolerance, count, *directions)
    values, vectors = jnp.linalg.eigh(matrix)
    # Infinite tolerance: the count alone decides.
    floor = jnp.where(jnp.isfinite(tolerance), tolerance * jnp.max(jnp.abs(values)), 0.0)
    inside = (values > floor) & (values > 0.0)
    inside = inside & (jnp.arange(values.shape[0]) >= values.shape[0] - count)

    table = _slopes(values, inside, exponent, len(directions), logs)
    if not directions:
        return (vectors * table[None, :]) @ vectors.T
    turned = [vectors.T @ (0.5 * (each + each.T)) @ vectors for each in directions]
    letters = string.ascii_letters[: len(directions) + 1]
    pairs = [first + second for first, second in itertools.pairwise(letters)]
    formula = f"{letters},{','.join(pairs)}->{letters[0]}{letters[-1]}"
    total = sum(jnp.einsum(formula, table, *order) for order in itertools.permutations(turned))
    return vectors @ total @ vectors.T


# A primitive of its own, for JAX inlines functions with custom rules where it transposes them: a
# second derivative in reverse mode would then go through eigenvectors.
_derivative_p = Primitive("symmetric_power_derivative")
_compiled = jax.jit(_evaluate, static_argnames=("logs", "batch_dims"))
_derivative_p.def_impl(_compiled)
_derivative_p.def_abstract_eval(lambda matrix, *_, **__: ShapedArray(matrix.shape, matrix.dtype))
mlir.register_lowering(_derivative_p, mlir.lower_fun(_compiled, multiple_results=False))


def _derivative(logs, *operands, batch_dims=0):
    return _derivative_p.bind(*operands, logs=logs, batch_dims=batch_dims)


def _differentiate(primals, tangents, *, logs, batch_dims):
    matrix, exponent, tolerance, count, *directions = primals
    matrix_tangent, exponent_tangent, _, _, *direction_tangents = tangents

    def along(directions, logs=logs):
        point = matrix, exponent, tolerance, count
        return _derivative(logs, *point, *directions, batch_dims=batch_dims)

    tangent = jnp.zeros_like(matrix)
    if not isinstance(matrix_tangent, ad.Zero):
        tangent = tangent + along((*directions, matrix_tangent))
    if not isinstance(exponent_tangent, ad.Zero):
        tangent = tangent + exponent_tangent[..., None, None] * along(directions, logs + 1)
    for index, change in enumerate(direction_tangents):
        if not isinstance(change, ad.Zero):
            tangent = tangent + along((*directions[:index], change, *directions[index + 1 :]))
    return along(directions), tangent


def _transpose(cotangent, *operands, logs, batch_dims):
    # tr(C Dⁿf(A)[E₁…Eₙ]) is a derivative of a trace and symmetric in C and all directions.
    linear = [ad.is_undefined_primal(operand) for operand in operands]
    filled = [cotangent if each else operand for each, operand in zip(linear, operands)]
    if isinstance(cotangent, ad.Zero):
        return [None] * len(operands)
    result = _derivative(logs, *filled, batch_dims=batch_dims)
    return [result if each else None for each in linear]


def _batch(operands, axes, *, logs, batch_dims):
    size = next(x.shape[axis] for x, axis in zip(operands, axes) if axis is not None)
    moved = [
        jnp.broadcast_to(x, (size, *jnp.shape(x))) if axis is None else jnp.moveaxis(x, axis, 0)
        for x, axis in zip(operands, axes)
    ]
    return _derivative(logs, *moved, batch_dims=batch_dims + 1), 0


ad.primitive_jvps[_derivative_p] = _differentiate
ad.primitive_transposes[_derivative_p] = _transpose
batching.primitive_batchers[_derivative_p] = _batch


def _slopes(values, inside, exponent, order, logs):
    """Return divided differences, differentiated by the exponent as often as asked."""
    if logs == 0:
        return _differences(values, inside, exponent, order)

    def lower(exponent):
        return _slopes(values, inside, exponent, order, logs - 1)

    return jax.jvp(lower, (exponent,), (jnp.ones_like(exponent),))[1]


def _differences(values, inside, exponent, order):
    """Return divided differences of x^e inside, 0 outside, for all tuples of ascending values."""
    axes = jnp.meshgrid(*[jnp.arange(values.shape[0])] * (order + 1), indexing="ij")
    indices = jnp.stack(axes, axis=-1)
    points = values[indices]
    if order > 1:
        ranks = jnp.argsort(points, axis=-1)
        indices = jnp.take_along_axis(indices, ranks, axis=-1)
        points = values[indices]
    masks = inside[indices]
    columns = [(points[..., k], masks[..., k]) for k in range(order + 1)]
    return _difference(columns, exponent)


def _difference(columns, exponent):
    """Return the divided difference of columns of points, ascending from order 2 on."""
    safe = [jnp.where(mask, point, 1.0) for point, mask in columns]
    masks = [mask for _, mask in columns]
    every = functools.reduce(jnp.logical_and, masks)
    (first, first_mask), (last, last_mask) = columns[0], columns[-1]
    if len(columns) == 1:
        return jnp.where(every, safe[0] ** exponent, 0.0)
    if len(columns) == 2:
        either = first_mask | last_mask
        powers = [jnp.where(mask, x**exponent, 0.0) for x, mask in zip(safe, masks)]
        gap = jnp.where(either & ~every, last - first, 1.0)
        mixed = jnp.where(either, (powers[1] - powers[0]) / gap, 0.0)
        return jnp.where(every, _power_difference(safe[0], safe[1], exponent), mixed)
    near = every & (last - first <= _NEAR * jnp.abs(last))
    none = ~functools.reduce(jnp.logical_or, masks)
    gap = jnp.where(near | none, 1.0, last - first)
    quotient = (_difference(columns[1:], exponent) - _difference(columns[:-1], exponent)) / gap
    close = [jnp.where(near, x, 1.0) for x in safe]
    return jnp.where(near, _series(close, exponent), jnp.where(none, 0.0, quotient))


def _power_difference(first, second, exponent):
    """Return (y^e − x^e)/(y − x) = y^{e−1} (1 − exp(−eh))/(1 − exp(−h)), h = log(y/x) >= 0."""
    low, high = jnp.minimum(first, second), jnp.maximum(first, second)
    ratio = jnp.log1p((high - low) / low)
    apart = ratio > 0.0
    ratio = jnp.where(apart, ratio, 1.0)
    quotient = jnp.expm1(-exponent * ratio) / jnp.expm1(-ratio)
    return high ** (exponent - 1.0) * jnp.where(apart, quotient, exponent)


def _series(points, exponent):
    """Return the divided difference of x^e at positive points within a tenth of each other."""
    order = len(points) - 1
    center = sum(points) / len(points)
    distances = [(point - center) / center for point in points]

    def add(degree, state):
        # Complete homogeneous symmetric polynomials of the distances, of one degree after another.
        total, binomial, polynomials = state
        total = total + binomial * polynomials[-1]
        binomial = binomial * (exponent - degree - order) / (degree + order + 1)
        risen = []
        for distance, polynomial in zip(distances, polynomials):
            below = risen[-1] if risen else 0.0
            risen.append(below + distance * polynomial)
        return total, binomial, tuple(risen)

    binomial = jnp.ones_like(exponent)
    for degree in range(order):
        binomial = binomial * (exponent - degree) / (degree + 1)
    start = (jnp.zeros_like(center), binomial, (jnp.ones_like(center),) * len(points))
    return jax.lax.fori_loop(0, _TERMS, add, start)[0] * center ** (exponent - order)
