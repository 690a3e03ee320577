"""Drives the server over stdio with the official Python SDK: every tool, resource and prompt, in one protocol era.

Called with one JSON argument: {"server": [program, args...], "mode": "legacy" or "2026-07-28", "alias", "tag",
"ok" (a command that prints hello), "slow" (one that runs for half a minute), "denied" (one that the policy denies)}.
Prints one JSON line on success; any mismatch is an AssertionError, and a hang ends after a minute.
"""

import asyncio
import json
import sys
import time

from typing import Any, Literal

from mcp import Client, StdioServerParameters
from mcp.client.extension import ClientExtension, ResultClaim
from mcp_types import CallToolResult, PromptReference, Request, RequestParams, ResourceTemplateReference, Result
from pydantic import Field

TOOLS = [
    "ssh_cancel", "ssh_cancel_async_task", "ssh_describe_host", "ssh_get_task_output", "ssh_get_task_result",
    "ssh_get_task_status", "ssh_list_hosts", "ssh_list_tasks", "ssh_pause_task", "ssh_ping", "ssh_plan", "ssh_reload_config", "ssh_run", "ssh_run_async",
    "ssh_run_on_tag",
]
PROMPTS = [
    "ssh_orchestrator_usage", "ssh_policy_denied_guidance", "ssh_network_denied_guidance",
    "ssh_missing_host_guidance", "ssh_missing_credentials_guidance", "ssh_config_change_workflow",
]


