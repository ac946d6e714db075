"""What a site lets totals say about it.

Read `policy` (what the site allows), `cohort` (the nodes of a sum), `differencing` (what totals
give away when subtracted), `ledger` (what was contributed) and `guard` (the decision). `departure`
is a leaving node's consent.
"""
