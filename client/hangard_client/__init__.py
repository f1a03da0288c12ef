"""The client library of hangard."""
