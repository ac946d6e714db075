"""What a site lets totals say about it.

Read `policy` (what the site allows), `allowance` (how much rows may tell), `cohort` (the nodes of a
sum), `differencing` (what totals give away when subtracted), `contribution` (what a node adds to a
total), `history` and `ledger` (what it has contributed), `lifetime` (how much that tells) and
`guard` (the decision). `bill` is what a run has told, `departure` a leaving node's consent.
"""
