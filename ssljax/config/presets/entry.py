"""The type of a preset: a configuration with its purpose, cost and expected figures."""

from dataclasses import dataclass

from ssljax.config.config import Config

NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A named configuration: what it is for, how it is run, what it costs and should reach.

    Attributes:
      name: As given to ``ssljax train``.
      summary: One sentence.
      details: More sentences, where there is more to say.
      config: The configuration.
      cost: Measured here on two shared CPU cores, or cited with its device.
      expected: A figure reached elsewhere with (nearly) this recipe; empty where none is known.
      source: Who reached it, and what differs.
    """

    name: str
    summary: str
    details: str = ""
    config: Config
    cost: str = NOT_MEASURED
    expected: str = ""
    source: str = ""

    @property
    def command(self) -> str:
        """Return the command that trains the preset."""
        data_dir = "" if self.config.data == "digits" else " --data-dir TFDS_DIRECTORY"
        return f"python -m ssljax train {self.name}{data_dir}"


def count_steps(epochs: int, num_images: int, batch_size: int) -> int:
    """Return the steps of some epochs; an epoch leaves its last, partial batch out."""
    return epochs * (num_images // batch_size)
