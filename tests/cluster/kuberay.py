"""Which fields a manifest may have: KubeRay's by its API reference, Kubernetes' by its own client.

https://docs.ray.io/en/master/cluster/kubernetes/references/api.html (KubeRay 1.6.2): the fields of
its custom resources, as far as they are not pods. A value here is the kind of what stands below:
a table of this module, a model of the Kubernetes client, or anything.
"""

import re
from collections.abc import Iterator
from typing import Any

from kubernetes.client import models

ANYTHING = "anything"
MAP = "dict(str, str)"
TABLES: dict[str, dict[str, str]] = {
    "RayJob": {
        "activeDeadlineSeconds": "int",
        "backoffLimit": "int",
        "clusterSelector": MAP,
        "deletionStrategy": ANYTHING,
        "entrypoint": "str",
        "entrypointNumCpus": "float",
        "entrypointNumGpus": "float",
        "entrypointResources": "str",
        "jobId": "str",
        "managedBy": "str",
        "metadata": MAP,
        "preRunningDeadlineSeconds": "int",
        "rayClusterSpec": "RayCluster",
        "runtimeEnvYAML": "str",
        "shutdownAfterJobFinishes": "bool",
        "submissionMode": "str",
        "submitterConfig": ANYTHING,
        "submitterPodTemplate": "V1PodTemplateSpec",
        "suspend": "bool",
        "ttlSecondsAfterFinished": "int",
    },
    "RayCluster": {
        "authOptions": "AuthOptions",
        "autoscalerOptions": "AutoscalerOptions",
        "enableInTreeAutoscaling": "bool",
        "gcsFaultToleranceOptions": "GcsFaultToleranceOptions",
        "headGroupSpec": "HeadGroup",
        "headServiceAnnotations": MAP,
        "managedBy": "str",
        "rayVersion": "str",
        "suspend": "bool",
        "upgradeStrategy": ANYTHING,
        "workerGroupSpecs": "list[WorkerGroup]",
    },
    "AuthOptions": {"mode": "str", "enableK8sTokenAuth": "bool", "secretName": "str"},
    "AutoscalerOptions": {
        "env": "list[V1EnvVar]",
        "envFrom": "list[V1EnvFromSource]",
        "idleTimeoutSeconds": "int",
        "image": "str",
        "imagePullPolicy": "str",
        "resources": "V1ResourceRequirements",
        "securityContext": "V1SecurityContext",
        "upscalingMode": "str",
        "version": "str",
        "volumeMounts": "list[V1VolumeMount]",
    },
    "GcsFaultToleranceOptions": {
        "backend": "str",
        "externalStorageNamespace": "str",
        "redisAddress": "str",
        "redisPassword": "RedisCredential",
        "redisUsername": "RedisCredential",
        "storage": ANYTHING,
    },
    "RedisCredential": {"value": "str", "valueFrom": "V1EnvVarSource"},
    "HeadGroup": {
        "enableIngress": "bool",
        "headService": "V1Service",
        "labels": MAP,
        "rayStartParams": MAP,
        "resources": MAP,
        "serviceType": "str",
        "template": "V1PodTemplateSpec",
    },
    "WorkerGroup": {
        "groupName": "str",
        "idleTimeoutSeconds": "int",
        "labels": MAP,
        "maxReplicas": "int",
        "minReplicas": "int",
        "numOfHosts": "int",
        "rayStartParams": MAP,
        "replicas": "int",
        "resources": MAP,
        "scaleStrategy": ANYTHING,
        "suspend": "bool",
        "template": "V1PodTemplateSpec",
    },
}
KINDS = {
    "Service": "V1Service",
    "StatefulSet": "V1StatefulSet",
    "NetworkPolicy": "V1NetworkPolicy",
}
SCALARS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "object": (object,),
    ANYTHING: (object,),
}


def mistakes(document: dict[str, Any]) -> list[str]:
    """What Kubernetes would refuse or silently drop in a manifest, each with its path."""
    kind = document["kind"]
    if kind in TABLES:
        return list(_checked(document["spec"], kind, f"{kind}.spec"))
    return list(_checked(document, KINDS[kind], kind))


def _checked(value: Any, kind: str, path: str) -> Iterator[str]:
    if kind in SCALARS:
        if not isinstance(value, SCALARS[kind]):
            yield f"{path} is no {kind}: {value!r}"
        return
    for name, item, below in _inside(value, kind):
        if below:
            yield from _checked(item, below, path + name)
        else:
            yield f"{path}{name} is no field of {kind}"


def _inside(value: Any, kind: str) -> Iterator[tuple[str, Any, str]]:
    """Each part of a value: where, what, and its kind, or "" where there is no such field."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        yield from ((f"[{number}]", item, inner[1]) for number, item in enumerate(value))
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        yield from ((f".{name}", item, inner[1]) for name, item in value.items())
    else:
        fields = _fields(kind)
        yield from ((f".{name}", item, fields.get(name, "")) for name, item in value.items())


def _fields(kind: str) -> dict[str, str]:
    if kind in TABLES:
        return TABLES[kind]
    model = getattr(models, kind)
    return {written: model.openapi_types[name] for name, written in model.attribute_map.items()}
