"""Who a node is, what totals may say of its rows, and what hides everything else.

Read the rooms in this order:

    pki          who is who: keys, certificates, and the statements that are signed with them
    tls          connections between certified peers, and why one failed
    disclosure   what a site lets totals say about it, and the ledger of its contributions
    privacy      differential privacy: noise, its cost, and the ledger of what was spent

`masks` hides a node's words from everybody, so that only the total of a whole cohort can be read;
docs/secure-sum.md derives it. The rooms stand on `files` (private, whole and on disk) and
`chained_log` (append-only, and damage is noticed); `process` keeps memory out of core dumps.
"""
