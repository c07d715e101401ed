"""Measures how fast each peer brings a Debezium topic into a PostgreSQL table. Started by `run`.

What is measured, for each run of a peer:

- The topic is full before the peer starts. The target is a new database with an empty table `clients`, the consumer
  group is new. Only one peer runs at a time; every second round runs them in the opposite order.
- The clock begins when a poll (every 50 ms) first sees a row in the table, so start-up is not measured; the column
  "start s" shows it. The records that are in the table by then are not counted: they are the sum of `version` at that
  moment, which leaves out only the records of rows that were already deleted again (see events.py).
- The clock stops when the table holds the expected number of rows with the expected sum of `version`. The poll asks for
  the last changed rows by their key, which costs next to nothing, and counts the table only when these are right.
- `records/s` is the records after the first row, tombstones included, divided by that time.
- `all/s` is all records of the topic divided by the whole time, start-up included. A peer that writes much in its first
  transaction has a short clock and a high `records/s`; this column shows it.
- `CPU s/M` is user and system time of the peer's processes between the two moments, for a million of those records;
  `PostgreSQL s/M` the same of the server and its backends, which includes the polls and their counts.
- `peak MiB` is the sum of the peak resident sizes (VmHWM) of the peer's processes at the end, start-up included.
- `equal` compares the table with the expected one, by a checksum over all columns of all rows in the order of `id`.

A run that took shorter than 60 s, or whose first row came with a large part of all records, says little about speed.
"""

import argparse
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import events
from peers import FATAL, PASSWORD, PEERS, USER, Job

POLL_S = 0.05
QUERY_S = 120
LOAD_S = 1800
STOP_S = 20
TICKS = os.sysconf("SC_CLK_TCK")
PORT = int(os.environ["PEERS_POSTGRES_PORT"])
POSTGRES_PID = int(os.environ["PEERS_POSTGRES_PID"])
KAFKA = os.environ["PEERS_KAFKA"]


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


