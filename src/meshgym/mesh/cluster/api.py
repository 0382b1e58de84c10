"""The cluster's API server: one DestinationRule, the rights to it, and a way into a pod."""

from __future__ import annotations

import http.client
import os
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from meshgym.errors import (
    AccessDeniedError,
    AwayError,
    ClusterError,
    ConflictError,
    MeshGymError,
    MissingDependencyError,
    RulesRefusedError,
    clean,
)
from meshgym.mesh.cluster import answers
from meshgym.mesh.cluster.note import ANNOTATION
from meshgym.mesh.shapes import Object

try:
    import urllib3
    import websocket
    import yaml
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from kubernetes.stream import portforward
except ImportError as error:
    raise MissingDependencyError("kubernetes", "measuring in a cluster", "cluster") from error

#: Namespace and name of an object of Kubernetes.
NAMED = re.compile(r"([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9.-]*)")
GROUP, VERSION, PLURAL = "networking.istio.io", "v1", "destinationrules"
#: Seconds to connect, and to wait for a response.
_TIMEOUT_S = (5.0, 10.0)
_READING: dict[str, Any] = {"_request_timeout": _TIMEOUT_S}
#: The API server records who changed an object.
_CHANGING: dict[str, Any] = {**_READING, "field_manager": "meshgym"}
#: Every request may be repeated: reading changes nothing, and a change names the version that it changes.
_RETRY = urllib3.Retry(
    total=4,
    read=1,  # a server that hangs does so again
    redirect=0,  # the token isn't for others
    raise_on_redirect=False,
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

    Every method raises ``AwayError`` if the API server, or a webhook that it asks, doesn't respond; ``ClusterError`` if
    it doesn't respond as it should, and ``AccessDeniedError`` if a right is missing.

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

    @property
    def named(self) -> str:
        """``NAMESPACE/NAME``."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"DestinationRule {self.named} on {self.server}"

    def read(self) -> Object | None:
        """Return the DestinationRule; None if there is none."""
        try:
            with self._trying("read"):
                found = self._objects.get_namespaced_custom_object(**self._kind, name=self.name, **_READING)
            return self._checked(found)
        except _NotFoundError:
            return None

    def create(self, spec: Object, metadata: Object) -> Object:
        """Create the DestinationRule; return it as it is then.

        Args:
            spec: what it says.
            metadata: labels and annotations.

        Raises:
            ConflictError: there is one already.
            RulesRefusedError: the cluster doesn't accept it.
        """
        names = {"name": self.name, "namespace": self.namespace}
        kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "DestinationRule"}
        body = {**kind, "metadata": {**names, **metadata}, "spec": spec}
        with self._trying("create"):
            made = self._objects.create_namespaced_custom_object(**self._kind, body=body, **_CHANGING)
        return self._checked(made)

    def patch(self, spec: Object, metadata: Object, resource_version: str) -> Object:
        """Merge ``spec`` and ``metadata`` into the DestinationRule's (RFC 7386), if it still has ``resource_version``.

        Raises:
            ConflictError: it has another version.
            RulesRefusedError: the cluster doesn't accept it.
        """
        body = {"metadata": {"resourceVersion": resource_version, **metadata}, "spec": spec}
        with self._trying("patch"):
            patched = self._objects.patch_namespaced_custom_object(
                **self._kind, name=self.name, body=body, _content_type="application/merge-patch+json", **_CHANGING
            )
        return self._checked(patched)

    def replace(self, found: Object) -> Object:
        """Replace the DestinationRule, if it still has the same ``resourceVersion``; return it as it is then.

        Raises:
            ConflictError: it has another version.
            RulesRefusedError: the cluster doesn't accept it.
        """
        with self._trying("update"):
            replaced = self._objects.replace_namespaced_custom_object(
                **self._kind, name=self.name, body=found, **_CHANGING
            )
        return self._checked(replaced)

    def delete(self, resource_version: str) -> None:
        """Delete the DestinationRule, if it still has ``resource_version`` or is gone already.

        Raises:
            ConflictError: it has another version.
        """
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=resource_version))
        with suppress(_NotFoundError), self._trying("delete"):
            self._objects.delete_namespaced_custom_object(**self._kind, name=self.name, body=body, **_READING)

    def on_loan(self) -> list[Object]:
        """Return the DestinationRules that are on loan, of the namespace, or of all if it is empty."""
        kind = {name: value for name, value in self._kind.items() if value}
        listing = (
            self._objects.list_namespaced_custom_object if self.namespace else self._objects.list_cluster_custom_object
        )
        with self._trying("list"):
            found = listing(**kind, **_READING)
        return [
            rule
            for rule in answers.destination_rules(found)
            if ANNOTATION in (rule["metadata"].get("annotations") or {})
        ]

    def server_version(self) -> str:
        """Return the version of Kubernetes."""
        with self._trying("read the version of"):
            return clean(client.VersionApi(self._api).get_code(**_READING).git_version, 100)

    def allowed(self, **what: Any) -> bool:
        """Return whether this user has a right (SelfSubjectAccessReview).

        Args:
            what: ``verb``, ``resource``, ``namespace``, and ``group``, ``subresource`` and ``name`` if needed.
        """
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(**what))
        review = client.V1SelfSubjectAccessReview(spec=spec)
        with self._trying("review the rights to"):
            found = client.AuthorizationV1Api(self._api).create_self_subject_access_review(review, **_READING)
            return found.status is not None and found.status.allowed is True

    @contextmanager
    def connection(self, namespace: str, pod: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """Yield an HTTP connection to a port on the pod's loopback interface (port-forward)."""
        connect = client.CoreV1Api(self._api).connect_get_namespaced_pod_portforward
        with self._trying(f"forward port {port} of pod {namespace}/{pod} beside"), _websocket_timeout():
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
            remedy = (
                "does the pod have a sidecar (kubectl label namespace NAME istio-injection=enabled)? Ambient has none"
            )
            raise AwayError(
                f"port {port} of pod {namespace}/{pod} doesn't respond: {clean(reason)}; {remedy}"
            ) from error
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
            said = f"cannot {verb} {self}: no response from the API server ({clean(error)})"
            untrusted = isinstance(getattr(error, "reason", error), urllib3.exceptions.SSLError)
            raise ClusterError(said) if untrusted else AwayError(said) from None
        except (ValueError, TypeError, AttributeError) as error:  # the client expects other JSON
            raise ClusterError(f"cannot {verb} {self}: the API server sent something else ({clean(error)})") from None

    def _checked(self, found: Any) -> Object:
        return answers.destination_rule(found, self.namespace, self.name)


@contextmanager
def _websocket_timeout() -> Iterator[None]:
    """Give the client's websockets a timeout meanwhile; it has no option for one."""
    before = websocket.getdefaulttimeout()
    websocket.setdefaulttimeout(_TIMEOUT_S[1])
    try:
        yield
    finally:
        websocket.setdefaulttimeout(before)


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


def _typed(error: ApiException, what: str) -> MeshGymError:
    """Return our error for an HTTP status."""
    said, name = answers.status_of(error.body)
    status = error.status or 0
    message = f"{what}: HTTP {status}, {said or clean(error.reason)}"
    if status == 429 or status >= 500:
        return AwayError(message)
    match status:
        case 0:  # a port-forward that didn't open; the reason has all headers in it
            return _unopened(error.__context__, what)
        case 401 | 403:
            return AccessDeniedError(f"{message}. The rights that are needed: docs/how-to/cluster.md")
        case 400 | 422:
            return RulesRefusedError(message)
        case 404 if name:
            return _NotFoundError(message)
        case 404:
            return ClusterError(f"{message}. Is Istio installed? `kubectl get crd {PLURAL}.{GROUP}`")
        case 409:
            return ConflictError(message)
    return ClusterError(message)


def _unopened(cause: BaseException | None, what: str) -> MeshGymError:
    """Return our error for a port-forward that the API server didn't open."""
    if not isinstance(cause, websocket.WebSocketBadStatusException):
        return AwayError(f"{what}: {clean(cause, 100)}")
    said = f"{what}: HTTP {cause.status_code}, {clean(cause.status_message, 100)}"
    match cause.status_code:
        case 401 | 403:
            return AccessDeniedError(f"{said}. The rights that are needed: docs/how-to/cluster.md")
        case 404:
            return ClusterError(f"{what}: there is no such pod; `kubectl get pods` lists those that are")
    return AwayError(said)
