"""Predictions and status for programs on the same machine, over a Unix socket.

Read `endpoint` (where the socket is), `server` (the daemon's side), `client` (the caller's), and
`status`, the one answer that has a type of its own.
"""
