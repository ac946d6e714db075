"""Use of the registry that may fail without harm, because it is tried again later."""

import logging
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from edge_node.errors import MachineError

__all__ = ["RegistryAccess"]

_log = logging.getLogger(__name__)


@dataclass
class RegistryAccess:
    """Remembers whether the registry could be used, so that trouble is logged once.

    Attributes:
        trouble: why the registry can't be used; empty: it can.
    """

    trouble: str = ""

    async def succeeds(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether ``work`` could be done; if the registry failed, that is logged once."""
        try:
            await work
        except MachineError as error:
            if str(error) != self.trouble:
                _log.error("going on without the registry, and trying again: %s", error)
            self.trouble = str(error)
            return False
        if self.trouble:
            _log.info("the registry can be used again")
        self.trouble = ""
        return True
