"""Making, changing and removing a cluster on the stand-in, also when things go wrong half-way."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from clusters import connection, google_cluster, google_document, wait_for
from compute_engine.server import ComputeEngine

from seuron.cluster.config import Cluster
from seuron.cluster.google.client import Connection, Patience
from seuron.cluster.google.driver import GoogleDriver
from seuron.cluster.google.layout import desired_resources
from seuron.cluster.google.resources import GoogleResources
from seuron.cluster.resource_plan import Change, plan_changes
from seuron.errors import ComputeError


def plan(resources: GoogleResources, cluster: Cluster) -> list[Change]:
    """What is to be done."""
    changes = plan_changes(desired_resources(cluster), resources.find())
    return [change for change in changes if change.action != "keep"]


def make(resources: GoogleResources, cluster: Cluster) -> None:
    resources.apply(plan(resources, cluster))


def names(engine: ComputeEngine) -> dict[str, list[str]]:
    return {kind: sorted(name for _, name in items) for kind, items in engine.service.resources.items()}


def test_a_cluster_is_made_and_removed(engine: ComputeEngine, resources: GoogleResources) -> None:
    """Everything the file asks for is there after one create, empty groups too, and nothing after a delete."""
    make(resources, google_cluster())
    made = names(engine)
    assert made["networks"] == ["net"]
    assert made["subnetworks"] == ["net"]
    assert made["firewalls"] == ["tissue-ssh", "tissue-to-manager", "tissue-to-workers"]
    assert made["disks"] == ["tissue-data"]
    assert made["instanceGroupManagers"] == ["tissue-spot", "tissue-sure"]
    assert made["instances"] == ["tissue-manager"]
    assert len(made["instanceTemplates"]) == 2
    assert not plan(resources, google_cluster())
    resources.remove()
    assert not any(names(engine).values())


def test_templates_hold_what_the_file_says(engine: ComputeEngine, resources: GoogleResources) -> None:
    """Spot, disks, account, labels and the worker's command reach Google as it expects them."""
    make(resources, google_cluster())
    templates = {name: item["properties"] for (_, name), item in engine.service.resources["instanceTemplates"].items()}
    spot = next(item for name, item in templates.items() if name.startswith("tissue-spot-"))
    sure = next(item for name, item in templates.items() if name.startswith("tissue-sure-"))
    assert spot["scheduling"]["provisioningModel"] == "SPOT"
    assert sure["scheduling"]["provisioningModel"] == "STANDARD"
    assert spot["machineType"] == "e2-standard-8"
    assert spot["labels"]["seuron-cluster"] == "tissue"
    assert spot["disks"][0]["initializeParams"]["diskSizeGb"] == "50"
    assert spot["serviceAccounts"][0]["email"] == "seuron@p.iam.gserviceaccount.com"
    metadata = {item["key"]: item["value"] for item in spot["metadata"]["items"]}
    command = json.loads(metadata["seuron-command"])
    assert command[:6] == ["seuron", "worker", "--queue", "cpu", "--slots", "8"]
    assert "accessConfigs" not in spot["networkInterfaces"][0]


def test_attached_gpus_reach_the_template(engine: ComputeEngine, resources: GoogleResources) -> None:
    """A group with GPUs gets them, an image that can use them, and a host that may stop it."""
    document = google_document()
    gpu = {"machine_type": "n1-standard-8", "gpu_type": "nvidia-tesla-t4", "gpus": 2, "slots": 2, "spot": False}
    changes: dict[str, Any] = {
        "queues": [{"name": "cpu", "gpu": True}],
        "groups": [{**document["groups"][0], **gpu}],
        "images": {"container": "registry.example/seuron:1", "gpu_machine": "projects/p/global/images/gpu"},
    }
    make(resources, google_cluster(**changes))
    properties = next(iter(engine.service.resources["instanceTemplates"].values()))["properties"]
    assert properties["guestAccelerators"] == [{"acceleratorType": "nvidia-tesla-t4", "acceleratorCount": 2}]
    assert properties["scheduling"]["onHostMaintenance"] == "TERMINATE"
    assert properties["disks"][0]["initializeParams"]["sourceImage"] == "projects/p/global/images/gpu"
    startup = next(item["value"] for item in properties["metadata"]["items"] if item["key"] == "startup-script")
    assert "--gpus all" in startup


