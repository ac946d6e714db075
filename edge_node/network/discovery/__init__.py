"""Talking to the discovery service: membership from enrolment to leaving.

Read `enrolment`, `client` (heartbeats out, plans in), `membership` and `renewal` (certificates in
life), `leaving`.
"""
