"""What daemon and client say to each other: messages, frames, requests; no I/O."""
