"""The manifests of the how-to page are ones that Kubernetes would take, as strictly as can be said
without a cluster: validated, not run.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "docs/how-to/kubernetes"
OF_THE_OPERATOR = FOLDER / "dask-cluster.yaml"
FILES = sorted({*FOLDER.glob("*.yaml")} - {OF_THE_OPERATOR})


def validated(path):
    pytest.importorskip("kubernetes_validate")
    words = (sys.executable, "-m", "kubernetes_validate", "--strict", str(path))
    return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_manifest_is_valid(path):
    done = validated(path)
    assert done.returncode == 0, done.stderr + done.stdout


def test_one_with_a_wrong_key_is_not(tmp_path):
    text = (FOLDER / "job.yaml").read_text().replace("backoffLimit", "backofLimit")
    (tmp_path / "job.yaml").write_text(text)
    assert validated(tmp_path / "job.yaml").returncode != 0


def test_the_job_may_do_no_more_than_it_must():
    job = yaml.safe_load((FOLDER / "job.yaml").read_text())["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert pod["runtimeClassName"] == "gvisor"
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert (container["command"], container["stdin"]) == (["zf", "agent"], True)
    policy = yaml.safe_load((FOLDER / "network-policy.yaml").read_text())["spec"]
    assert policy["podSelector"]["matchLabels"] == job["template"]["metadata"]["labels"]
    assert policy["ingress"] == []


def parts():
    """What Kubernetes makes of the Dask operator's resource, whose own schema is not Kubernetes'."""
    spec = yaml.safe_load(OF_THE_OPERATOR.read_text())["spec"]
    worker, scheduler = spec["worker"]["spec"], spec["scheduler"]["spec"]
    kinds = {"worker": ("Pod", worker), "scheduler": ("Pod", scheduler)}
    return kinds | {"service": ("Service", spec["scheduler"]["service"])}


@pytest.mark.parametrize("name", ["worker", "scheduler", "service"])
def test_what_the_dask_operator_is_given_is_valid(tmp_path, name):
    kind, spec = parts()[name]
    made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "spec": spec}
    (tmp_path / "part.yaml").write_text(yaml.safe_dump(made))
    done = validated(tmp_path / "part.yaml")
    assert done.returncode == 0, done.stderr + done.stdout
    made["spec"] = {"wrong": True, **spec}
    (tmp_path / "part.yaml").write_text(yaml.safe_dump(made))
    assert validated(tmp_path / "part.yaml").returncode != 0


def test_the_dask_operators_pods_are_walled_and_their_commands_those_of_the_page():
    page = (FOLDER.parent / "run-on-dask.md").read_text()
    for name in ("worker", "scheduler"):
        _, pod = parts()[name]
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        line = next(line for line in page.splitlines() if line.startswith(f"dask {name} "))
        asked = {word.strip('"') for word in line.split() if not word.startswith("tls://")}
        assert asked <= set(container["args"])