class Drive:
    def __init__(self, client, spec):
        self.client = client
        self.spec = spec

    async def call(self, tool, error=False, **arguments):
        """Calls a tool; the SDK has checked the answer against the tool's output schema."""
        result = await self.client.call_tool(tool, arguments)
        assert bool(result.is_error) == error, (tool, result)
        answer = result.structured_content
        assert json.loads(result.content[0].text) == answer, (tool, result)
        return answer

    async def listing(self):
        tools = (await self.client.list_tools()).tools
        assert [tool.name for tool in tools] == TOOLS, tools
        for tool in tools:
            assert tool.input_schema["type"] == "object" and tool.output_schema["type"] == "object", tool
            assert tool.annotations is not None and tool.description, tool

    async def hosts(self):
        alias = self.spec["alias"]
        assert (await self.call("ssh_ping"))["status"] == "pong"
        assert alias in (await self.call("ssh_list_hosts"))["hosts"]
        host = await self.call("ssh_describe_host", alias=alias)
        assert host["alias"] == alias and self.spec["tag"] in host["tags"], host
        unknown = await self.call("ssh_describe_host", error=True, alias=alias + "x")
        assert unknown["field"] == "alias" and alias in unknown["near"], unknown
        assert (await self.call("ssh_run", error=True, alias=alias))["field"] == "command"

    async def runs(self):
        alias, ok, denied = self.spec["alias"], self.spec["ok"], self.spec["denied"]
        assert (await self.call("ssh_plan", alias=alias, command=ok))["allowed"] is True
        plan = await self.call("ssh_plan", alias=alias, command=denied)
        assert plan["allowed"] is False and plan["why"] and plan["hint"], plan
        run = await self.call("ssh_run", alias=alias, command=ok)
        assert run["exit_code"] == 0 and "hello" in run["output"] and run["status"] == "completed", run
        refused = await self.call("ssh_run", error=True, alias=alias, command=denied)
        assert refused["status"] == "denied" and refused["reason"] == "policy" and refused["hint"], refused
        fan_out = await self.call("ssh_run_on_tag", tag=self.spec["tag"], command=ok)
        assert [entry["exit_code"] for entry in fan_out["results"]].count(0) == len(fan_out["results"]) > 0, fan_out
        nobody = await self.call("ssh_run_on_tag", tag="nobody-has-this", command=ok)
        assert nobody["results"] == [] and nobody["note"], nobody
        return run["task_id"]

    async def tasks(self, done_id):
        alias, slow = self.spec["alias"], self.spec["slow"]
        result = await self.call("ssh_get_task_result", task_id=done_id)
        assert result["exit_code"] == 0 and result["max_seconds"] > 0, result
        output = await self.call("ssh_get_task_output", task_id=done_id, max_lines=5)
        assert output["output_lines"] == ["hello"] and output["total_lines"] == 1, output
        page = await self.call("ssh_get_task_output", task_id=done_id, cursor=0)
        assert page["output_lines"] == ["hello"] and page["eof"] is True, page
        for tool in ["ssh_cancel", "ssh_cancel_async_task"]:
            task = await self.call("ssh_run_async", alias=alias, command=slow)
            assert task["status"] == "pending" and task["keepAlive"] > 0 and task["pollFrequency"] > 0, task
            status = await self.call("ssh_get_task_status", task_id=task["task_id"])
            assert status["status"] in ("pending", "running") and status["progress_percent"] < 100, status
            unfinished = await self.call("ssh_get_task_result", error=True, task_id=task["task_id"])
            assert unfinished["task_status"] in ("pending", "running"), unfinished
            stopped = await self.call(tool, task_id=task["task_id"])
            assert stopped["cancelled"] is True and stopped["status"] == "cancelled", stopped
            again = await self.call(tool, task_id=task["task_id"])
            assert again["cancelled"] is False, again
        await self.long_poll()
        for tool in ["ssh_get_task_status", "ssh_get_task_result", "ssh_get_task_output", "ssh_cancel"]:
            assert "task" in (await self.call(tool, error=True, task_id="no:such:task"))["error"]

    async def long_poll(self):
        """A task under the caller's own name, driven to its end by cursor without a question in vain."""
        started = {"alias": self.spec["alias"], "command": self.spec["ok"], "idempotency_key": "drive"}
        task = await self.call("ssh_run_async", **started)
        again = await self.call("ssh_run_async", **started)
        assert again["task_id"] == task["task_id"] and again["existing"] is True, again
        lines, cursor, eof = [], 0, False
        while not eof:
            page = await self.call("ssh_get_task_output", task_id=task["task_id"], cursor=cursor, wait_ms=20000)
            lines, cursor, eof = lines + page["output_lines"], page["next_cursor"], page["eof"]
        assert lines == ["hello"], lines
        matching = await self.call("ssh_get_task_output", task_id=task["task_id"], cursor=0, match="^h.*o$")
        assert matching["output_lines"] == ["hello"] and matching["lines_matched"] == 1, matching
        status = await self.call("ssh_get_task_status", task_id=task["task_id"])
        assert status["status"] == "completed" and status["durability"] == "job", status
        listed = await self.call("ssh_list_tasks", status="completed")
        assert task["task_id"] in [row["task_id"] for row in listed["tasks"]], listed

    async def progress_and_concurrency(self):
        """A slow call with progress, beside which a quick one is answered; then the client gives the slow one up."""
        alias, told, first = self.spec["alias"], [], asyncio.Event()

        async def progress(done, total, message):
            told.append((done, total, message))
            first.set()

        arguments = {"alias": alias, "command": self.spec["slow"]}
        slow = asyncio.create_task(self.client.call_tool("ssh_run", arguments, progress_callback=progress))
        await asyncio.wait_for(first.wait(), 20)
        began = time.monotonic()
        assert (await self.call("ssh_ping"))["status"] == "pong"
        assert time.monotonic() - began < 2, "a slow call delayed another"
        assert not slow.done() and told, (slow, told)
        slow.cancel()
        try:
            await slow
        except asyncio.CancelledError:
            pass

    async def reading(self):
        alias = self.spec["alias"]
        listed = [str(resource.uri) for resource in (await self.client.list_resources()).resources]
        assert listed[0] == "ssh://hosts" and f"ssh://host/{alias}" in listed, listed
        templates = (await self.client.list_resource_templates()).resource_templates
        assert len(templates) == 4, templates
        of_host = [template for template in templates if "{alias}" in template.uri_template]
        uris = listed + [template.uri_template.replace("{alias}", alias) for template in of_host]
        for uri in uris:
            contents = (await self.client.read_resource(uri)).contents
            text = contents[0].text
            json.loads(text)
            assert "PRIVATE KEY" not in text and "hunter2" not in text, uri
        prompts = (await self.client.list_prompts()).prompts
        assert [prompt.name for prompt in prompts] == PROMPTS, prompts
        for prompt in prompts:
            got = await self.client.get_prompt(prompt.name, {a.name: "x" for a in prompt.arguments or []})
            assert len(got.messages[0].content.text) > 200, got
        ref = ResourceTemplateReference(uri="ssh://host/{alias}")
        values = (await self.client.complete(ref, {"name": "alias", "value": alias[:2]})).completion.values
        assert alias in values, values
        ref = PromptReference(name=PROMPTS[1])
        values = (await self.client.complete(ref, {"name": "alias", "value": ""})).completion.values
        assert alias in values, values

    async def reload(self):
        """The configuration is read again, and in the new era a listener hears of it."""
        if self.spec["mode"] == "legacy":
            assert (await self.call("ssh_reload_config"))["status"] == "reloaded"
            return
        async with self.client.listen(resources_list_changed=True) as events:
            assert (await self.call("ssh_reload_config"))["status"] == "reloaded"
            await asyncio.wait_for(anext(aiter(events)), 10)
            # Task events come on the same subscription; the SDK does not know them and must not mind.
            await self.call("ssh_run_async", alias=self.spec["alias"], command=self.spec["ok"])
            assert (await self.call("ssh_ping"))["status"] == "pong"


