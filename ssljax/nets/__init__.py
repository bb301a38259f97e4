"""Encoders and projection heads as Flax NNX modules."""