class Psql:
    """One psql that stays open, so that a poll starts no process."""

    def __init__(self, database):
        self.child = subprocess.Popen(
            ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(PORT), "-U", USER, database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=os.environ | {"PGPASSWORD": PASSWORD})

    def ask(self, statement):
        """The rows of the answer, each a list of texts."""
        self.child.stdin.write(f"{statement};\n\\echo <end>\n".encode())
        answer, deadline = b"", time.monotonic() + QUERY_S
        while not answer.endswith(b"<end>\n"):
            if not select.select([self.child.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"PostgreSQL did not answer within {QUERY_S} s: {statement[:200]}")
            piece = os.read(self.child.stdout.fileno(), 65536)
            if not piece:
                raise RuntimeError(f"psql ended, its message is above: {statement[:200]}")
            answer += piece
        return [line.split("|") for line in answer.decode().splitlines()[:-1]]

    def close(self):
        self.child.stdin.close()
        self.child.wait(STOP_S)


@dataclass
class Usage:
    cpu_s: float = 0.0
    peak_kib: int = 0


def usage(root):
    """CPU time and peak size of a process and its descendants, CPU time of ended children included."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append((int(entry), fields))
                if int(entry) == root:
                    own = fields
            except (OSError, IndexError):
                pass  # it ended meanwhile
    total, found = Usage(), [(root, own)] if "own" in locals() else []
    while found:
        pid, fields = found.pop()
        total.cpu_s += sum(int(number) for number in fields[11:15]) / TICKS
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            total.peak_kib += int(status.partition("VmHWM:")[2].split()[0])
        except (OSError, IndexError):
            pass  # it ended meanwhile
        found += parents.get(pid, [])
    return total


@dataclass
class Expected:
    records: int
    rows: int
    versions: int
    checksum: str
    last: str  # a query: how many of the last changed rows are not yet final


CHECKSUM = "SELECT md5(string_agg(row_text, ',' ORDER BY id)) FROM (SELECT id, {name}::text AS row_text FROM {name}) t"


def expect(rows, changed, records, partitions, work):
    """Loads the expected rows into PostgreSQL for their checksum, so that both sides are formatted by one program."""
    file = work / "expected.tsv"
    with open(file, "w", encoding="utf-8") as out:
        for row in rows.values():
            out.write("\t".join(map(str, row)) + "\n")
    admin = Psql("postgres")
    admin.ask(events.TABLE.format(name="expected"))
    admin.ask(f"\\copy expected FROM '{file}'\nSELECT 1")
    checksum = admin.ask(CHECKSUM.format(name="expected"))[0][0]
    admin.ask("DROP TABLE expected")
    admin.close()
    file.unlink()
    # Enough rows that each partition has one of them.
    last = ",".join(f"({number},{rows[number][6]})" for number in changed[-16 * partitions:])
    return Expected(records, len(rows), sum(row[6] for row in rows.values()), checksum,
                    f"SELECT count(*) FROM (VALUES {last}) e(id, version) LEFT JOIN clients c USING (id) "
                    "WHERE c.version IS DISTINCT FROM e.version")


def tool(name, *arguments, stdin=None):
    """Runs one of Kafka's tools."""
    subprocess.run(["java", "-Xmx512m", f"-Dlog4j2.configurationFile={os.environ['PEERS_LOG4J']}", "-cp",
                    os.environ["PEERS_CLASSPATH"], f"org.apache.kafka.tools.{name}", *arguments],
                   stdin=stdin, stdout=subprocess.DEVNULL, check=True, timeout=LOAD_S)


def load(topic, partitions, records, work):
    """Makes the topic and fills it. Returns what the table must become."""
    say(f"writing {records} records to {topic} with {partitions} partitions")
    file = work / "records"
    rows, changed, kinds = events.write(file, topic, records)
    size_mb = file.stat().st_size / 1e6
    say(", ".join(f"{count} {kind}" for kind, count in kinds.items()) + f"; {size_mb:.0f} MB")
    tool("TopicCommand", "--bootstrap-server", KAFKA, "--create", "--topic", topic, "--partitions", str(partitions))
    with open(file, "rb") as lines:
        tool("ConsoleProducer", "--bootstrap-server", KAFKA, "--topic", topic,
             "--property", "parse.key=true", "--property", f"key.separator={events.SEPARATOR}",
             "--property", f"null.marker={events.TOMBSTONE}", "--producer-property", "acks=all",
             "--producer-property", "batch.size=262144", "--producer-property", "linger.ms=20", stdin=lines)
    file.unlink()
    return expect(rows, changed, sum(kinds.values()), partitions, work)


@dataclass
class Result:
    peer: str
    partitions: int
    round: int
    note: str = ""
    start_s: float = 0.0
    records: int = 0
    total: int = 0  # all records of the topic, once they are applied
    seconds: float = 0.0
    cpu_s: float = 0.0
    server_s: float = 0.0
    peak_mib: float = 0.0
    equal: str = "no"

    @property
    def rate(self):
        return self.records / self.seconds if self.seconds else 0.0

    @property
    def all_rate(self):
        return self.total / (self.start_s + self.seconds) if self.total else 0.0

    def per_million(self, cpu_s):
        return cpu_s * 1e6 / self.records if self.records else 0.0


def watch(child, log, target, expected, result, limit_s):
    """Polls the target until it is as expected, the peer fails or the limit is reached; fills `result`."""
    began = time.monotonic()
    first = None
    fatal = FATAL.get(result.peer)
    while True:
        if first is None:
            if target.ask("SELECT 1 FROM clients LIMIT 1"):
                done = int(target.ask("SELECT sum(version) FROM clients")[0][0])
                first, first_done = time.monotonic(), done
                peer, server = usage(child.pid), usage(POSTGRES_PID)
                result.start_s = first - began
        elif target.ask(expected.last)[0][0] == "0":
            now = time.monotonic()
            count, versions = map(int, target.ask("SELECT count(*), coalesce(sum(version), 0) FROM clients")[0])
            if (count, versions) == (expected.rows, expected.versions):
                result.records, result.total = expected.records - first_done, expected.records
                break
        now = time.monotonic()
        if child.poll() is not None:
            result.note = f"ended with {child.returncode}"
        elif fatal and fatal in log.read_bytes():
            result.note = "its task failed"
        elif now - began > limit_s:
            result.note = f"not done in {limit_s} s"
        if result.note:
            if first is not None:
                count, versions = map(int, target.ask("SELECT count(*), coalesce(sum(version), 0) FROM clients")[0])
                result.records = max(0, versions - first_done)
                result.note += f": {count} of {expected.rows} rows, versions {versions} of {expected.versions}"
            break
        time.sleep(POLL_S)
    if first is not None:
        result.seconds = now - first
        after, server_after = usage(child.pid), usage(POSTGRES_PID)
        result.cpu_s = after.cpu_s - peer.cpu_s
        result.server_s = server_after.cpu_s - server.cpu_s
        result.peak_mib = after.peak_kib / 1024
    if target.ask(CHECKSUM.format(name="clients"))[0][0] == expected.checksum:
        result.equal = "yes"


def run(name, topic, partitions, number, expected, options):
    """One run of one peer, from a new database to its end."""
    result = Result(name, partitions, number)
    database = f"{name}_{partitions}_{number}"
    job = Job(options.work / database, topic, partitions, f"peers-{database.replace('_', '-')}", database, KAFKA, PORT,
              options.binary)
    job.folder.mkdir()
    admin = Psql("postgres")
    admin.ask(f"CREATE DATABASE {database}")
    target = Psql(database)
    target.ask(events.TABLE.format(name="clients"))
    command, environment = PEERS[name](job)
    log = job.folder / "log"
    say(f"{name}, {partitions} partitions, round {number}")
    with open(log, "wb") as out:
        child = subprocess.Popen(command, cwd=job.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env=os.environ | environment, start_new_session=True)
    try:
        watch(child, log, target, expected, result, options.limit)
    finally:
        stop(child)
    if result.note or result.equal == "no":
        say(f"{name}: {result.note or 'the table is not as expected'}; the end of its log:")
        sys.stderr.write(log.read_text(errors="replace")[-3000:] + "\n")
    target.close()
    admin.ask(f"DROP DATABASE {database} WITH (FORCE)")
    admin.close()
    say(f"{name}: {result.rate:.0f} records/s, equal: {result.equal}")
    return result


def stop(child):
    """Ends the session that this program started for a peer, and nothing else."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass


def show(results, names):
    print("| peer | partitions | round | start s | records | seconds | records/s | all/s | CPU s/M | PostgreSQL s/M "
          "| peak MiB | equal |")
    print("|---|" + "--:|" * 10 + "---|")
    for r in results:
        print(f"| {r.peer} | {r.partitions} | {r.round} | {r.start_s:.1f} | {r.records} | {r.seconds:.1f} "
              f"| {r.rate:.0f} | {r.all_rate:.0f} | {r.per_million(r.cpu_s):.1f} "
              f"| {r.per_million(r.server_s):.1f} | {r.peak_mib:.0f} "
              f"| {r.equal}{' (' + r.note + ')' if r.note else ''} |")
    print()
    for partitions in sorted({r.partitions for r in results}):
        # Only whole runs count: the rate of an unfinished one is of another part of the topic.
        whole = {name: [r for r in results if (r.peer, r.partitions) == (name, partitions) and not r.note and r.seconds]
                 for name in names}
        for name in names:
            if name == "syncline" or not whole.get("syncline") or not whole[name]:
                continue
            ours, theirs = whole["syncline"], whole[name]
            speed = statistics.mean(r.rate for r in ours) / statistics.mean(r.rate for r in theirs)
            ours_cpu = statistics.mean(r.per_million(r.cpu_s) for r in ours)
            cpu = statistics.mean(r.per_million(r.cpu_s) for r in theirs) / ours_cpu if ours_cpu else float("nan")
            print(f"{partitions} partitions: syncline has {speed:.2f}x the rate of {name}, which uses {cpu:.2f}x its "
                  "CPU time for a record")
        for name, runs in whole.items():
            shortest = min((r.seconds for r in runs), default=60)
            if shortest < 60:
                print(f"{partitions} partitions: a run of {name} took {shortest:.1f} s only; use more --records")
            share = max((1 - r.records / r.total for r in runs), default=0)
            if share > 0.1:
                print(f"{partitions} partitions: {share:.0%} of the records were in the table when the clock of {name} "
                      "began; use more --records")


def numbers(text):
    return [int(part) for part in text.split(",")]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--binary")
    options.add_argument("--records", type=int, default=1_000_000)
    options.add_argument("--partitions", type=numbers, default=[4])
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--peers", type=lambda text: text.split(","), default=list(PEERS))
    options.add_argument("--limit", type=int, default=600)
    options.add_argument("--work", type=Path, required=True)
    options = options.parse_args()
    unknown = [name for name in options.peers if name not in PEERS]
    if unknown:
        sys.exit(f"error: unknown peer {unknown[0]}: there are {', '.join(PEERS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.binary:
        options.binary = str(Path(options.binary).resolve())
    results = []
    for partitions in options.partitions:
        topic = f"crm{partitions}.public.clients"
        expected = load(topic, partitions, options.records, options.work)
        for number in range(1, options.rounds + 1):
            for name in options.peers if number % 2 else reversed(options.peers):
                results.append(run(name, topic, partitions, number, expected, options))
    show(results, options.peers)
    return 1 if any(r.note or r.equal == "no" for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
