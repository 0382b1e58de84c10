"""Keys and certificates for mutual TLS between the embedded sidecar and the service."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshgym.errors import MissingDependencyError

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True)
class Certificates:
    """A workload certificate and its authority, as PEM files in ``folder``; both sides use the same."""

    folder: Path

    def _context(self) -> dict[str, Any]:
        """Return a TLS context that shows the certificate and asks for one of the same authority."""
        files = {
            "certificate_chain": {"filename": str(self.folder / "workload.pem")},
            "private_key": {"filename": str(self.folder / "workload.key")},
        }
        trusted = {"trusted_ca": {"filename": str(self.folder / "authority.pem")}}
        return {"tls_certificates": [files], "validation_context": trusted}

    def server_socket(self) -> dict[str, Any]:
        """Return the Envoy transport socket of a replica."""
        context = {"common_tls_context": self._context(), "require_client_certificate": True}
        return _socket("DownstreamTlsContext", context)

    def client_socket(self) -> dict[str, Any]:
        """Return the Envoy transport socket of the sidecar's cluster."""
        return _socket("UpstreamTlsContext", {"common_tls_context": self._context()})


def _socket(kind: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"name": "tls", "typed_config": {"@type": f"{_TYPE}.{kind}", **context}}


def make_certificates(folder: Path) -> Certificates:
    """Write new P-256 keys (as istiod's) and certificates that are valid for a week to ``folder``."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        raise MissingDependencyError("cryptography", "mutual TLS in the embedded mesh", "live") from None

    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, key: Any, issuer: str, signer: Any, authority: bool) -> x509.Certificate:
        spiffe = x509.UniformResourceIdentifier(f"spiffe://cluster.local/ns/default/sa/{name}")
        builder = x509.CertificateBuilder(
            subject_name=x509.Name.from_rfc4514_string(f"CN={name}"),
            issuer_name=x509.Name.from_rfc4514_string(f"CN={issuer}"),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(hours=1),
            not_valid_after=now + datetime.timedelta(days=7),
        )
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([spiffe]), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root, workload = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    for file, certificate in {
        "authority.pem": issue("authority", root, "authority", root, True),
        "workload.pem": issue("workload", workload, "authority", root, False),
    }.items():
        (folder / file).write_bytes(certificate.public_bytes(pem))
    key_file = folder / "workload.key"
    key_file.touch(mode=0o600)
    key_file.write_bytes(workload.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return Certificates(folder)
