"""The manifests of the how-to page are ones that Kubernetes would take, as strictly as can be said
without a cluster: validated, not run.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "docs/how-to/kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


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
