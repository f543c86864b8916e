"""Prints what the session functions of the Claude Agent SDK read: `python claude.py ID` gives `{id, cwd, name, messages}`,
each message as `{role, texts, calls, results}`. Where they look is said by CLAUDE_CONFIG_DIR."""

import json
import sys

from claude_agent_sdk import get_session_messages, list_sessions


def blocks(content: object) -> list[dict]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content or [])


def text_of(content: object) -> str:
    return "\n".join(block["text"] for block in blocks(content) if block.get("type") == "text")


def told(message: dict) -> dict:
    content = blocks(message["content"])
    of_type = lambda kind: [block for block in content if block["type"] == kind]
    return {
        "role": message["role"],
        "texts": [block["text"] for block in of_type("text")],
        "calls": [block["name"] for block in of_type("tool_use")],
        "results": [text_of(block["content"]) for block in of_type("tool_result")],
    }


session = next(info for info in list_sessions() if info.session_id == sys.argv[1])
messages = [told(read.message) for read in get_session_messages(session.session_id)]
print(
    json.dumps(
        {"id": session.session_id, "cwd": session.cwd, "name": session.custom_title, "messages": messages}
    )
)
