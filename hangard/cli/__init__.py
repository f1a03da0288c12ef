"""The command line. It uses hangard_client; only ``serve`` knows the daemon."""
