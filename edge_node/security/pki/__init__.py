"""Who is who: keys, certificates, and what is signed with them.

Read `private_keys`, `uri` and `certificates` (what a certificate says), `certificate_checks`
(whether it may be believed), `identity` and `statement` (the only messages that keys sign);
`signing_requests`, `authority` and `tokens` (how a certificate comes to be); `keyring`, `renewal`
and `succession` (how it is replaced).
"""
