"""docker-compose.yml, its dashboard and the pod template: valid, safe, and in step with the code."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import ROOT, make_secrets, metrics_of, read_compose, read_with_cluster
from jsonschema import Draft7Validator

from seuron.deployment.control import POOLS, UNLIMITED
from seuron.deployment.environment import CELERY_SETTINGS, MAX_MAP_LENGTH

#: The Compose Specification's schema, as Debian's docker-compose ships it.
SCHEMA = Path("/usr/lib/python3/dist-packages/compose/config/compose_spec.json")
AIRFLOW = ("init", "api-server", "scheduler", "dag-processor", "triggerer")
WORKERS = ("manager", "cpu", "memory", "gpu")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return read_compose()


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose (Debian's docker-compose)")
@pytest.mark.parametrize("profiles", [[], ["gpu", "metrics"]])
def test_docker_compose_reads_the_file(profiles: list[str], compose: dict[str, Any]) -> None:
    """`docker-compose config` takes the file, with and without profiles."""
    options = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), *options, "config", "--services"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wanted = {
        name for name, service in compose["services"].items() if set(service.get("profiles", [])) <= set(profiles)
    }
    assert wanted <= set(done.stdout.split())


@pytest.mark.skipif(not SCHEMA.exists(), reason="no compose_spec.json (Debian's docker-compose)")
def test_the_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    """Nothing in it is unknown to the specification's schema."""
    known = {key: value for key, value in compose.items() if not key.startswith("x-")}
    errors = [error.message for error in Draft7Validator(json.loads(SCHEMA.read_text())).iter_errors(known)]
    assert errors == []


def test_services_are_limited_pinned_and_restarted(compose: dict[str, Any]) -> None:
    """Each service has a limit of memory, a restart policy and an image with a version; all but two a health check."""
    for name, service in compose["services"].items():
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["restart"] == ("no" if name == "init" else "unless-stopped")
        assert re.search(r":(local|v?\d+\.\d+)", service["image"]), name
        if name not in ("init", "statsd-exporter", "grafana"):
            assert service["healthcheck"]["test"], name


def test_no_secret_is_in_clear(compose: dict[str, Any]) -> None:
    """Passwords and keys are files under /run/secrets, which the services that read them are given."""
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|KEY|CONN|BROKER_URL|BACKEND", variable):
                assert variable.endswith(("_CMD", "_FILE", "__FILE")), f"{name}: {variable}"
            for secret in re.findall(r"/run/secrets/([\w.-]+)", str(value)):
                assert secret in service["secrets"], f"{name}: {variable} reads {secret}"
        for secret in re.findall(r"/run/secrets/([\w.-]+)", f"{service.get('command')} {service.get('healthcheck')}"):
            assert secret in service["secrets"], f"{name} reads {secret}"


def test_workers_have_no_key_to_the_database(compose: dict[str, Any]) -> None:
    """A worker gets the broker's address and nothing else: a machine that is lost gives nothing more away."""
    for name in WORKERS:
        assert compose["services"][name]["secrets"] == ["broker-url"], name


def test_containers_gain_no_rights(compose: dict[str, Any]) -> None:
    """A task that was taken over becomes root in its container, by a program that has root's rights (setuid)."""
    given = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    for name, service in compose["services"].items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", [])) == (given if name in ("postgres", "redis") else set()), name


def test_containers_cannot_change_the_code() -> None:
    """A task that was taken over changes what the next one runs: only the folder of kernels is the user's."""
    lines = (ROOT / "docker" / "Dockerfile").read_text().rpartition("FROM ")[2].splitlines()
    (root, kernels) = [line for line in lines if line.startswith("COPY --from=build") and "/app" in line]
    assert root == "COPY --from=build /app /app"
    assert kernels.endswith("/app/numba-cache /app/numba-cache")
    assert "USER 50000" in lines


def test_the_server_answers_to_the_names_that_are_given(compose: dict[str, Any]) -> None:
    """Tasks reach it by its service's name, browsers by those that the owner lists; refused, nothing runs."""
    environment = compose["services"]["api-server"]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://api-server:8080/execution/"
    assert environment["AIRFLOW__SEURON__ALLOWED_HOSTS"] == ""
    named = read_compose({"SEURON_HOSTS": "airflow.example.org"})["services"]["api-server"]["environment"]
    assert named["AIRFLOW__SEURON__ALLOWED_HOSTS"] == "airflow.example.org"


def test_ports_are_open_to_this_machine_only(compose: dict[str, Any]) -> None:
    """What is published is published on the loopback."""
    published = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="no docker-compose (Debian's docker-compose)")
