"""Sessile as the store behind agent frameworks: one module for each, and each wants its extra to be installed.

| module | framework | extra |
| --- | --- | --- |
| :mod:`sessile.adapters.claude` | Claude Agent SDK, ``SessionStore`` | ``sessile[claude-agent-sdk]`` |
| :mod:`sessile.adapters.langgraph` | LangGraph, checkpointer | ``sessile[langgraph]`` |
| :mod:`sessile.adapters.openai` | OpenAI Agents SDK, ``Session`` | ``sessile[openai-agents]`` |
| :mod:`sessile.adapters.google_adk` | Google ADK, ``BaseSessionService`` (Python 3.11) | ``sessile[google-adk]`` |
| :mod:`sessile.adapters.strands` | Strands Agents, ``SessionRepository`` | ``sessile[strands]`` |

Each takes an open :class:`sessile.Store` and leaves closing it to whoever opened it. What is acknowledged to a
framework has the store's default durability: it survives power loss.
"""
