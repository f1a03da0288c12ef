"""Where the README's numbers come from: `python -m bench [NAME ...] [--quick] [--json]`.

Each module bench_NAME has a function run(bench). It measures cases side by side with a reference
in the same run, because absolute figures depend on the machine and on what else it is doing.
"""
