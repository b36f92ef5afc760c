"""The gateway: HTTP, websocket and Unix socket; the only door to the outside."""
