"""The federation's certificate authority: it makes members.

The words, each with one meaning:

    authority            a key that signs certificates; two while a new one takes over from the old
    certificate request  a name and a new public key, signed with its private key (PKCS #10)
    issue                sign a certificate for a request: a node's first one, or a renewal
    in force             of a node's certificates the one that plans name
    offline authority    an authority whose key is on another machine: files with requests are
                         carried there, files with certificates are carried back

Read `authorities`, then `issuer` (nodes' certificates) with `trust`, and `own_certificate` (the
aggregator's). Of an offline authority: `offline_files` (what is carried), `offline_client` (the
aggregator's end) and `offline_authority` (the other end).
"""
