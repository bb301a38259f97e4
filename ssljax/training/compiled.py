"""Training in memory: `init`, `step` and `place`, and runs side by side.

Nothing here knows a configuration or a file: `ssljax.training.training.make_training` builds a
`Training` from one, `ssljax.runs.fit` takes its steps in a run folder.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssljax.data.sources import ImageSource
from ssljax.nets.network import Network
from ssljax.system.arrays import Array, Float, Int
from ssljax.system.errors import UsageError
from ssljax.training.feed import Feed, Readers, open_feed
from ssljax.training.parallel import Parallel, compile_step
from ssljax.training.state import TrainState
from ssljax.training.step import ResidentData

Step = Callable[[Any, Any, Any], tuple[Any, dict[str, Any]]]

Call = tuple[TrainState, dict[str, Any], int]
"""State and metrics after a call, and the steps it took."""


class Training:
    """A network, and its training step compiled on first use.

    Attributes:
      network: ``init`` and ``apply`` for global arrays, to evaluate with.
      parallel: Mesh and mode.
      learning_rates: Learning rate of every step, shape (num_steps,); its sum is the time of
        gradient flow.
      steps_per_call: Steps that are best compiled into one call.
      dtype: Floating-point type of views, parameters and the strength.
      make_state: ``make_state(seed) -> state`` at step 0, pure: the seed may be traced and nothing
        is placed.
    """

    def __init__(
        self,
        network: Network,
        make_state: Callable[[Any], TrainState],
        take_step: Callable[[TrainState, Any, Array], tuple[TrainState, dict[str, Array]]],
        parallel: Parallel,
        *,
        data: ResidentData | None,
        source: ImageSource | None,
        readers: Readers,
        batch_size: int,
        learning_rates: Float[np.ndarray, " num_steps"],
        steps_per_call: int,
        dtype: Any,
    ):
        """Take the values that `make_training` builds.

        Args:
          network: To evaluate with.
          make_state: Of a seed, pure.
          take_step: ``(state, data, strength) -> (state, metrics)``; data are the resident images
            or, of a stream, the batch.
          parallel: How the step is spread over the devices.
          data: Images on the devices; none where they are streamed.
          source: Where they are streamed from.
          readers: How they are read.
          batch_size: Images a step.
          learning_rates: Of every step.
          steps_per_call: Steps in one call.
          dtype: Of the strength.
        """
        self.network = network
        self.make_state = make_state
        self.parallel = parallel
        self.learning_rates = learning_rates
        self.steps_per_call = steps_per_call
        self.dtype = dtype
        self._take_step = take_step
        self._data = data
        self._source = source
        self._readers = readers
        self._batch_size = batch_size
        self._programs: dict[tuple[str, int], Any] = {}

    def init(self, seed: int) -> TrainState:
        """Return the state at step 0, placed on the devices."""
        return self.parallel.make_placed(self.make_state, seed)

    def place(self, value: Any) -> Array:
        """Return a constant, such as the strength, on every device."""
        return self.parallel.place_constant(np.asarray(value, self.dtype))

    def step(
        self,
        state: TrainState,
        strength: Array,
        num_steps: int = 1,
        *,
        longest: int = 0,
        batch: Any = None,
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take some steps in one compiled call, which is only started; the state is given up.

        Args:
          state: From `init`, or from the call before.
          strength: From `place`.
          num_steps: Steps taken.
          longest: Where calls differ in length, the longest; shorter ones then share a second
            program, whatever their length.
          batch: Of a stream (`open_feed`), for one step.

        Returns:
          The new state, and metrics of leading axis ``num_steps``.

        Raises:
          UsageError: The images are streamed and no batch is given.
        """
        data = self._data if batch is None else batch
        if data is None:
            self._refuse_streamed()
        if num_steps >= longest:
            program = self._program(state, "scan", num_steps)
            return program(state, data, strength)
        program = self._program(state, "loop", longest)
        count = self.parallel.place_constant(np.int32(num_steps))
        state, metrics = program(state, data, strength, count)
        return state, {name: value[:num_steps] for name, value in metrics.items()}

    def take_steps(
        self,
        state: TrainState,
        strength: float,
        feed: Feed,
        *,
        start: int = 0,
        every: Iterable[int] = (),
    ) -> Iterator[Call]:
        """Start one call after the other until the last step; a resumed run takes what was left.

        Args:
          state: After ``start`` steps; given up.
          strength: Factor on every augmentation range.
          feed: From `open_feed`.
          start: Steps already taken.
          every: Multiples of each of these end a call; 0 stands for none.

        Yields:
          State, metrics and length of each call, which is only started.
        """
        placed, every = self.place(strength), tuple(every)
        num_steps = len(self.learning_rates)
        longest = max(split_steps(num_steps, self.steps_per_call, every=every))
        for length in split_steps(num_steps, longest, start, every):
            batch = feed.next_batch()
            state, metrics = self.step(state, placed, length, longest=longest, batch=batch)
            feed.count(length)
            yield state, metrics, length

    def run(
        self, state: TrainState, strength: float, num_steps: int
    ) -> tuple[TrainState, dict[str, Array]]:
        """Take steps without a run folder; the state is given up.

        Args:
          state: From `init` or from an earlier call.
          strength: Factor on every augmentation range.
          num_steps: Steps taken.

        Returns:
          The new state, and metrics of leading axis ``num_steps``, still on the devices.
        """
        placed, pieces = self.place(strength), []
        for length in split_steps(num_steps, self.steps_per_call):
            state, metrics = self.step(state, placed, length, longest=self.steps_per_call)
            pieces.append(metrics)
        return state, {name: jnp.concatenate([m[name] for m in pieces]) for name in pieces[0]}

    def sweep(
        self,
        seeds: Int[np.ndarray, " runs"],
        strengths: Float[np.ndarray, " runs"],
        num_steps: int,
    ) -> tuple[TrainState, dict[str, Array]]:
        """Train from step 0 for each seed and strength, side by side in one program.

        Args:
          seeds: One for each run.
          strengths: One for each run.
          num_steps: Steps of every run.

        Returns:
          States whose leaves have a leading axis of runs, and metrics ``(runs, num_steps)``.

        Raises:
          UsageError: The images are streamed, or the step is spread by pmap.
        """
        if self._data is None:
            self._refuse_streamed()
        if self.parallel.mode == "pmap":
            raise UsageError("a sweep maps over runs, with pmap it cannot: use --parallel jit")
        if ("sweep", num_steps) not in self._programs:
            steps = repeat_step(self._take_step, num_steps)

            def train(seed: Array, strength: Array, data: ResidentData) -> Any:
                return steps(self.make_state(seed), data, strength)

            self._programs["sweep", num_steps] = jax.jit(jax.vmap(train, in_axes=(0, 0, None)))
        placed = self.parallel.place_constant(np.asarray(seeds)), self.place(strengths)
        return self._programs["sweep", num_steps](*placed, self._data)

    def open_feed(
        self, state: TrainState, start: int, notice: Callable[[str], None] | None = None
    ) -> contextlib.AbstractContextManager[Feed]:
        """Return a context that gives the batches of a run after ``start`` steps."""
        # The keys of `ssljax.training.step.make_draw`; the key is the same on every device.
        return open_feed(
            self._source,
            lambda: jax.random.split(self.parallel.host_key(state.key))[0],
            self.parallel,
            batch_size=self._batch_size,
            start=start,
            num_steps=len(self.learning_rates),
            readers=self._readers,
            notice=notice,
        )

    def _program(self, state: TrainState, kind: str, length: int) -> Any:
        """Return the compiled call of ``length`` steps, or of up to as many."""
        if (kind, length) not in self._programs:
            repeat = repeat_step if kind == "scan" else repeat_step_up_to
            self._programs[kind, length] = compile_step(
                repeat(self._take_step, length),
                self.parallel,
                self.parallel.state_shardings(state),
                divided=self._source is not None,
                num_constants=1 if kind == "scan" else 2,
            )
        return self._programs[kind, length]

    def _refuse_streamed(self) -> None:
        name = "the data set" if self._source is None else self._source.name
        raise UsageError(
            f"{name} is streamed, so only a run folder can be trained on it: use `ssljax"
            " train`, or --stream never"
        )


