"""What measuring needs of a cluster's API server: one DestinationRule, rights, and a way into a pod."""

from __future__ import annotations

import http.client
import json
import os
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
#: Seconds to connect and to wait for an answer.
_TIMEOUT_S = (5.0, 10.0)
_ASKING: dict[str, Any] = {"_request_timeout": _TIMEOUT_S}
#: The API server then says who changed a rule.
_CHANGING: dict[str, Any] = {**_ASKING, "field_manager": "meshgym"}
#: Every request may be repeated: what was read is repeated for free, and a change names the version it changes.
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

    The kubeconfig is that of ``$KUBECONFIG`` or the usual one; without any, a pod's own account is used.
    What the API server does not answer, or answers with an error of its own, is asked for a few times more.

    Args:
        namespace, name: of the DestinationRule.
        context: of the kubeconfig; None for its current one.

    Every method raises ``ClusterError`` where the API server does not answer as it should,
    ``AccessDeniedError`` where a right is missing.

    Raises:
        ClusterError: no usable kubeconfig, or one that turns TLS verification off.
    """

    def __init__(self, namespace: str, name: str, context: str | None = None) -> None:
        self.namespace, self.name, self.context = namespace, name, context
        configuration = _configuration(context)
        configuration.retries = _RETRY
        self.server: str = configuration.host
        self._api = client.ApiClient(configuration)
        self._rules = client.CustomObjectsApi(self._api)
        self._kind: dict[str, Any] = {"group": GROUP, "version": VERSION, "plural": PLURAL, "namespace": namespace}

    def __str__(self) -> str:
        return f"DestinationRule {self.namespace}/{self.name} on {self.server}"

    def read(self) -> dict[str, Any] | None:
        """The rule; None where there is none."""
        try:
            with self._asked("read"):
                return _rule(self._rules.get_namespaced_custom_object(**self._kind, name=self.name, **_ASKING))
        except _NotFoundError:
            return None

    def create(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Make the rule; returns it as it is then.

        Raises:
            ConflictError: there is one.
            RulesRefusedError: the cluster does not take it.
        """
        with self._asked("create"):
            return _rule(self._rules.create_namespaced_custom_object(**self._kind, body=rule, **_CHANGING))

    def patch(self, spec: dict[str, Any], resource_version: str) -> dict[str, Any]:
        """Merge ``spec`` into the rule's (RFC 7386) if it still has ``resource_version``.

        Raises:
            ConflictError: it has another.
            RulesRefusedError: the cluster does not take it.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "spec": spec}
        with self._asked("patch"):
            return _rule(
                self._rules.patch_namespaced_custom_object(
                    **self._kind, name=self.name, body=body, _content_type="application/merge-patch+json", **_CHANGING
                )
            )

    def replace(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Put ``rule`` in the place of that with its ``resourceVersion``; returns it as it is then.

        Raises:
            ConflictError: it has another.
            RulesRefusedError: the cluster does not take it.
        """
        with self._asked("update"):
            return _rule(
                self._rules.replace_namespaced_custom_object(**self._kind, name=self.name, body=rule, **_CHANGING)
            )

    def delete(self, resource_version: str) -> None:
        """Remove the rule if it still has ``resource_version``; one that is gone already will do.

        Raises:
            ConflictError: it has another.
        """
        body = client.V1DeleteOptions(preconditions=client.V1Preconditions(resource_version=resource_version))
        with suppress(_NotFoundError), self._asked("delete"):
            self._rules.delete_namespaced_custom_object(**self._kind, name=self.name, body=body, **_ASKING)

    def server_version(self) -> str:
        """Kubernetes' version."""
        with self._asked("read the version of"):
            return str(client.VersionApi(self._api).get_code(**_ASKING).git_version)

    def allowed(self, **what: Any) -> bool:
        """Whether this user may do that (SelfSubjectAccessReview).

        Args:
            what: ``verb``, ``resource``, ``namespace``, and as need be ``group``, ``subresource`` and ``name``.
        """
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(**what))
        review = client.V1SelfSubjectAccessReview(spec=spec)
        with self._asked("review the rights to"):
            answer = client.AuthorizationV1Api(self._api).create_self_subject_access_review(review, **_ASKING)
        return answer.status is not None and answer.status.allowed

    @contextmanager
    def connection(self, namespace: str, pod: str, port: int) -> Iterator[http.client.HTTPConnection]:
        """An HTTP connection to a port that the pod has on its loopback interface (port-forward)."""
        connect = client.CoreV1Api(self._api).connect_get_namespaced_pod_portforward
        with self._asked(f"forward port {port} of pod {namespace}/{pod} beside"):
            forward = portforward(connect, pod, namespace, ports=str(port))
        connection = http.client.HTTPConnection("localhost", port)
        connection.sock = forward.socket(port)
        connection.sock.settimeout(_TIMEOUT_S[1])
        try:
            yield connection
        except (OSError, http.client.HTTPException) as error:
            reason = forward.error(port) or error
            raise ClusterError(f"port {port} of pod {namespace}/{pod} does not answer: {reason}") from error
        finally:
            forward.close()

    @contextmanager
    def _asked(self, verb: str) -> Iterator[None]:
        """Turns what the client raises into this project's errors, without what was sent (which has the token)."""
        try:
            yield
        except ApiException as error:
            # Opening a port-forward, the client takes Ctrl-C for an error of the API server.
            if isinstance(error.__context__, KeyboardInterrupt | SystemExit):
                raise error.__context__ from None
            raise _typed(error, f"cannot {verb} {self}") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"cannot {verb} {self}: no answer from the API server ({error})") from None


class _NotFoundError(ConflictError):
    """There is no such object (any more)."""


def _configuration(context: str | None) -> client.Configuration:
    """Where the API server is and how it knows us."""
    configuration = client.Configuration()
    file = os.environ.get("KUBECONFIG")
    in_a_pod = "KUBERNETES_SERVICE_HOST" in os.environ and file is None and context is None
    try:
        try:
            config.load_kube_config(file, context, configuration)  # type: ignore[no-untyped-call]
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


def _rule(answer: Any) -> dict[str, Any]:
    """``answer`` as an object of Kubernetes; a proxy's login page is none."""
    if isinstance(answer, dict) and "resourceVersion" in answer.get("metadata", {}):
        return answer
    raise ClusterError(f"the API server answered {str(answer)[:100]!r} instead of a DestinationRule")


def _typed(error: ApiException, what: str) -> MeshError:
    """The error of this project that fits the HTTP status."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        status = {}
    said = f"{what}: HTTP {error.status}, {status.get('message') or error.reason}"
    match error.status:
        case 401 | 403:
            return AccessDeniedError(f"{said}. The rights that are needed: docs/how-to/cluster.md")
        case 400 | 422:
            return RulesRefusedError(said)
        case 404 if status.get("details", {}).get("name"):
            return _NotFoundError(said)
        case 404:
            return ClusterError(f"{said}. Is Istio installed? `kubectl get crd {PLURAL}.{GROUP}`")
        case 409:
            return ConflictError(said)
    return ClusterError(said)
