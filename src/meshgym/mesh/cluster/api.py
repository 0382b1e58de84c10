"""The cluster's API server: one DestinationRule, the rights to it, and a way into a pod."""

from __future__ import annotations

import http.client
import json
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from meshgym.errors import (
    AccessDeniedError,
    ClusterError,
    ConflictError,
    MeshError,
    MissingDependencyError,
    RulesRefusedError,
)

try:
    import urllib3
    import yaml
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from kubernetes.stream import portforward
except ImportError as error:
    raise MissingDependencyError("kubernetes", "measuring in a cluster", "cluster") from error

GROUP, VERSION, PLURAL = "networking.istio.io", "v1", "destinationrules"
#: Seconds to connect, and to wait for a response.
_TIMEOUT_S = (5.0, 10.0)
_READING: dict[str, Any] = {"_request_timeout": _TIMEOUT_S}
#: The API server records who changed an object.
_CHANGING: dict[str, Any] = {**_READING, "field_manager": "meshgym"}
#: Every request may be repeated: reading changes nothing, and a change names the version that it changes.
_RETRY = urllib3.Retry(
    total=4,
    backoff_factor=0.2,
    allowed_methods=None,
    status_forcelist=[429, 500, 502, 503, 504],
    raise_on_status=False,
    retry_after_max=20,
)


