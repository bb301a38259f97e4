"""How a training that ends early, alone or among many processes, becomes an exit code."""

import traceback
from collections.abc import Callable

from ssljax.cli.main import print_error
from ssljax.runs.fit import NonFiniteMetrics, SaveFailed, StopRequested
from ssljax.system.distributed import Cluster, end, join, leave
from ssljax.system.errors import EXIT_DISK, UsageError

EXIT_DIVERGED = 1
EXIT_STOPPED = 143  # 128 + SIGTERM, as shells report a process ended by it


def run_with_exit_code(action: Callable[[], int]) -> int:
    """Run an action and return its exit code; an early end of training becomes one line."""
    try:
        return action()
    except StopRequested as error:
        print_error(error)
        return EXIT_STOPPED
    except NonFiniteMetrics as error:
        print_error(error)
        return EXIT_DIVERGED
    except SaveFailed as error:
        print_error(error)
        return EXIT_DISK
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print_error(
            f"{error.strerror or error}{where}: what was saved is intact; make room or mend the"
            " folder, then the same command resumes"
        )
        return EXIT_DISK


def run_as_one_of_many(action: Callable[[], int], cluster: Cluster | None) -> int:
    """Run an action as one process of a cluster, or alone where there is no cluster.

    A process that fails among many is ended at once: ordinary clean-up waits for peers, which may
    wait for this one.
    """
    if cluster is None:
        return action()
    join(cluster)
    try:
        code = action()
    except UsageError as error:
        print_error(error)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except Exception:
        traceback.print_exc()
        code = 1
    if code:
        end(code)
    leave()
    return 0
