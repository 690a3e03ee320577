"""An MCP server that opens a new paramiko connection for each command and looks for its end every so many seconds (0: waits for it).

The design of MCP SSH Orchestrator, which is not on PyPI: none of its code, and no policy or audit.
"""

import sys
import time

import paramiko
from mcp.server.fastmcp import FastMCP

port, user, key, known_hosts, pause = sys.argv[1:]
server = FastMCP("paramiko-each")


@server.tool()
def ssh_run(command: str) -> dict[str, int | str]:
    client = paramiko.SSHClient()
    client.load_host_keys(known_hosts)
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    pkey = paramiko.Ed25519Key.from_private_key_file(key)
    client.connect("127.0.0.1", int(port), user, pkey=pkey, allow_agent=False, look_for_keys=False, timeout=15)
    try:
        channel = client.get_transport().open_session()
        channel.exec_command(command)
        output = bytearray()
        while float(pause):
            while channel.recv_ready():
                output += channel.recv(4096)
            if channel.exit_status_ready() and not channel.recv_ready():
                break
            time.sleep(float(pause))
        else:
            while piece := channel.recv(4096):
                output += piece
        return {"exit_code": channel.recv_exit_status(), "output": output.decode(errors="replace")}
    finally:
        client.close()


server.run()
