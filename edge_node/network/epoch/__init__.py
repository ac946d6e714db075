"""What the nodes of an epoch agree on before any of them contributes.

Read `epoch`. Its nodes announce `claims` and `keys`, in the form of `signed`; `guard` is who must
consent.
"""
