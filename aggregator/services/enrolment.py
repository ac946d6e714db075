"""The enrolment service: a one-time token becomes a certificate."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import grpc

from aggregator.ca.issuer import Issuer
from edge_node.errors import IdentityError, MachineError, RefusedError, TangentMeshError
from edge_node.security.pki.certificates import pem_of
from edge_node.security.pki.tokens import hash_secret
from tangentmesh.v1 import enrolment_pb2, enrolment_pb2_grpc

__all__ = ["EnrolmentService"]

_log = logging.getLogger(__name__)

_FAILURE_SECONDS = 0.5  # a wrong token is answered late, so that guessing is slow


@dataclass
class EnrolmentService(enrolment_pb2_grpc.EnrolmentServicer):
    """Lets nodes in.

    Attributes:
        issuer: issues certificates for tokens.
        spec: the federation spec, TOML, for every new member.
        discovery: host:port of the discovery service, for every new member.
    """

    issuer: Issuer
    spec: str
    discovery: str

    async def GetAuthority(  # noqa: N802 - named by the protocol
        self, request: enrolment_pb2.GetAuthorityRequest, context: Any
    ) -> enrolment_pb2.GetAuthorityReply:
        """The CA certificate; the caller compares its fingerprint with the token's."""
        return enrolment_pb2.GetAuthorityReply(ca_certificate=self._ca_pem)

    async def Enrol(  # noqa: N802 - named by the protocol
        self, request: enrolment_pb2.EnrolRequest, context: Any
    ) -> enrolment_pb2.EnrolReply:
        """Consume the token and issue the certificate, in one transaction."""
        try:
            digest = hash_secret(request.token)
            node = await self.issuer.enrol(digest, request.node, request.csr)
        except IdentityError as error:
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, error, request.node)
        except RefusedError as error:
            await self._refuse(context, grpc.StatusCode.ALREADY_EXISTS, error, request.node)
        except MachineError as error:  # the token is as good as before
            await self._refuse(context, grpc.StatusCode.INTERNAL, error, request.node)
        except TangentMeshError as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, error, request.node)
        if node is None:
            _log.info("%s requests a certificate: see `aggregator ca requests`", request.node)
        else:
            _log.info("%s has enrolled", request.node)
        return enrolment_pb2.EnrolReply(
            certificate=pem_of(node.certificate, where=request.node) if node else b"",
            ca_certificate=self._ca_pem,
            spec=self.spec,
            discovery=self.discovery,
        )

    @property
    def _ca_pem(self) -> bytes:
        """The authority that tokens pin, PEM."""
        return pem_of(self.issuer.authorities().certificates[0].certificate)

    async def _refuse(
        self, context: Any, code: grpc.StatusCode, error: TangentMeshError, node: str
    ) -> None:
        _log.warning("an enrolment was refused: %s", error, extra={"node": node[:64]})
        await asyncio.sleep(_FAILURE_SECONDS)
        await context.abort(code, str(error))
