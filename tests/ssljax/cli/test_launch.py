"""Several processes of one machine: how each is started, and how all of them end."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ssljax.system.distributed import Cluster, agree, all_agree, check_cluster, join
from ssljax.system.errors import UsageError
from ssljax.system.launch import (
    exit_code,
    launch_processes,
    process_command,
    process_environment,
    run_together,
)


def _programs(*texts, grace_seconds=0.5):
    commands = [[sys.executable, "-S", "-E", "-c", text] for text in texts]
    return run_together(commands, [os.environ] * len(texts), grace_seconds=grace_seconds)


_SLEEP = "import time; time.sleep(60)"


def test_lines_carry_the_number_of_their_process_and_the_chatter_of_gloo_is_left_out(capfd):
    assert _programs("print('one'); print('[Gloo] Rank 0 is connected')", "print('two')") == 0
    out = capfd.readouterr().out.splitlines()
    assert sorted(out) == ["[0] one", "[1] two"]


def test_one_that_fails_ends_the_others_and_gives_its_code(capfd):
    start = time.monotonic()
    assert _programs(_SLEEP, "import sys; sys.exit(3)") == 3
    assert time.monotonic() - start < 20
    error = capfd.readouterr().err
    assert "process 1 ended with code 3: ending the others" in error
    assert "process 0 did not end within 0.5 s: killed" in error


def test_one_that_is_killed_is_named_with_its_signal(capfd):
    text = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert _programs(text, _SLEEP) == 137
    assert "process 0 was ended by SIGKILL" in capfd.readouterr().err


def test_the_others_may_end_by_themselves_first(capfd):
    assert _programs("import sys; sys.exit(143)", "import time; time.sleep(.3)") == 143
    assert "killed" not in capfd.readouterr().err


_PATIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("ready", flush=True)
time.sleep(60)
"""


def test_sigterm_is_passed_on_to_all_processes(capfd):
    def ask():
        time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    assert _programs(_PATIENT, _PATIENT, grace_seconds=20.0) == 143
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert "killed" not in capfd.readouterr().err


def test_a_shell_reports_a_signal_as_128_and_its_number():
    assert [exit_code(returned) for returned in (0, 3, -9, -15)] == [0, 3, 137, 143]


def test_each_process_gets_its_own_gpu_or_simulated_devices():
    given = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8 --other", "KEPT": "1"}
    on_cpu = process_environment(given, 1, 2, 4, gpus=0)
    assert on_cpu["JAX_PLATFORMS"] == "cpu"
    assert on_cpu["JAX_NUM_CPU_DEVICES"] == "4"
    assert on_cpu["XLA_FLAGS"] == "--other"
    assert on_cpu["KEPT"] == "1"
    assert process_environment({}, 1, 2, 0, gpus=1)["JAX_NUM_CPU_DEVICES"] == "1"
    on_gpu = process_environment({}, 1, 2, 0, gpus=2)
    assert on_gpu["CUDA_VISIBLE_DEVICES"] == "1"
    assert "JAX_PLATFORMS" not in on_gpu
    chosen = process_environment({"CUDA_VISIBLE_DEVICES": "5,7"}, 1, 2, 0, gpus=2)
    assert chosen["CUDA_VISIBLE_DEVICES"] == "7"


def test_a_process_is_told_who_it_is():
    command = process_command(["train", "digits_mlp"], "127.0.0.1:99", 1, 2)
    assert (
        command[1:]
        == (
            "-m ssljax train digits_mlp --coordinator 127.0.0.1:99 --process-id 1 --num-processes 2"
        ).split()
    )


@pytest.mark.parametrize("command", [[], ["probe", "run"], ["launch"]])
def test_only_training_is_launched(command):
    with pytest.raises(UsageError, match="launch runs train, got"):
        launch_processes(command, 2)


def test_no_process_is_too_few():
    with pytest.raises(UsageError, match="give --processes at least 1"):
        launch_processes(["train", "digits_mlp"], 0)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (Cluster("host:1", 0, None), "--num-processes missing"),
        (Cluster(None, 0, None), "--coordinator and --num-processes missing"),
        (Cluster("host", 0, 2), "give --coordinator HOST:PORT"),
        (Cluster("host:port", 0, 2), "give --coordinator HOST:PORT"),
        (Cluster("host:70000", 0, 2), "give --coordinator HOST:PORT"),
        (Cluster("host:1", 2, 2), "process 2 of 2"),
        (Cluster("host:1", -1, 2), "process -1 of 2"),
        (Cluster(heartbeat_seconds=0), "heartbeat-seconds is 0"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(cluster, message):
    with pytest.raises(UsageError, match=message):
        check_cluster(cluster)


def test_without_peers_this_process_decides():
    assert agree(lambda: [1, "two"]) == [1, "two"]
    assert all_agree(True)
    assert not all_agree(False)


def test_numbers_of_an_indexed_job_must_be_numbers(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "host:1")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "first")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    with pytest.raises(UsageError, match="JOB_COMPLETION_INDEX is 'first'"):
        join(Cluster())


@pytest.mark.slow
def test_without_a_cluster_distributed_is_refused_in_one_line():
    names = ("SLURM_", "OMPI_", "KUBERNETES_", "TPU_", "JAX_COORDINATOR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(names)}
    answer = subprocess.run(
        [sys.executable, "-m", "ssljax", "train", "digits_smoke", "--distributed"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.startswith("ssljax: no cluster in the environment")
    assert answer.stderr.count("\n") == 1
