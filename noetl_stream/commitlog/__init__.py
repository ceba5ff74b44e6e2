"""The broker's logs on disk: append-only, checked, synced in groups, recovered after any stop. It knows files and record
batches, and nothing of sockets, requests or groups."""
