"""The scripts of Google's machines, run by a real bash with stand-ins for curl and docker."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clusters import google_cluster, google_document

from seuron.cluster.config import Cluster, read_cluster
from seuron.cluster.google.scripts import manager_metadata, worker_metadata
from seuron.errors import ParameterErrors

ROOT = Path(__file__).parents[2]
SECRET = "redis://:hunter2@manager:6379/0"
#: Notes how it was called and what was in the files that it was given, and answers as Google would.
CURL = """#!/bin/bash
echo "curl $*" >> "$NOTES"
for word in "$@"; do [ "${word:0:1}" = "@" ] && cat "${word:1}" >> "$HEADERS"; done
case "$*" in
  *service-accounts*) echo '{"access_token": "token-of-the-machine","expires_in":3599}';;
  *instance/name) echo tissue-spot-abcd;;
  *network-interfaces/0/ip) echo 10.0.0.2;;
  *secretmanager*) printf '{\\n  "name": "x",\\n  "payload": {\\n    "data": "%s"\\n  }\\n}\\n' "$PAYLOAD";;
esac
"""
NOTE = '#!/bin/bash\necho "$(basename "$0") $*" >> "$NOTES"\n'
#: Ends the manager's loop after its first round.
SLEEP = '#!/bin/bash\nkill "$PPID"\n'


def run(script: str, folder: Path, **more: str) -> tuple[str, str]:
    """Run a script as its machine would, with `more` stand-ins; gives what it called, and the headers that it sent."""
    tools = folder / "bin"
    tools.mkdir()
    for name, content in {
        "curl": CURL,
        "sleep": SLEEP,
        **dict.fromkeys(["docker", "shutdown", "mount", "mkfs.ext4", "blkid"], NOTE),
        **more,
    }.items():
        (tools / name).write_text(content)
        (tools / name).chmod(0o755)
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "NOTES": str(folder / "notes"),
        "HEADERS": str(folder / "headers"),
        "PAYLOAD": base64.b64encode(SECRET.encode()).decode(),
    }
    file = folder / "startup.sh"
    file.write_text(script.replace("/var/lib/seuron", str(folder / "home")))
    subprocess.run(["bash", str(file)], env=environment, capture_output=True, timeout=30, check=False)
    headers = folder / "headers"
    return (folder / "notes").read_text(), headers.read_text() if headers.exists() else ""


def with_secrets() -> Cluster:
    resources = {"broker": {"resource": "projects/p/secrets/broker"}, "database": {"resource": "projects/p/secrets/db"}}
    return google_cluster(secrets=resources)


def test_a_worker_starts_with_its_secrets_and_leaves(tmp_path: Path) -> None:
    """The secret is in a file for the container, the worker gets its arguments, and the machine removes itself."""
    cluster = with_secrets()
    script = worker_metadata(cluster, cluster.table("spot"))["startup-script"]
    notes, headers = run(script, tmp_path)
    assert (tmp_path / "home" / "secrets" / "broker").read_text() == SECRET
    assert not (tmp_path / "home" / "secrets" / "database").exists()
    started = next(line for line in notes.splitlines() if line.startswith("docker run"))
    assert "registry.example/seuron:1 seuron worker --queue cpu --slots 8 --name tissue-spot-abcd" in started
    assert "AIRFLOW__CELERY__BROKER_URL_CMD=cat /run/seuron-secrets/broker" in started
    assert "SQL_ALCHEMY" not in started
    left = next(line for line in notes.splitlines() if "deleteInstances" in line)
    assert '{"instances": ["zones/us-east1-b/instances/tissue-spot-abcd"]}' in left
    assert "projects/p/zones/us-east1-b/instanceGroupManagers/tissue-spot/deleteInstances" in left
    assert notes.rstrip().endswith("shutdown -h now")
    assert "Authorization: Bearer token-of-the-machine" in headers
    assert "token-of-the-machine" not in notes
    assert "hunter2" not in notes


def test_the_manager_mounts_its_data_and_serves(tmp_path: Path) -> None:
    """The manager gets all secrets and its disk, which is only formatted when it holds nothing."""
    cluster = with_secrets()
    manager = cluster.manager
    assert manager is not None
    notes, _ = run(manager_metadata(cluster, manager, "tissue-data")["startup-script"], tmp_path)
    assert (tmp_path / "home" / "secrets" / "database").read_text() == SECRET
    assert "mount /dev/disk/by-id/google-tissue-data" in notes
    assert "mkfs" not in notes
    assert "registry.example/seuron:1 serve" in notes


def test_the_manager_may_have_a_script(tmp_path: Path) -> None:
    """`script` is run instead of a container; one that is not there is an error of the file."""
    (tmp_path / "own.sh").write_text("docker compose up\n")
    document = google_document()
    document["manager"] = {"zone": "us-east1-b", "script": str(tmp_path / "own.sh")}
    cluster = google_cluster(manager=document["manager"])
    assert cluster.manager is not None
    notes, _ = run(manager_metadata(cluster, cluster.manager, "tissue-data")["startup-script"], tmp_path)
    assert "docker compose up" in notes
    (tmp_path / "own.sh").unlink()
    with pytest.raises(ParameterErrors, match=r"manager\.script.*cannot read"):
        manager_metadata(cluster, cluster.manager, "tissue-data")


def test_the_examples_manager_starts_compose_with_its_cluster(tmp_path: Path) -> None:
    """It makes the secrets once, with the broker's password that workers know, and gives compose file and address."""
    cluster = read_cluster(ROOT / "docs" / "cluster.example.toml")
    assert cluster.manager is not None
    script = manager_metadata(cluster, cluster.manager, "tissue-data")["startup-script"]
    data = tmp_path / "home" / "data"
    (data / "seuron" / "docker").mkdir(parents=True)
    shutil.copy(ROOT / "docker" / "make-secrets.sh", data / "seuron" / "docker")
    (data / "cluster.toml").write_text("name = 'tissue'")
    docker = '#!/bin/bash\necho "docker $* with $SEURON_CLUSTER_FILE at $SEURON_ADDRESS" >> "$NOTES"\n'
    notes, _ = run(script, tmp_path, docker=docker)
    (started,) = [line for line in notes.splitlines() if line.startswith("docker compose")]
    files = "-f docker-compose.yml -f docker-compose.cluster.yml"
    assert started == f"docker compose {files} up with {data / 'cluster.toml'} at 10.0.0.2"
    secrets = data / "seuron" / "secrets"
    assert (secrets / "redis-password").read_text() == "hunter2"
    assert (secrets / "broker-url").read_text() == "redis://:hunter2@redis:6379/0"


def test_every_script_of_the_example_is_bash() -> None:
    """No script has a fault of syntax, which would show only on a paid machine."""
    cluster = read_cluster(ROOT / "docs" / "cluster.example.toml")
    assert cluster.manager is not None
    scripts = [manager_metadata(cluster, cluster.manager, "tissue-data")["startup-script"]]
    for table in cluster.group_tables:
        metadata = worker_metadata(cluster, table)
        scripts += [metadata["startup-script"], metadata["shutdown-script"]]
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, capture_output=True)