class TaskParams(RequestParams):
    task_id: str = Field(alias="taskId")


class TaskAnswer(Result):
    """A call that became a task, or a task as `tasks/get` tells it."""

    result_type: Literal["task", "complete"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str
    result: dict[str, Any] | None = None


class Started(Result):
    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")


class Tasks(ClientExtension):
    """The tasks extension, as far as a client needs it: ask until the task has ended."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self):
        self.seen = []

    def claims(self):
        return [ResultClaim(result_type="task", model=Started, resolve=self.resolve)]

    async def resolve(self, started, context):
        self.seen.append(started.task_id)
        while True:
            request = Request(method="tasks/get", params=TaskParams(taskId=started.task_id))
            task = await context.session.send_request(request, TaskAnswer)
            if task.status != "working":
                return CallToolResult.model_validate(task.result)
            await asyncio.sleep(0.2)


async def by_extension(spec):
    """A command that takes longer than the server waits becomes a task, and its result is the call's."""
    program, *arguments = spec["server"]
    tasks = Tasks()
    server = StdioServerParameters(command=program, args=arguments)
    async with Client(server, mode=spec["mode"], extensions=[tasks]) as client:
        arguments = {"alias": spec["alias"], "command": "sleep 3"}
        result = await client.call_tool("ssh_run", arguments)
        assert result.structured_content["exit_code"] == 0, result
        assert tasks.seen == [result.structured_content["task_id"]], (tasks.seen, result)


async def main(spec):
    logged = []

    async def on_log(params):
        logged.append(params.data)

    program, *arguments = spec["server"]
    server = StdioServerParameters(command=program, args=arguments)
    async with Client(server, mode=spec["mode"], logging_callback=on_log) as client:
        drive = Drive(client, spec)
        assert client.instructions or spec["mode"] != "legacy", "no instructions"
        await drive.listing()
        await drive.hosts()
        done_id = await drive.runs()
        await drive.tasks(done_id)
        await drive.progress_and_concurrency()
        await drive.reading()
        await drive.reload()
        version = client.protocol_version
    if spec["mode"] != "legacy":
        await by_extension(spec)
    events = [data["event"] for data in logged]
    if spec["mode"] == "legacy":
        assert "created" in events and "cancelled" in events, events
    else:
        assert events == [], "logging is not for this era"
    print(json.dumps({"ok": True, "version": version, "events": events}))


asyncio.run(asyncio.wait_for(main(json.loads(sys.argv[1])), 60))