def test_a_cluster_needs_its_file_and_an_address(compose: dict[str, Any]) -> None:
    """Over the file, the one for clusters opens the broker and the API at that address only, gives the manager alone
    the cluster and a login, and starts no worker of the groups' queues; without either variable it says which.
    """
    given = {"SEURON_ADDRESS": "10.0.0.2", "SEURON_CLUSTER_FILE": "./cluster.toml"}
    for name in given:
        with pytest.raises(subprocess.CalledProcessError) as caught:
            read_with_cluster({key: value for key, value in given.items() if key != name})
        assert name in caught.value.stderr
    services = read_with_cluster(given)["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert {port.rsplit(":", 2)[0] for ports in published.values() for port in ports} == {"127.0.0.1", "10.0.0.2"}
    assert {name for name, ports in published.items() if any("10.0.0.2" in port for port in ports)} == {
        "api-server",
        "redis",
    }
    logs_in = [name for name, service in services.items() if {"source": "scaling-login"} in service.get("secrets", [])]
    assert logs_in == ["manager"]
    assert services["manager"]["environment"].items() >= compose["services"]["manager"]["environment"].items()
    assert {name for name in ("cpu", "memory") if not services.get(name, {"profiles": ["local"]})["profiles"]} == set()
    assert "SEURON_CLUSTER" in services["dag-processor"]["environment"]
    # Airflow answers to workers that reach it at that address; what else is set for it stays.
    environment = services["api-server"]["environment"]
    assert environment["AIRFLOW__SEURON__ALLOWED_HOSTS"].split(",")[0] == given["SEURON_ADDRESS"]
    assert (
        environment.items()
        >= {
            name: value
            for name, value in compose["services"]["api-server"]["environment"].items()
            if name != "AIRFLOW__SEURON__ALLOWED_HOSTS"
        }.items()
    )


def test_a_worker_for_every_queue(compose: dict[str, Any]) -> None:
    """Each pool that the DAG names has a worker that serves the queue of that name."""
    commands = {name: compose["services"][name]["command"] for name in WORKERS}
    assert set(WORKERS) == set(POOLS)
    for name, command in commands.items():
        assert command[:4] == ["seuron", "worker", "--queue", name]


def test_celery_is_set_up_as_in_the_embedded_deployment(compose: dict[str, Any]) -> None:
    """The settings that make killed workers harmless are the same in both."""
    for name in (*AIRFLOW, *WORKERS):
        environment = compose["services"][name]["environment"]
        for option, value in CELERY_SETTINGS.items():
            given = environment["AIRFLOW__" + option.replace(".", "__").upper()]
            same = json.loads(given) == json.loads(value) if value.startswith("{") else given == value
            assert same, f"{name}: {option}"
        assert environment["AIRFLOW__CORE__MAX_MAP_LENGTH"] == str(MAX_MAP_LENGTH)
    pools = json.loads((ROOT / "docker" / "pools.json").read_text())
    assert {name: pool["slots"] for name, pool in pools.items()} == dict.fromkeys(POOLS, UNLIMITED)


def test_who_needs_the_files_of_datasets_has_them(compose: dict[str, Any]) -> None:
    """Who parses the DAGs, who schedules them and who does their nodes read one folder, and none may write there."""
    for name in ("scheduler", "dag-processor", "manager"):
        service = compose["services"][name]
        folder = service["environment"]["SEURON_DATASETS"]
        assert f"./datasets:{folder}:ro" in service["volumes"], name
    moved = read_compose({"SEURON_DATASETS_FOLDER": "/lab/datasets"})["services"]["manager"]
    assert "/lab/datasets:/datasets:ro" in moved["volumes"]


def test_secrets_are_made_once(tmp_path: Path, compose: dict[str, Any]) -> None:
    """Every secret that the file names is made, in a folder that others cannot open; a second time changes nothing."""
    folder = tmp_path / "secrets"
    make_secrets(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert {Path(secret["file"]).name for secret in compose["secrets"].values()} | {"scaling-login"} == first.keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    user, _, password = first["scaling-login"].partition(":")
    assert json.loads(first["passwords.json"])[user] == password
    assert first["postgres-password"] in first["database-url"]
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    make_secrets(tmp_path / "other")
    assert all((tmp_path / "other" / name).read_text() != text for name, text in first.items())


def test_secrets_of_before_there_was_a_scaling_are_told(tmp_path: Path) -> None:
    """A file of passwords that lacks its user is left as it is, and it says what to add."""
    (tmp_path / "passwords.json").write_text('{"admin": "x"}')
    done = subprocess.run(
        ["sh", str(ROOT / "docker" / "make-secrets.sh"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert 'add "scaling"' in done.stderr
    assert (tmp_path / "passwords.json").read_text() == '{"admin": "x"}'


def test_metrics_are_set_up_from_end_to_end(compose: dict[str, Any]) -> None:
    """Prometheus asks the exporter, Grafana asks Prometheus, and each of the dashboard's panels asks for a metric."""
    prometheus = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())
    (target,) = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target.partition(":")[0] in compose["services"]
    (source,) = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/seuron.json").read_text())
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == source["uid"]
        assert all(list(metrics_of(query["expr"])) for query in panel["targets"])
    assert all((ROOT / "docker/prometheus" / name).exists() for name in prometheus["rule_files"])
    mounted = [
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    ]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("./docker"))


def test_the_pod_template_is_one_that_kubernetes_takes() -> None:
    """It follows Kubernetes' strict schema, and what Airflow asks of it: a first container called `base`."""
    import kubernetes_validate

    pod = yaml.safe_load((ROOT / "docker/kubernetes/pod_template.yaml").read_text())
    kubernetes_validate.validate(pod, "1.33", strict=True)
    assert pod["spec"]["containers"][0]["name"] == "base"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**pod, "spec": {"containers": "none"}}, "1.33", strict=True)
