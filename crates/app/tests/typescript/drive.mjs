// Drives a task to its end over stdio with the official TypeScript SDK, in one protocol era; in the new one by the tasks
// extension too. Called with one JSON argument: {"server": [program, args...], "mode": "legacy" or "2026-07-28", "alias",
// "ok" (a command that prints hello), "slow" (one that runs for a few seconds)}. Prints one JSON line on success.

import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { createTaskSessionFromClient, resultFromTaskOutcome } from "@modelcontextprotocol/ext-tasks/client";

const spec = JSON.parse(process.argv[2]);
const modern = spec.mode !== "legacy";
const clientInfo = { name: "typescript-drive", version: "1" };
const capabilities = modern ? { extensions: { "io.modelcontextprotocol/tasks": {} } } : {};
const [command, ...args] = spec.server;

setTimeout(() => {
  console.error("no end within a minute");
  process.exit(1);
}, 60_000).unref();

function connected(declared) {
  const options = { capabilities: declared };
  if (modern) options.versionNegotiation = { mode: { pin: spec.mode } };
  const client = new Client(clientInfo, options);
  const transport = new StdioClientTransport({ command, args, stderr: "ignore" });
  return { client, transport };
}

async function plainTools() {
  const { client, transport } = connected({});
  await client.connect(transport);
  const call = async (name, args) => {
    const result = await client.callTool({ name, arguments: args });
    assert.ok(!result.isError, JSON.stringify(result));
    return result.structuredContent;
  };
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  assert.ok(tools.includes("ssh_list_tasks"), tools.join());
  const ran = await call("ssh_run", { alias: spec.alias, command: spec.ok });
  assert.equal(ran.exit_code, 0);
  const task = await call("ssh_run_async", { alias: spec.alias, command: spec.ok, idempotency_key: `ts-${spec.mode}` });
  let [lines, cursor, eof] = [[], 0, false];
  while (!eof) {
    const page = await call("ssh_get_task_output", { task_id: task.task_id, cursor, wait_ms: 20_000 });
    lines = lines.concat(page.output_lines);
    [cursor, eof] = [page.next_cursor, page.eof];
  }
  assert.deepEqual(lines, ["hello"]);
  const result = await call("ssh_get_task_result", { task_id: task.task_id });
  assert.equal(result.exit_code, 0);
  await client.close();
}

// The SDK's client shows no task results of its own; the extension's package wants a way to send a request as it is.
function rawDispatch(transport) {
  const waiting = new Map();
  const rest = transport.onmessage;
  transport.onmessage = (message, extra) => {
    const answer = waiting.get(message.id);
    if (!answer) return rest(message, extra);
    waiting.delete(message.id);
    answer(message);
  };
  let count = 0;
  return (request) =>
    new Promise((resolve, reject) => {
      const id = `raw-${(count += 1)}`;
      waiting.set(id, (message) => resolve({ ...message, id: request.id ?? message.id }));
      transport.send({ jsonrpc: "2.0", ...request, id }).catch(reject);
    });
}

async function tasksExtension() {
  const { client, transport } = connected(capabilities);
  await client.connect(transport);
  const session = createTaskSessionFromClient(client, {
    endpointId: "sshepherd",
    rawDispatch: rawDispatch(transport),
    v2RequestFraming: { protocolVersion: spec.mode, clientInfo, clientCapabilities: capabilities },
  });
  const execution = await session.callTool("ssh_run", { alias: spec.alias, command: spec.slow });
  const { outcome } = await execution.settle();
  const result = resultFromTaskOutcome(outcome);
  assert.equal(result.structuredContent.exit_code, 0, JSON.stringify(result));
  await session.close();
  await client.close();
}

await plainTools();
if (modern) await tasksExtension();
console.log(JSON.stringify({ mode: spec.mode, tasks: modern }));
process.exit(0);
