-- The table that both databases hold. What the two-way sync needs of it:
--   the whole row before in every event (REPLICA IDENTITY FULL), for the versions of deletes;
--   a version that grows with every change that a user makes, and that Syncline's writes leave alone.
CREATE TABLE clients (
    id         bigint PRIMARY KEY,
    name       text NOT NULL,
    balance    numeric(12, 2) NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL
);
ALTER TABLE clients REPLICA IDENTITY FULL;

-- A row that came from the other side may be ahead of this side's clock: the next change is later still.
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    IF TG_OP = 'UPDATE' THEN
        NEW.updated_at := greatest(NEW.updated_at, OLD.updated_at + interval '1 microsecond');
    END IF;
    RETURN NEW;
END $$;

-- Syncline says in every session which pipeline and sink write there.
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON clients FOR EACH ROW
    WHEN (coalesce(current_setting('syncline.writer', true), '') = '')
    EXECUTE FUNCTION touch();
