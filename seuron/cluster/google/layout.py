"""The resources of a cluster on Google: a pure function of its file.

A template's name ends in a digest of its description, because Google's templates cannot be changed:
another description is another template, and the group is pointed to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seuron.cluster.config import Cluster
from seuron.cluster.config_models import GoogleTable, GroupTable, ManagerTable
from seuron.cluster.google.driver import CLUSTER_LABEL, GROUP_LABEL, group_resource
from seuron.cluster.google.scripts import manager_metadata, worker_metadata
from seuron.cluster.resource_plan import Resource, digest_of, mark
from seuron.errors import ParameterErrors

ROLE_LABEL = "seuron-role"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Redis, PostgreSQL and Airflow's API server on the manager; the viewer.
_MANAGER_PORTS = ("6379", "5432", "8080")


def desired_resources(cluster: Cluster) -> tuple[Resource, ...]:
    """Everything that the file asks for."""
    google, manager = cluster.google, cluster.manager
    if google is None or manager is None:
        raise ParameterErrors(["a cluster with provider = 'google' needs [google] and [manager]"], "the cluster's file")
    found = [*_network(cluster, google), *_firewall(cluster, google)]
    found.append(_data_disk(cluster, manager))
    for table in cluster.group_tables:
        template = _template(cluster, google, table)
        found += [template, _group(cluster, table, template.name)]
    return (*found, _manager(cluster, google, manager))


def data_disk(cluster: str) -> str:
    """The name of the disk of the manager's data."""
    return f"{cluster}-data"


def _network(cluster: Cluster, google: GoogleTable) -> list[Resource]:
    if not google.create_network:
        return []
    subnetwork = {
        "network": _network_address(google),
        "ipCidrRange": google.subnetwork_range,
        # Machines without an outside address still reach images and buckets.
        "privateIpGoogleAccess": True,
    }
    name = google.subnetwork or google.network
    return [
        Resource("network", google.network, "", {"autoCreateSubnetworks": False}),
        Resource("subnetwork", name, google.region, subnetwork),
    ]


def _firewall(cluster: Cluster, google: GoogleTable) -> list[Resource]:
    if not google.create_firewall:
        return []

    def rule(name: str, ports: tuple[str, ...], target: str, **sources: list[str]) -> Resource:
        body = {
            "network": _network_address(google),
            "direction": "INGRESS",
            "allowed": [{"IPProtocol": "tcp", "ports": list(ports)}],
            "targetTags": [target],
            **sources,
        }
        return Resource("firewall", f"{cluster.name}-{name}", "", body)

    rules = [rule("to-manager", _MANAGER_PORTS, _tag(cluster, "manager"), sourceTags=[_tag(cluster, "worker")])]
    # Airflow's pages read a running task's log from its worker.
    rules.append(rule("to-workers", ("8793",), _tag(cluster, "worker"), sourceTags=[_tag(cluster, "manager")]))
    if google.ssh_from:
        rules.append(rule("ssh", ("22",), cluster.name, sourceRanges=list(google.ssh_from)))
    return rules


def _data_disk(cluster: Cluster, manager: ManagerTable) -> Resource:
    body = {
        "sizeGb": str(manager.data_disk_gib),
        "type": f"zones/{manager.zone}/diskTypes/{manager.disk_type}",
        "labels": {CLUSTER_LABEL: cluster.name},
    }
    return Resource("disk", data_disk(cluster.name), manager.zone, body)


def _template(cluster: Cluster, google: GoogleTable, group: GroupTable) -> Resource:
    images = cluster.images
    image = group.machine_image or (group.all_gpus and images.gpu_machine) or images.machine
    labels = {CLUSTER_LABEL: cluster.name, GROUP_LABEL: group.name, ROLE_LABEL: "worker"}
    properties: dict[str, Any] = {
        "description": f"a worker of the cluster {cluster.name}",
        "machineType": group.machine_type,
        "labels": labels,
        "tags": {"items": [cluster.name, _tag(cluster, "worker")]},
        "disks": [_boot_disk(image, group.disk_gib, group.disk_type, labels)],
        "networkInterfaces": [_interface(google)],
        "serviceAccounts": [{"email": google.service_account, "scopes": [_SCOPE]}],
        "scheduling": _scheduling(group.spot, group.all_gpus > 0),
        "metadata": _metadata(worker_metadata(cluster, group)),
    }
    if group.gpus:
        properties["guestAccelerators"] = [
            {"acceleratorType": group.gpu_type, "acceleratorCount": group.gpus},
        ]
    body = {"properties": properties}
    return Resource("template", f"{group_resource(cluster.name, group.name)}-{digest_of(body)}", "", body)


