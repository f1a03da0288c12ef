"""``hangard demo``: several processes write real images at once, another reads them all back."""