def test_another_description_is_another_template(
    engine: ComputeEngine, resources: GoogleResources, groups: GoogleDriver
) -> None:
    """A changed group gets a new template, its machines stay, and the old template goes."""
    groups.resize("spot", 2)
    wait_for(lambda: [item.state for item in groups.instances("spot")] == ["running"] * 2)
    before = {item.name for item in groups.instances("spot")}
    old = names(engine)["instanceTemplates"]
    document = google_document()
    document["groups"][0] |= {"disk_gib": 80, "min_size": 3}
    cluster = google_cluster(groups=document["groups"])
    actions = {(change.action, change.kind) for change in plan(resources, cluster)}
    assert actions == {("create", "template"), ("update", "group"), ("delete", "template")}
    make(resources, cluster)
    assert not plan(resources, cluster)
    new = names(engine)["instanceTemplates"]
    assert len(new) == 2
    assert len(set(new) & set(old)) == 1
    assert before < {item.name for item in groups.instances("spot")}
    assert groups.target("spot") == 3


def test_a_changed_manager_keeps_its_data(engine: ComputeEngine, resources: GoogleResources) -> None:
    """A new manager is made in place of the old one, and the disk of data is not touched."""
    make(resources, google_cluster())
    disk = dict(engine.service.resources["disks"]["us-east1-b", "tissue-data"])
    cluster = google_cluster(manager={"zone": "us-east1-b", "command": ["serve"], "machine_type": "e2-standard-16"})
    assert [(change.action, change.kind) for change in plan(resources, cluster)] == [("replace", "manager")]
    make(resources, cluster)
    assert engine.service.resources["disks"]["us-east1-b", "tissue-data"] == disk
    machine = engine.service.resources["instances"]["us-east1-b", "tissue-manager"]
    assert machine["machineType"].endswith("e2-standard-16")


def test_a_group_that_left_the_file_is_removed(resources: GoogleResources, groups: GoogleDriver) -> None:
    """The file is the whole truth: a group that is no longer in it goes with its machines and template."""
    groups.resize("sure", 1)
    cluster = google_cluster(groups=google_document()["groups"][:1])
    assert [(change.action, change.kind) for change in plan(resources, cluster)] == [
        ("delete", "group"),
        ("delete", "template"),
    ]
    make(resources, cluster)
    assert not plan(resources, cluster)


@pytest.mark.parametrize("kind", ["networks", "firewalls", "disks", "instanceTemplates", "instanceGroupManagers"])
def test_a_create_that_failed_half_way_is_taken_up(
    engine: ComputeEngine, resources: GoogleResources, kind: str
) -> None:
    """What was made stays, the error names what failed, and the next create makes only the rest."""
    engine.service.faults.broken_operations.append([f"POST .*/{kind}", "QUOTA_EXCEEDED", "Quota exceeded.", 1])
    with pytest.raises(ComputeError, match=r"creating .*QUOTA_EXCEEDED.*running the command again goes on"):
        make(resources, google_cluster())
    made = {name for items in names(engine).values() for name in items}
    rest = plan(resources, google_cluster())
    assert rest
    assert not made & {change.name for change in rest if change.kind != "subnetwork"}
    make(resources, google_cluster())
    assert not plan(resources, google_cluster())


def test_all_failures_of_one_kind_are_told(engine: ComputeEngine, resources: GoogleResources) -> None:
    """Two groups that cannot be made give one error that names both."""
    engine.service.faults.broken_operations.append(["POST .*/instanceGroupManagers", "LIMIT", "No.", 2])
    with pytest.raises(ComputeError, match=r"(?s)tissue-spot.*tissue-sure"):
        make(resources, google_cluster())


