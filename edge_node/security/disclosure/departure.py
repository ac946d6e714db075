"""A leaving node's consent, which lets the others go on without it at once.

Totals with and without the node differ by its sums, so the others form none without it
(`security.disclosure.guard`) unless it has signed a departure. The aggregator hands it on, and
can't forge it. It covers what the node has contributed up to the epoch that it names, not later.
"""

from dataclasses import dataclass
from typing import Self

from edge_node.security.pki.certificate_checks import check_certificate
from edge_node.security.pki.identity import Identity
from edge_node.security.pki.statement import Purpose, Statement

__all__ = ["Departure"]


@dataclass(frozen=True)
class Departure:
    """A node consents that its contributions up to ``epoch`` may be told from differences.

    ``certificate`` is DER.
    """

    node: str
    certificate: bytes
    epoch: int
    signature: bytes

    @classmethod
    def of(cls, identity: Identity, epoch: int) -> Self:
        """The departure of ``identity``; ``epoch`` is that of the newest plan it has."""
        signature = _consent(identity.federation, identity.node, epoch).sign(identity)
        return cls(identity.node, identity.certificate_der, epoch, signature)

    def check(self, authority_pem: bytes, federation: str) -> None:
        """Check that the node of that name has signed it.

        Raises:
            IdentityError: the certificate is not this federation's for that node, or is out of
                date; or the signature is not by its key.
        """
        check_certificate(self.certificate, authority_pem, name=self.node, federation=federation)
        self.check_signature(federation)

    def check_signature(self, federation: str) -> None:
        """Check that the certificate's owner has signed it. Raises IdentityError."""
        consent = _consent(federation, self.node, self.epoch)
        consent.verify(self.certificate, self.signature)


def _consent(federation: str, node: str, epoch: int) -> Statement:
    return Statement(Purpose.DEPARTURE, (federation, node, epoch))
