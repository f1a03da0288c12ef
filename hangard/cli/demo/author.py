"""Who the demo's commits are by."""

AUTHOR_NAME = "hangard demo"
AUTHOR_EMAIL = "demo@localhost"
