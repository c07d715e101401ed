-- The table in both databases. The two-way sync needs:
--   the whole row before in every event (REPLICA IDENTITY FULL), for the versions of deletes;
--   a version that grows with every change by a user. Syncline's own writes must not change it.
CREATE TABLE clients (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    balance    numeric(12, 2) NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL
);
ALTER TABLE clients REPLICA IDENTITY FULL;

-- A row from the other side may be ahead of this side's clock. The next change must be later than that row.
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    IF TG_OP = 'UPDATE' THEN
        NEW.updated_at := greatest(NEW.updated_at, OLD.updated_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$;

-- Syncline sets syncline.writer in its sessions, to the names of the pipeline and the sink.
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON clients FOR EACH ROW
    WHEN (coalesce(current_setting('syncline.writer', true), '') = '')
    EXECUTE FUNCTION touch();
