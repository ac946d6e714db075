"""What the nodes of an epoch agree on before any of them contributes.

Read `epoch` (what happens, in order), then what its nodes announce: `claims` and `keys`, both in
the form of `signed`. `guard` is the interface of what must agree before a node contributes.
"""
