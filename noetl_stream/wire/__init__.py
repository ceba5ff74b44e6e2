"""Bytes: the released Avro schemas, the codec over them, and the topics that hold what they encode."""
