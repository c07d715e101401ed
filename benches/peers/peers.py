"""The three programs that are compared, each with settings that are known to make it fast, and how each is started.

`start` functions get a `Job`, write their settings into its folder and return the command and its environment.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
USER = PASSWORD = "syncline"

# Debezium's JDBC sink: rows of one statement batch, and records that a task gets from one poll.
CONNECT_BATCH_ROWS = 3000
CONNECT_HEAP = ["-Xms256m", "-Xmx2g", "-XX:+UseG1GC"]
# Pathway: worker threads, and the longest time between two minibatches.
PATHWAY_THREADS = 2
PATHWAY_COMMIT_MS = 1500


@dataclass
class Job:
    """One run of one peer: what it reads and where it writes."""

    folder: Path
    topic: str
    partitions: int
    group: str
    database: str
    kafka: str
    postgres_port: int
    binary: str


def syncline(job):
    """Default settings: one process, upserts and deletes by the key of the record."""
    file = job.folder / "clients.toml"
    file.write_text(f"""[sources.crm]
type    = "kafka"
brokers = "{job.kafka}"
topics  = ["{job.topic}"]
group   = "{job.group}"
format  = "debezium-json"

[sinks.copy]
type   = "postgres"
inputs = ["crm"]
url    = "postgres://{USER}:{PASSWORD}@127.0.0.1:{job.postgres_port}/{job.database}"
table  = "clients"
key    = ["id"]
delete = "hard"
""")
    return [job.binary, "run", str(file)], {}


def connect(job):
    """A standalone worker with a task for each partition, the reduction buffer and rewritten batches."""
    worker = job.folder / "worker.properties"
    worker.write_text(f"""bootstrap.servers={job.kafka}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename={job.folder}/offsets
plugin.discovery=service_load
listeners=http://127.0.0.1:0
consumer.max.poll.records={CONNECT_BATCH_ROWS}
consumer.max.partition.fetch.bytes=16777216
""")
    connector = job.folder / "sink.json"
    connector.write_text(json.dumps({"name": job.group, "config": {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": str(job.partitions),
        "topics": job.topic,
        "connection.url":
            f"jdbc:postgresql://127.0.0.1:{job.postgres_port}/{job.database}?reWriteBatchedInserts=true",
        "connection.username": USER,
        "connection.password": PASSWORD,
        "insert.mode": "upsert",
        "primary.key.mode": "record_key",
        "delete.enabled": "true",
        "schema.evolution": "none",
        "collection.name.format": "clients",
        "batch.size": str(CONNECT_BATCH_ROWS),
        "use.reduction.buffer": "true",
    }}, indent=2))
    return ["java", *CONNECT_HEAP, f"-Dlog4j2.configurationFile={os.environ['PEERS_LOG4J']}",
            "-cp", os.environ["PEERS_CLASSPATH"],
            "org.apache.kafka.connect.cli.ConnectStandalone", str(worker), str(connector)], {}


def pathway(job):
    """A job that keeps a snapshot of the topic in the table."""
    settings = {"kafka": job.kafka, "topic": job.topic, "group": job.group, "port": job.postgres_port,
                "database": job.database, "user": USER, "password": PASSWORD, "commit_ms": PATHWAY_COMMIT_MS}
    return ([os.environ["PEERS_PATHWAY"], str(HERE / "pathway_job.py"), json.dumps(settings)],
            {"PATHWAY_THREADS": str(PATHWAY_THREADS)})


PEERS = {"syncline": syncline, "connect": connect, "pathway": pathway}

# What a peer writes to its log when it will write nothing more, though its process lives.
FATAL = {"connect": b"Task is being killed and will not recover"}

if __name__ == "__main__":
    sys.exit("run benches/peers/run")
