"""Losses: pure functions of (batch, dim) embeddings, each over the global batch."""

from ssljax.losses.blockwise import nt_xent_blockwise, supervised_contrastive_blockwise
from ssljax.losses.contrastive import dot_info_nce, info_nce, nt_xent
from ssljax.losses.distillation import byol, simsiam
from ssljax.losses.redundancy import (
    barlow_twins,
    barlow_twins_unnormalized,
    vicreg,
    vicreg_covariance,
)
from ssljax.losses.spectral import (
    spectral_contrastive,
    spectral_cross_view_biased,
    spectral_within_view_biased,
)
from ssljax.losses.supervised import (
    cross_entropy,
    mean_squared_error,
    supervised_contrastive,
    supervised_spectral,
)

__all__ = [
    "barlow_twins",
    "barlow_twins_unnormalized",
    "byol",
    "cross_entropy",
    "dot_info_nce",
    "info_nce",
    "mean_squared_error",
    "nt_xent",
    "nt_xent_blockwise",
    "simsiam",
    "spectral_contrastive",
    "spectral_cross_view_biased",
    "spectral_within_view_biased",
    "supervised_contrastive",
    "supervised_contrastive_blockwise",
    "supervised_spectral",
    "vicreg",
    "vicreg_covariance",
]
