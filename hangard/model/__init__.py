"""Values: frozen, comparable, no I/O."""
