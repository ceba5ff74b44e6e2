"""Kafka, by aiokafka: the log, the catalog, checkpoints, schemas and dead letters as the services see them."""
