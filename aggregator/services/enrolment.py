"""The enrolment service: a one-time token becomes a certificate."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from aggregator.ca.certification import Certification
from aggregator.registry.registry import EnrolledNode
from edge_node.errors import IdentityError, MachineError, RefusedError, TangentMeshError
from edge_node.security.pki.certificates import pem_of
from edge_node.security.pki.tokens import hash_secret
from tangentmesh.v1 import enrolment_pb2, enrolment_pb2_grpc

__all__ = ["EnrolmentService"]

_log = logging.getLogger(__name__)

_FAILURE_SECONDS = 0.5  # a wrong token is answered late, so that guessing is slow


@dataclass
class EnrolmentService(enrolment_pb2_grpc.EnrolmentServicer):
    """Issues certificates.

    Attributes:
        certification: the federation's authority, tokens and nodes.
        spec: the federation spec, TOML, for every new member.
        discovery: host:port of the discovery service, for every new member.
        enrolled: is told of each enrolment.
    """

    certification: Certification
    spec: str
    discovery: str
    enrolled: Callable[[EnrolledNode], None]
    clock: Callable[[], float] = time.time

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
            node = await asyncio.to_thread(self._issue, request)
        except IdentityError as error:
            await self._refuse(context, grpc.StatusCode.UNAUTHENTICATED, error, request.node)
        except RefusedError as error:
            await self._refuse(context, grpc.StatusCode.ALREADY_EXISTS, error, request.node)
        except MachineError as error:  # the token is as good as before
            await self._refuse(context, grpc.StatusCode.INTERNAL, error, request.node)
        except TangentMeshError as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, error, request.node)
        if node is None:
            _log.info("%s asks for a certificate: see `aggregator ca requests`", request.node)
        else:
            self.enrolled(node)
            _log.info("%s has enrolled", request.node)
        return enrolment_pb2.EnrolReply(
            certificate=pem_of(node.certificate, where=request.node) if node else b"",
            ca_certificate=self._ca_pem,
            spec=self.spec,
            discovery=self.discovery,
        )

    def _issue(self, request: enrolment_pb2.EnrolRequest) -> EnrolledNode | None:
        digest = hash_secret(request.token)
        return self.certification.enrol(digest, request.node, request.csr, now=self.clock())

    @property
    def _ca_pem(self) -> bytes:
        """The authority that tokens pin."""
        return self.certification.authority_pem

    async def _refuse(
        self, context: Any, code: grpc.StatusCode, error: TangentMeshError, node: str
    ) -> None:
        _log.warning("an enrolment was refused: %s", error, extra={"node": node[:64]})
        await asyncio.sleep(_FAILURE_SECONDS)
        await context.abort(code, str(error))
