"""Array types of the package, in one place.

jaxtyping is a development aid: a bare accelerator machine that has only jax, flax, optax,
orbax-checkpoint and numpy trains without it, the annotations then say nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree, UInt8, UInt32
else:
    try:
        from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree, UInt8, UInt32
    except ImportError:

        class _Unchecked:
            def __class_getitem__(cls, _):
                return Any

        from jax import Array

        Bool = Float = Int = Key = UInt8 = UInt32 = PyTree = _Unchecked
        PRNGKeyArray = Array

__all__ = ["Array", "Bool", "Float", "Int", "Key", "PRNGKeyArray", "PyTree", "UInt8", "UInt32"]
