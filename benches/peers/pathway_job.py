"""Pathway's part of the comparison: a Debezium topic to a snapshot in PostgreSQL. Its argument is a JSON object."""

import json
import sys

import pathway as pw


class Client(pw.Schema):
    id: int = pw.column_definition(primary_key=True)
    first_name: str
    last_name: str
    email: str | None
    status: str
    balance: float
    version: int
    updated_at: int


job = json.loads(sys.argv[1])
clients = pw.io.debezium.read(
    {"bootstrap.servers": job["kafka"], "group.id": job["group"], "auto.offset.reset": "earliest"},
    topic_name=job["topic"],
    schema=Client,
    autocommit_duration_ms=job["commit_ms"],
)
pw.io.postgres.write(
    clients,
    {"host": "127.0.0.1", "port": job["port"], "dbname": job["database"], "user": job["user"],
     "password": job["password"]},
    "clients",
    output_table_type="snapshot",
    primary_key=[clients.id],
)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
