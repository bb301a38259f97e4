"""Losses: pure functions of embeddings, each over the global batch.

In reading order:

* `embeddings`: checks, float32, the unit sphere
* `multiview`: which views are paired, where there are more than two
* `contrastive`: NT-Xent and InfoNCE, all similarities in memory at once
* `blockwise`: NT-Xent and SupCon in memory linear in the batch, on one device or a ring of them
* `supervised`: SupCon, spectral loss of classes, cross entropy, squared error
* `spectral`: the spectral contrastive loss and its estimators
* `redundancy`: VICReg and Barlow Twins
* `distillation`: BYOL and SimSiam
* `objective`: what a step minimizes: a loss of a network's outputs
* `table`: every loss by its name, beside its settings

Losses of two views take ``(first, second)``, each (batch, dim). `mean_over_pairs` turns them into
losses of a stack (batch, views, dim); NT-Xent and SupCon have ``multi_view_`` forms of their own.
"""

from ssljax.losses.blockwise import (
    multi_view_nt_xent_blockwise,
    multi_view_supervised_contrastive_blockwise,
    nt_xent_blockwise,
    supervised_contrastive_blockwise,
)
from ssljax.losses.contrastive import dot_info_nce, info_nce, multi_view_nt_xent, nt_xent
from ssljax.losses.distillation import byol, simsiam
from ssljax.losses.multiview import mean_over_pairs
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
    multi_view_supervised_contrastive,
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
    "mean_over_pairs",
    "mean_squared_error",
    "multi_view_nt_xent",
    "multi_view_nt_xent_blockwise",
    "multi_view_supervised_contrastive",
    "multi_view_supervised_contrastive_blockwise",
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
