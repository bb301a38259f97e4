"""Claims derived here.

* `ledger`: an exact account of the imbalance of linear layers under descent (claim 14).
* `settled`: layers and spectrum of a linear head under weight decay (claims 15, 16).
* `forecast`: when each mode is learned, told before training (claim 17).
* `cosine`: which losses keep an imbalance (claim 18).
* `invariance`: invariance and rank of a linear head's output, from the encoder (claim 19).
* `probe_layer`: which layer to probe, from second moments (claim 20).
* `driven`: a linear head that is trained together with its encoder (claim 21).
"""
