"""What the numbers in README come from."""
