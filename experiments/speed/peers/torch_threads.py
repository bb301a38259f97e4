"""PyTorch held to the threads that its environment names."""
# pyright: reportMissingImports=false

import os

import torch


def use_given_threads() -> None:
    """Use OMP_NUM_THREADS threads within an operation, one between operations."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_num_interop_threads(1)
