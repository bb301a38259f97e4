"""Pictures, one kind per file: arrays and a path go in, a PNG comes out.

The same everywhere: predictions are lines, measurements are points at the median over seeds with
a bar from the smallest to the largest, nulls are gray. Only this package draws.
"""
