"""Generates the quick start's data: a legal practice's table of clients, its changes, and the billing system's table.

usage: clients.py FOLDER BILLING.db

Writes FOLDER/snapshot.sql (the table at the snapshot), FOLDER/changes.sql (the changes after it), and
BILLING.db: some of the same clients in the billing system. People edited some of these rows after their last
change in the practice's system (the quick start keeps those edits) and some before it (the quick start
overwrites those). The seed is fixed: every run gives the same rows.
"""

import random
import sqlite3
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

SNAPSHOT_ROWS = 7_400
INSERTS = 2_300
UPDATES = 3_400
DELETES = 3_450
KEY_CHANGES = 40
BILLING_ROWS = 3_000
EDITED_LATER = 450
EDITED_BETWEEN = 250
EDITED_EARLIER = 500

FIRST = "Ada Amara Ben Chidi Chloé Dmitri Elena Farid Grace Hanna Ivan Jürgen Kofi Leila Mateo Mia Nadia Omar Priya Quentin Rosa Søren Thuý Ugo Vera Wen Yuki Zoë".split()
LAST = "Abara Brandt Castillo Dvořák Eriksen Fischer García Haddad Ivanova Jansen Kowalski Lindqvist Müller Nguyễn Okafor Petrov Quispe Rossi Schmidt Tanaka Usman Vargas Weiß Yılmaz Zhang O'Brien".split()
STATUS = ["active"] * 12 + ["prospect"] * 3 + ["inactive"] * 2 + ["closed"]
NOTES = ["prefers calls before noon", "pays by direct debit", "invoice in copies of two", "conflict check done", "do not e-mail; write"]
COLUMNS = ["id", "first_name", "last_name", "email", "phone", "balance", "status", "notes", "created_at", "updated_at"]

TABLE = """CREATE TABLE clients (
    id bigint PRIMARY KEY,
    first_name text NOT NULL,
    last_name text NOT NULL,
    email text,
    phone text,
    balance numeric(12, 2) NOT NULL,
    status text NOT NULL,
    notes text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
ALTER TABLE clients REPLICA IDENTITY FULL;
"""

BILLING_TABLE = """CREATE TABLE clients (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT,
    phone TEXT,
    balance TEXT NOT NULL,
    status TEXT NOT NULL,
    notes TEXT,
    updated_at TEXT NOT NULL
)"""


