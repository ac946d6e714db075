"""Who a node is, and what hides its contribution: identity, enrolment, credentials, masks."""
