"""Tools of MCP servers. The SDK is an extra, and loaded by the first task: `client` and `guard` import it, `tool` does not."""