class Practice:
    """The practice's table and its clock."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.rows = {}
        self.now = datetime(2026, 4, 1, 8, tzinfo=timezone.utc)
        self.next_id = 1

    def tick(self):
        self.now += timedelta(microseconds=self.random.randrange(1_000_000, 900_000_000))
        return self.now

    def client(self, created, updated):
        pick = self.random
        first, last = pick.choice(FIRST), pick.choice(LAST)
        row = {
            "id": self.next_id,
            "first_name": first,
            "last_name": last,
            "email": self.email(first, last),
            "phone": f"+49 30 {pick.randrange(10**6):06}" if pick.random() < 0.8 else None,
            "balance": self.balance(),
            "status": pick.choice(STATUS),
            "notes": pick.choice(NOTES) if pick.random() < 0.1 else None,
            "created_at": created,
            "updated_at": updated,
        }
        if pick.random() < 0.01:
            row["first_name"] = row["last_name"] = pick.choice(["", " "])
        if pick.random() < 0.004:
            row["status"] = pick.choice(["actve", "?"])
        self.next_id += 1
        return row

    def email(self, first, last):
        pick = self.random
        plain = "".join(c for c in f"{first[0]}.{last}{pick.randrange(90)}" if c.isascii() and c != "'")
        if pick.random() < 0.02:
            return pick.choice([plain, f"{plain}@", f"@{plain}", "n/a", f"{plain}@mail@example.org"])
        address = f"{plain.lower()}@example.org"
        if pick.random() < 0.05:
            return f" {address}" if pick.random() < 0.5 else address.upper()
        return address

    def balance(self):
        cents = self.random.randrange(0, 2_500_000)
        return -cents if self.random.random() < 0.01 else cents

    def change(self, row):
        """One edit, as a person in the practice makes it."""
        pick = self.random
        kind = pick.random()
        changed = {}
        if kind < 0.6:
            changed["balance"] = self.balance()
        elif kind < 0.75:
            changed["email"] = self.email(row["first_name"] or "X", row["last_name"] or "Y")
        elif kind < 0.85:
            changed["status"] = pick.choice(STATUS)
        elif kind < 0.93:
            changed["notes"] = pick.choice(NOTES + [None])
        else:
            changed["phone"] = f"+49 40 {pick.randrange(10**6):06}"
        changed["updated_at"] = self.tick()
        return changed


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f"'{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def cents(value):
    sign = "-" if value < 0 else ""
    return f"{sign}{abs(value) // 100}.{abs(value) % 100:02}"


def cell(column, value):
    return cents(value) if column == "balance" else literal(value)


def insert(row):
    return "(" + ", ".join(cell(column, row[column]) for column in COLUMNS) + ")"


def snapshot(practice, path):
    start = datetime(2023, 1, 1, tzinfo=timezone.utc)
    for _ in range(SNAPSHOT_ROWS):
        created = start + timedelta(seconds=practice.random.randrange(2 * 365 * 86400))
        updated = created + timedelta(microseconds=practice.random.randrange(400 * 86400 * 10**6))
        row = practice.client(created, updated)
        practice.rows[row["id"]] = row
    values = ",\n".join(insert(row) for row in practice.rows.values())
    path.write_text(f"{TABLE}INSERT INTO clients VALUES\n{values};\n")


def changes(practice, path):
    pick = practice.random
    kinds = ["insert"] * INSERTS + ["update"] * UPDATES + ["delete"] * DELETES + ["key"] * KEY_CHANGES
    pick.shuffle(kinds)
    out, left = ["BEGIN;"], pick.randrange(1, 6)
    for kind in kinds:
        if kind == "insert":
            now = practice.tick()
            row = practice.client(now, now)
            practice.rows[row["id"]] = row
            out.append(f"INSERT INTO clients VALUES {insert(row)};")
        else:
            id = pick.choice(list(practice.rows))
            row = practice.rows.pop(id)
            if kind == "delete":
                practice.tick()
                out.append(f"DELETE FROM clients WHERE id = {id};")
            else:
                changed = practice.change(row) if kind == "update" else {"id": practice.next_id, "updated_at": practice.tick()}
                practice.next_id += kind == "key"
                row.update(changed)
                practice.rows[row["id"]] = row
                sets = ", ".join(f"{column} = {cell(column, value)}" for column, value in changed.items())
                out.append(f"UPDATE clients SET {sets} WHERE id = {id};")
        left -= 1
        if left == 0:
            out.append("COMMIT;\nBEGIN;")
            left = pick.randrange(1, 6)
    path.write_text("\n".join(out) + "\nCOMMIT;\n")


def billing_row(row):
    """A client as the quick start's pipeline maps it."""
    email = row["email"]
    return {
        "id": row["id"],
        "name": f"{row['first_name'].strip()} {row['last_name'].strip()}",
        "email": email and email.strip().lower(),
        "phone": row["phone"],
        "balance": cents(row["balance"]),
        "status": row["status"],
        "notes": row["notes"],
        "updated_at": row["updated_at"],
    }


def billing(before, path, seed, end):
    pick = random.Random(seed)
    clean = [row for row in before if row["email"] and row["email"].count("@") == 1 and row["first_name"].strip()]
    rows = [billing_row(row) for row in sorted(pick.sample(clean, BILLING_ROWS), key=lambda row: row["id"])]
    edited = pick.sample(rows, EDITED_LATER + EDITED_BETWEEN + EDITED_EARLIER)
    for index, row in enumerate(edited):
        row["notes"] = pick.choice(["dunning letter sent", "agreed to pay in parts", "address checked by billing"])
        row["balance"] = cents(pick.randrange(0, 900_000))
        if index < EDITED_LATER:
            # After every change in the practice.
            row["updated_at"] = end + timedelta(microseconds=pick.randrange(1, 20 * 86400 * 10**6))
        elif index < EDITED_LATER + EDITED_BETWEEN:
            # After the version of the snapshot, before a possible later change.
            start = datetime(2026, 4, 1, tzinfo=timezone.utc)
            row["updated_at"] = start + timedelta(microseconds=pick.randrange(1, int((end - start).total_seconds() * 10**6)))
        else:
            row["updated_at"] -= timedelta(microseconds=pick.randrange(1, 90 * 86400 * 10**6))
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute(BILLING_TABLE)
        for row in rows:
            row["updated_at"] = row["updated_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            database.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(row.values()))
    database.execute("VACUUM")
    database.close()


def main():
    folder, target = Path(sys.argv[1]), Path(sys.argv[2])
    practice = Practice(seed=20260401)
    snapshot(practice, folder / "snapshot.sql")
    before = [dict(row) for row in practice.rows.values()]
    changes(practice, folder / "changes.sql")
    billing(before, target, seed=7, end=practice.now)


if __name__ == "__main__":
    main()
