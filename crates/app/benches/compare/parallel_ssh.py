"""One command on many hosts with the parallel-ssh library: prints its seconds, and the seconds that it computed."""

import resource
import sys
import time

from pssh.clients import ParallelSSHClient


def computed():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


listed, port, key, command = sys.argv[1:]
with open(listed) as lines:
    hosts = lines.read().split()
began, before = time.monotonic(), computed()
client = ParallelSSHClient(hosts, user="demo", port=int(port), pkey=key, allow_agent=False)
outputs = client.run_command(command)
captured = {output.host: list(output.stdout) for output in outputs}
client.join(outputs)
seconds, spent = time.monotonic() - began, computed() - before
assert len(captured) == len(hosts) and all(captured.values())
assert all(output.exit_code == 0 for output in outputs)
print(seconds, spent)
