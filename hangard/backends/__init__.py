"""Ways to store sample bytes, each under a permanent two-character format code."""
