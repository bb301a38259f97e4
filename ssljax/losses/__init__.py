"""Losses: pure functions of two (batch, dim) arrays of embeddings, each over the global batch."""

from ssljax.losses.contrastive import nt_xent
from ssljax.losses.spectral import spectral_contrastive

__all__ = ["nt_xent", "spectral_contrastive"]
