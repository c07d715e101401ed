"""The records of the comparison, and the table that they must lead to.

They are what Debezium writes for a table `clients`, with the schema in every key and value (Kafka Connect's
`schemas.enable=true`), as Debezium's JDBC sink needs it, and with the whole row before (`REPLICA IDENTITY FULL`), as
Pathway needs it. Of 100 changes about 40 are creates, 52 updates of a row chosen uniformly, and 8 deletes, each
followed by its tombstone. A deleted key never returns. `version` is 1 after the create and grows by 1 with every
update, so the sum of `version` over a table says how many creates and updates of the rows in it were applied.

Types are those that all three programs take without a setting for the column: `balance` is a double (multiples of 1/4,
so no program can round it) and `updated_at` plain microseconds.
"""

import json
import random

TABLE = """CREATE TABLE {name} (id bigint PRIMARY KEY, first_name text NOT NULL, last_name text NOT NULL, email text,
  status text NOT NULL, balance double precision NOT NULL, version bigint NOT NULL, updated_at bigint NOT NULL)"""
COLUMNS = ["id", "first_name", "last_name", "email", "status", "balance", "version", "updated_at"]
TYPES = dict(id="int64", balance="double", version="int64", updated_at="int64")

FIRST = "Ada Ben Chloe David Emma Felix Grace Hugo Ines Jonas Klara Louis Marie Noah Olga Paul Rosa Simon Tessa".split()
LAST = "Adler Bauer Costa Dubois Evans Fischer Garcia Hansen Ivanov Jansen Keller Lopez Meyer Novak Rossi".split()
STATUS = ["active", "prospect", "inactive", "closed"]
START_US = 1_780_000_000_000_000
SEPARATOR = "\t"
TOMBSTONE = "<tombstone>"


def _schemas(topic):
    """The schemas of key and value as JSON text, as Debezium writes them."""

    def field(name, kind, optional=True):
        return {"type": kind, "optional": optional, "field": name}

    row = [field(name, TYPES.get(name, "string"), optional=name == "email") for name in COLUMNS]
    source = [field(name, kind, optional) for name, kind, optional in [
        ("version", "string", False), ("connector", "string", False), ("name", "string", False),
        ("ts_ms", "int64", False), ("db", "string", False), ("schema", "string", False), ("table", "string", False),
        ("txId", "int64", True), ("lsn", "int64", True)]]
    key = {"type": "struct", "fields": [field("id", "int64", False)], "optional": False, "name": f"{topic}.Key"}
    value = {"type": "struct", "optional": False, "name": f"{topic}.Envelope", "version": 2, "fields": [
        {"type": "struct", "fields": row, "optional": True, "name": f"{topic}.Value", "field": "before"},
        {"type": "struct", "fields": row, "optional": True, "name": f"{topic}.Value", "field": "after"},
        {"type": "struct", "fields": source, "optional": False,
         "name": "io.debezium.connector.postgresql.Source", "field": "source"},
        field("op", "string", False), field("ts_ms", "int64")]}
    return [json.dumps(schema, separators=(",", ":")) for schema in (key, value)]


def write(path, topic, count, seed=9):
    """Writes `count` records to `path`, one a line: key, tab, value or `TOMBSTONE`.

    Returns the final rows as {id: row} (a row is a list in the order of `COLUMNS`), the ids of living rows with the one
    that changed last at the end, and how many records of each kind were written.
    """
    chance = random.Random(seed)
    key_schema, value_schema = _schemas(topic)
    rows, living, changed = {}, [], {}
    kinds = {"creates": 0, "updates": 0, "deletes": 0, "tombstones": 0}

    def text(row):
        return "null" if row is None else json.dumps(dict(zip(COLUMNS, row)), separators=(",", ":"))

    with open(path, "w", encoding="utf-8") as out:
        written = 0
        while written < count:
            now_us = START_US + written * 1000
            pick = chance.random()
            if pick < 0.40 or not living:
                kind, before = "creates", None
                number = len(rows) + kinds["deletes"] + 1
                first, last = chance.choice(FIRST), chance.choice(LAST)
                after = [number, first, last, f"{first}.{last}.{number}@example.com".lower(), "prospect",
                         chance.randrange(400_000) / 4, 1, now_us]
                living.append(number)
            else:
                place = chance.randrange(len(living))
                number = living[place]
                before = rows[number]
                if pick < 0.92 or count - written < 2:
                    kind = "updates"
                    after = before[:4] + [chance.choice(STATUS), chance.randrange(400_000) / 4, before[6] + 1, now_us]
                else:
                    kind, after = "deletes", None
                    living[place] = living[-1]
                    living.pop()
            key = f'{{"schema":{key_schema},"payload":{{"id":{number}}}}}'
            source = (f'{{"version":"3.4.3.Final","connector":"postgresql","name":"crm","ts_ms":{now_us // 1000},'
                      f'"db":"crm","schema":"public","table":"clients","txId":{written + 700},"lsn":{written * 64}}}')
            out.write(f'{key}{SEPARATOR}{{"schema":{value_schema},"payload":{{"before":{text(before)},'
                      f'"after":{text(after)},"source":{source},"op":"{kind[0]}","ts_ms":{now_us // 1000}}}}}\n')
            kinds[kind] += 1
            written += 1
            changed.pop(number, None)
            if after is None:
                del rows[number]
                out.write(f"{key}{SEPARATOR}{TOMBSTONE}\n")
                kinds["tombstones"] += 1
                written += 1
            else:
                rows[number] = after
                changed[number] = None
    return rows, list(changed), kinds
