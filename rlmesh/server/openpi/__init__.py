"""Serves models to clients of openpi, beside those of RLMesh.

Each connection is a session of its own, with the same slots, checks, limits and end as any other.

Modules:
    gateway: Accepts connections and opens their sessions.
    connection: A websocket, as the session manager sees it.
    conversation: Answers the messages of one connection.
"""