def test_what_was_asked_for_by_a_create_that_was_killed(engine: ComputeEngine, resources: GoogleResources) -> None:
    """A resource that is still being made is in no list; the next create waits for it instead of failing."""
    engine.service.times.operation = 0.4
    with connection(engine.url, Patience(5.0, 5.0, operation=0.05, first_pause=0.01)) as hasty:
        first = GoogleResources(hasty, "tissue")
        with pytest.raises(ComputeError, match="not done after"):
            first.apply(plan(first, google_cluster()))
    assert names(engine)["networks"] == []
    make(resources, google_cluster())
    assert not plan(resources, google_cluster())
    assert len([request for request in engine.requests if re.match("POST .*/networks", request)]) == 2


def test_resources_of_others_are_never_touched(engine: ComputeEngine, resources: GoogleResources) -> None:
    """A network of the same name that bears no mark is an error, stays, and outlives a delete."""
    network = {"name": "net", "description": "mine", "autoCreateSubnetworks": False}
    engine.service.insert("networks", "", network, "", "POST networks")
    wait_for(lambda: names(engine)["networks"] == ["net"])
    with pytest.raises(ComputeError, match="creating network net"):
        make(resources, google_cluster())
    resources.remove()
    assert names(engine)["networks"] == ["net"]


def test_two_clusters_in_one_project(client: Connection, resources: GoogleResources) -> None:
    """A cluster sees and removes its own things only, also when a name begins like another's."""
    document = google_document()["google"] | {"create_network": False, "network": "default"}
    other = GoogleResources(client, "tissue2")
    make(resources, google_cluster(google=document))
    make(other, google_cluster(name="tissue2", google=document))
    assert not plan(resources, google_cluster(google=document))
    resources.remove()
    assert not plan(other, google_cluster(name="tissue2", google=document))
    assert not resources.find()


def test_delete_removes_what_the_file_does_not_know(
    engine: ComputeEngine, resources: GoogleResources, groups: GoogleDriver
) -> None:
    """Running machines, other zones, groups that are in no file, machines that lost their group: all go."""
    groups.resize("spot", 2)
    wait_for(lambda: len(groups.instances("spot")) == 2)
    stray = {"name": "tissue-spot-lost", "labels": {"seuron-cluster": "tissue", "seuron-role": "worker"}}
    engine.service.insert("instances", "europe-west4-a", stray, "", "POST instances")
    wait_for(lambda: "tissue-spot-lost" in names(engine)["instances"])
    engine.service.page_size = 2
    resources.remove()
    assert not any(names(engine).values())


def test_delete_says_what_it_could_not_remove(engine: ComputeEngine, resources: GoogleResources) -> None:
    """A resource that Google does not let go of is named, the rest goes, and the next delete ends well."""
    make(resources, google_cluster())
    engine.service.faults.broken_operations.append(["DELETE .*/disks/", "BUSY", "It is busy.", 1])
    with pytest.raises(ComputeError, match=r"removing disk tissue-data.*BUSY"):
        resources.remove()
    assert names(engine)["instances"] == []
    resources.remove()
    assert not any(names(engine).values())


def test_a_lost_answer_makes_nothing_twice(engine: ComputeEngine, resources: GoogleResources) -> None:
    """Answers that are lost and servers that are busy on the way do not change what is made."""
    engine.service.faults.hangs.append(["POST .*/disks", 1.5, 1, True])
    engine.service.faults.answers.append(["POST", 503, 4])
    engine.service.faults.answers.append(["GET", 503, 4])
    with connection(engine.url, Patience(0.5, 10.0, 10.0, 0.02)) as short:
        make(GoogleResources(short, "tissue"), google_cluster())
    assert not plan(resources, google_cluster())