class Cluster:
    """The DestinationRule ``name`` in ``namespace``, through the official client.

    Uses the kubeconfig of ``$KUBECONFIG``, or the usual one; without any, a pod's own account. If the API server
    doesn't respond, or fails, requests are repeated a few times.

    Args:
        namespace, name: namespace and name of the DestinationRule.
        kube_context: context of the kubeconfig; None for its current one.

    Every method raises ``ClusterError`` if the API server doesn't respond as it should, and ``AccessDeniedError`` if a
    right is missing.

    Raises:
        ClusterError: there is no usable kubeconfig, or it turns TLS verification off.
    """

    def __init__(self, namespace: str, name: str, kube_context: str | None = None) -> None:
        self.namespace, self.name, self.kube_context = namespace, name, kube_context
        configuration = _configuration(kube_context)
        configuration.retries = _RETRY
        self.server: str = configuration.host
        self._api = client.ApiClient(configuration)
        self._objects = client.CustomObjectsApi(self._api)
        self._kind: dict[str, Any] = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": namespace}

    def __str__(self) -> str:
        return f"DestinationRule {self.namespace}/{self.name} on {self.server}"

    def read(self) -> dict[str, Any] | None:
        """Return the DestinationRule; None if there is none."""
        try:
            with self._trying("read"):
                return _checked(self._objects.get_namespaced_custom_object(**self._kind, name=self.name, **_READING))
        except _NotFoundError:
            return None

    def create(self, found: dict[str, Any]) -> dict[str, Any]:
        """Create the DestinationRule; return it as it is then.

        Raises:
            ConflictError: there is one already.
            RulesRefusedError: the cluster doesn't accept it.
        """
        with self._trying("create"):
            return _checked(self._objects.create_namespaced_custom_object(**self._kind, body=found, **_CHANGING))

    def patch(self, spec: dict[str, Any], resource_version: str) -> dict[str, Any]:
        """Merge ``spec`` into the DestinationRule's (RFC 7386), if it still has ``resource_version``.

        Raises:
            ConflictError: it has another version.
            RulesRefusedError: the cluster doesn't accept it.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "spec": spec}
        with self._trying("patch"):
            return _checked(
                self._objects.patch_namespaced_custom_object(
                    **self._kind, name=self.name, body=body, _content_type="application/merge-patch+json", **_CHANGING
                )
            )

    def replace(self, found: dict[str, Any]) -> dict[str, Any]:
        """Replace the DestinationRule, if it still has the same ``resourceVersion``; return it as it is then.

        Raises:
            ConflictError: it has another version.
            RulesRefusedError: the cluster doesn't accept it.
        """
        with self._trying("update"):
            return _checked(
                self._objects.replace_namespaced_custom_object(**self._kind, name=self.name, body=found, **_CHANGING)
            )

    def delete(self, resource_version: str) -> None:
        """Delete the DestinationRule, if it still has ``resource_version`` or is gone already.

        Raises:
            ConflictError: it has another version.
        """
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=resource_version))
        with suppress(_NotFoundError), self._trying("delete"):
            self._objects.delete_namespaced_custom_object(**self._kind, name=self.name, body=body, **_READING)

    def server_version(self) -> str:
        """Return the version of Kubernetes."""
        with self._trying("read the version of"):
            return str(client.VersionApi(self._api).get_code(**_READING).git_version)

    def allowed(self, **what: Any) -> bool:
        """Return whether this user has a right (SelfSubjectAccessReview).

        Args:
            what: ``verb``, ``resource``, ``namespace``, and ``group``, ``subresource`` and ``name`` if needed.
        """
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(**what))
        review = client.V1SelfSubjectAccessReview(spec=spec)
        with self._trying("review the rights to"):
            found = client.AuthorizationV1Api(self._api).create_self_subject_access_review(review, **_READING)
        return found.status is not None and found.status.allowed

    @contextmanager
    def connection(self, namespace: str, pod: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """Yield an HTTP connection to a port on the pod's loopback interface (port-forward)."""
        connect = client.CoreV1Api(self._api).connect_get_namespaced_pod_portforward
        with self._trying(f"forward port {port} of pod {namespace}/{pod} beside"):
            forward = portforward(connect, pod, namespace, ports=str(port))
        if tunnel := forward.websocket.sock:
            weakref.finalize(forward.websocket, tunnel.close)  # the client forgets it if the server hangs up first
        connection = http.client.HTTPConnection("localhost", port)
        connection.sock = forward.socket(port)
        connection.sock.settimeout(_TIMEOUT_S[1])
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            reason = forward.error(port) or error
            raise ClusterError(f"port {port} of pod {namespace}/{pod} doesn't respond: {reason}") from error
        finally:
            forward.close()

    @contextmanager
    def _trying(self, verb: str) -> Iterator[None]:
        """Turn the client's errors into ours, without what was sent (which has the token)."""
        try:
            yield
        except ApiException as error:
            # Opening a port-forward, the client takes Ctrl-C for an error of the API server.
            if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
                raise error.__context__ from None
            raise _typed(error, f"cannot {verb} {self}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"cannot {verb} {self}: no response from the API server ({error})") from None


class _NotFoundError(ConflictError):
    """There is no such object, or no longer."""


def _configuration(kube_context: str | None) -> client.Configuration:
    """Read where the API server is and how it knows us."""
    configuration = client.Configuration()
    file = os.environ.get("KUBECONFIG")
    in_a_pod = "KUBERNETES_SERVICE_HOST" in os.environ and file is None and kube_context is None
    try:
        try:
            config.load_kube_config(file, kube_context, configuration)  # type: ignore[no-untyped-call]
        except ConfigException:
            if not in_a_pod:
                raise
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError) as error:
        remedy = "set KUBECONFIG, or choose one of `kubectl config get-contexts`"
        raise ClusterError(f"no cluster: {error}; {remedy}") from None
    if not configuration.verify_ssl:
        raise ClusterError(
            f"the kubeconfig turns TLS verification off for {configuration.host}; "
            "give it the cluster's certificate-authority instead of insecure-skip-tls-verify"
        )
    return configuration


def _checked(found: Any) -> dict[str, Any]:
    """Check that something is an object of Kubernetes, and not a proxy's login page."""
    if isinstance(found, dict) and "resourceVersion" in found.get("metadata", {}):
        return found
    raise ClusterError(f"the API server sent {str(found)[:100]!r} instead of a DestinationRule")


def _typed(error: ApiException, what: str) -> MeshError:
    """Return our error for an HTTP status."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        status = {}
    message = f"{what}: HTTP {error.status}, {status.get('message') or error.reason}"
    match error.status:
        case 401 | 403:
            return AccessDeniedError(f"{message}. The rights that are needed: docs/how-to/cluster.md")
        case 400 | 422:
            return RulesRefusedError(message)
        case 404 if status.get("details", {}).get("name"):
            return _NotFoundError(message)
        case 404:
            return ClusterError(f"{message}. Is Istio installed? `kubectl get crd {PLURAL}.{GROUP}`")
        case 409:
            return ConflictError(message)
    return ClusterError(message)
