"""Slow NumPy versions, written from the equations and never from the code under test."""

import numpy as np
import scipy.linalg


def power(matrix, exponent, tolerance=1e-12):
    """V diag(w^e) Vᵀ over the eigenvalues above tolerance × the largest."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    result = np.zeros_like(matrix)
    for value, vector in zip(values, vectors.T):
        if value > tolerance * values[-1]:
            result += value**exponent * np.outer(vector, vector)
    return result


def truncation(matrix, rank):
    """Best approximation by a positive semi-definite matrix of at most this rank."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    result = np.zeros_like(matrix)
    for index in np.argsort(values)[::-1][:rank]:
        result += max(values[index], 0.0) * np.outer(vectors[:, index], vectors[:, index])
    return result


def optimum(quadratic, linear, rank):
    """Q^-½ [Q^-½ B Q^-½]_rank Q^-½ for Q that is invertible."""
    root = np.linalg.inv(scipy.linalg.sqrtm(quadratic).real)
    return root @ truncation(root @ linear @ root, rank) @ root


def spectral_loss_of_weight(weight, covariance, cross_covariance):
    """−2 E f(x)ᵀf(x⁺) + E(f(x)ᵀf(x'))² of f(x) = weight x."""
    output = weight @ covariance @ weight.T
    return -2 * np.trace(weight @ cross_covariance @ weight.T) + np.sum(output * output)


def balanced_layers(gram, depth):
    """Square layers W_1..W_L, balanced, with (W_L…W_1)ᵀ(W_L…W_1) = gram; from the SVD."""
    values, vectors = np.linalg.eigh((gram + gram.T) / 2)
    values = np.where(values > 1e-12 * values[-1], values, 0.0)
    singular = np.sqrt(values) ** (1 / depth)
    first = np.diag(singular) @ vectors.T
    return [first] + [np.diag(singular)] * (depth - 1)


def random_moments(rng, dim, rank=None):
    """Σ and M that do not commute, with alignments between 0 and 1, M of the given rank."""
    rank = dim if rank is None else rank
    factor = rng.normal(size=(dim, dim))
    covariance = factor @ factor.T / dim + 0.1 * np.eye(dim)
    root = scipy.linalg.sqrtm(covariance).real
    rotation = np.linalg.qr(rng.normal(size=(dim, dim)))[0][:, :rank]
    alignments = np.linspace(0.95, 0.1, rank)
    cross_covariance = root @ (rotation * alignments) @ rotation.T @ root
    return covariance, (cross_covariance + cross_covariance.T) / 2


def moments_of_views(views):
    """Means of x xᵀ over views and of x x⁺ᵀ over all ordered pairs of different views."""
    images, count, dim = views.shape
    covariance, cross_covariance = np.zeros((dim, dim)), np.zeros((dim, dim))
    for image in range(images):
        for first in range(count):
            for second in range(count):
                outer = np.outer(views[image, first], views[image, second])
                if first == second:
                    covariance += outer / (images * count)
                else:
                    cross_covariance += outer / (images * count * (count - 1))
    return covariance, cross_covariance
