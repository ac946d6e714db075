"""What a process holds in memory stays there: rows, keys and masks are in no core dump."""

import resource

__all__ = ["forbid_core_dumps"]


def forbid_core_dumps() -> None:
    """Let no crash of this process, or of one that it starts, write its memory to a disk.

    The limit is one byte, not none: Linux ignores a limit of zero where dumps are piped to a
    program, and one byte is how it is told not to start that (fs/coredump.c).
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 1 if most == resource.RLIM_INFINITY else min(1, most)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