def _group(cluster: Cluster, group: GroupTable, template: str) -> Resource:
    name = group_resource(cluster.name, group.name)
    body = {
        "baseInstanceName": name,
        # Google itself replaces no instance because of a new template: it might be busy.
        "updatePolicy": {"type": "OPPORTUNISTIC"},
    }
    return Resource("group", name, group.zone, body, template, group.min_size)


def _manager(cluster: Cluster, google: GoogleTable, manager: ManagerTable) -> Resource:
    zone = manager.zone
    labels = {CLUSTER_LABEL: cluster.name, ROLE_LABEL: "manager"}
    image = manager.machine_image or cluster.images.machine
    data = data_disk(cluster.name)
    disk_type = f"zones/{zone}/diskTypes/{manager.disk_type}"
    body = {
        "machineType": f"zones/{zone}/machineTypes/{manager.machine_type}",
        "labels": labels,
        "tags": {"items": [cluster.name, _tag(cluster, "manager")]},
        "disks": [
            _boot_disk(image, manager.disk_gib, disk_type, labels),
            {
                "source": f"projects/{google.project}/zones/{zone}/disks/{data}",
                "deviceName": data,
                "autoDelete": False,
            },
        ],
        "networkInterfaces": [_interface(google)],
        "serviceAccounts": [{"email": google.service_account, "scopes": [_SCOPE]}],
        "metadata": _metadata(manager_metadata(cluster, manager, data)),
    }
    return Resource("manager", f"{cluster.name}-manager", zone, body)


def marked_body(cluster: str, project: str, resource: Resource) -> dict[str, Any]:
    """The description as it is sent: with its name, its mark, and what a group has besides."""
    body = {**resource.body, "name": resource.name, "description": mark(cluster, resource.digest)}
    if resource.kind == "group":
        body["instanceTemplate"] = template_address(project, resource.template)
        body["targetSize"] = resource.size
    return body


def template_address(project: str, name: str) -> str:
    """How a group names its template."""
    return f"projects/{project}/global/instanceTemplates/{name}"


def _tag(cluster: Cluster, role: str) -> str:
    return f"{cluster.name}-{role}"


def _network_address(google: GoogleTable) -> str:
    return f"projects/{google.project}/global/networks/{google.network}"


def _interface(google: GoogleTable) -> dict[str, Any]:
    interface: dict[str, Any] = {"network": _network_address(google)}
    name = google.subnetwork or (google.network if google.create_network else "")
    if name:
        interface["subnetwork"] = f"projects/{google.project}/regions/{google.region}/subnetworks/{name}"
    if google.external_addresses:
        interface["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT", "name": "External NAT"}]
    return interface


def _boot_disk(image: str, gibibytes: int, disk_type: str, labels: Mapping[str, str]) -> dict[str, Any]:
    made = {"sourceImage": image, "diskSizeGb": str(gibibytes), "diskType": disk_type, "labels": dict(labels)}
    return {"boot": True, "autoDelete": True, "type": "PERSISTENT", "initializeParams": made}


def _scheduling(spot: bool, gpus: bool) -> dict[str, Any]:
    if spot:
        return {
            "provisioningModel": "SPOT",
            "instanceTerminationAction": "DELETE",
            "automaticRestart": False,
            "onHostMaintenance": "TERMINATE",
        }
    # Machines with GPUs cannot be moved to another host while they run.
    return {"provisioningModel": "STANDARD", "onHostMaintenance": "TERMINATE" if gpus else "MIGRATE"}


def _metadata(items: Mapping[str, str]) -> dict[str, Any]:
    return {"items": [{"key": key, "value": value} for key, value in sorted(items.items())]}