def split_steps(
    num_steps: int, longest: int, start: int = 0, every: Iterable[int] = ()
) -> list[int]:
    """Return the lengths of the calls that a number of steps is taken in.

    Args:
      num_steps: Steps of the whole run.
      longest: The longest call.
      start: Steps already taken.
      every: Multiples of each of these end a call; 0 stands for none.

    Returns:
      Lengths that add up to ``num_steps - start``.

    Example:
      >>> split_steps(250, 100)
      [100, 100, 50]
      >>> split_steps(250, 100, every=(97,))
      [97, 97, 56]
    """
    every = [stride for stride in every if stride > 0]
    lengths, step = [], start
    while step < num_steps:
        due = [step - step % stride + stride for stride in every]
        lengths.append(min(step + longest, num_steps, *due) - step)
        step += lengths[-1]
    return lengths


def repeat_step(step: Step, num_steps: int) -> Step:
    """Return ``num_steps`` steps as one function; metrics are stacked along a leading axis."""
    if num_steps == 1:
        # No loop: XLA runs convolutions inside a loop on CPU without its fast kernels.
        def step_once(state: Any, data: Any, strength: Any) -> tuple[Any, dict[str, Any]]:
            state, metrics = step(state, data, strength)
            return state, {name: value[None] for name, value in metrics.items()}

        return step_once

    def step_many(state: Any, data: Any, strength: Any) -> tuple[Any, dict[str, Any]]:
        return jax.lax.scan(
            lambda carry, _: step(carry, data, strength), state, None, length=num_steps
        )

    return step_many


def repeat_step_up_to(step: Step, longest: int) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Return a function of a number of steps, so that one program serves every short call.

    Args:
      step: ``(state, data, strength) -> (state, metrics)``.
      longest: Most steps.

    Returns:
      ``repeated(state, data, strength, num_steps) -> (state, metrics)``; metrics have a leading
      axis of ``longest``, of which the first ``num_steps`` entries mean something.
    """

    def step_repeatedly(
        state: Any, data: Any, strength: Any, num_steps: Any
    ) -> tuple[Any, dict[str, Any]]:
        shapes = jax.eval_shape(step, state, data, strength)[1]
        empty = {
            name: jnp.zeros((longest, *leaf.shape), leaf.dtype) for name, leaf in shapes.items()
        }

        def take(at: Any, carry: Any) -> Any:
            state, kept = carry
            state, metrics = step(state, data, strength)
            return state, {name: kept[name].at[at].set(value) for name, value in metrics.items()}

        return jax.lax.fori_loop(0, num_steps, take, (state, empty))

    return step_repeatedly
