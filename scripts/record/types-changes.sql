-- Read by streaming: the rows of the snapshot again under other keys, then updates and deletes.
INSERT INTO types SELECT (t).* FROM (SELECT t #= hstore('id', (id + 10)::text) AS t FROM types t ORDER BY id) AS copies;
UPDATE types SET a_text = 'updated' WHERE id = 11;
UPDATE types SET id = 21 WHERE id = 11;
DELETE FROM types WHERE id = 12;

INSERT INTO toasted
VALUES (1, 0, repeat('0123456789', 300), decode(repeat('00ff10', 1000), 'hex'), jsonb_build_object('k', repeat('j', 3000)),
    (SELECT array_agg(n) FROM generate_series(1, 800) n), (SELECT array_agg('item ' || n) FROM generate_series(1, 300) n),
    (SELECT array_agg('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid) FROM generate_series(1, 150)), hstore('k', repeat('h', 3000)), 1.5);
INSERT INTO toasted_full SELECT * FROM toasted;
UPDATE toasted SET counter = 1;
UPDATE toasted SET counter = 2, a_text = 'short now';
UPDATE toasted SET id = 2;
DELETE FROM toasted;
UPDATE toasted_full SET counter = 1;
DELETE FROM toasted_full;
TRUNCATE toasted;

-- NaN and infinities.
INSERT INTO numerics VALUES (1, 'NaN', NULL), (2, NULL, 'NaN');
INSERT INTO numerics VALUES (3, 'Infinity', NULL), (4, '-Infinity', NULL);
