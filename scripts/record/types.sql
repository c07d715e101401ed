-- One column of every common PostgreSQL type, and the rows that the snapshot reads.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS ltree;
CREATE EXTENSION IF NOT EXISTS citext;
CREATE TYPE matter_state AS ENUM ('open', 'on hold', 'closed');
CREATE DOMAIN percentage AS numeric(5, 2);

CREATE TABLE types (
    id integer PRIMARY KEY,
    a_bool boolean,
    an_int2 smallint,
    an_int4 integer,
    an_int8 bigint,
    a_float4 real,
    a_float8 double precision,
    a_numeric_12_2 numeric(12, 2),
    a_numeric_38_10 numeric(38, 10),
    a_numeric numeric,
    a_domain percentage,
    a_money money,
    a_text text,
    a_varchar varchar(20),
    a_char char(6),
    a_citext citext,
    a_bytea bytea,
    a_date date,
    a_time time,
    a_time_3 time(3),
    a_timetz timetz,
    a_timestamp timestamp,
    a_timestamp_3 timestamp(3),
    a_timestamptz timestamptz,
    an_interval interval,
    a_uuid uuid,
    a_json json,
    a_jsonb jsonb,
    an_xml xml,
    an_inet inet,
    a_cidr cidr,
    a_macaddr macaddr,
    a_bit bit(1),
    a_bit_8 bit(8),
    a_varbit varbit(16),
    an_int_array integer[],
    a_text_array text[],
    a_numeric_array numeric(10, 2)[],
    a_timestamptz_array timestamptz[],
    a_uuid_array uuid[],
    an_hstore hstore,
    an_ltree ltree,
    an_enum matter_state,
    a_tsvector tsvector,
    an_int4range int4range,
    a_tstzrange tstzrange,
    a_point point
);

-- 1: ordinary values.
INSERT INTO types VALUES (1, true, 12, 3400, 560000, 1.5, 2.25, 1234.50, 1.0000000001, 98765.4321, 12.50, 19.99,
    'Müller & Söhne — 漢字 🙂', 'varchar', 'char', 'CiText', '\x00ff10', '2024-02-29', '13:14:15.123456', '13:14:15.123',
    '13:14:15.123456+02', '2024-02-29 13:14:15.123456', '2024-02-29 13:14:15.123', '2024-02-29 13:14:15.123456+02',
    '1 year 2 mons 3 days 04:05:06.789', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"b": 1, "a": [1.10, null]}',
    '{"b": 1, "a": [1.10, null]}', '<a>b</a>', '192.168.0.1/24', '10.1.0.0/16', '08:00:2b:01:02:03', B'1',
    B'10110001', B'10110001101', '{1,NULL,3}', '{a,NULL,"c,d",""}', '{1.10,NULL,-3.25}',
    '{2024-02-29 13:14:15.123456+02,NULL}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', 'a=>1, b=>NULL', 'top.science',
    'on hold', 'a fat cat', '[1,10)', '[2024-01-01 00:00+00,2024-02-01 00:00+00)', '(1.5,-2.5)');
-- 2: nulls.
INSERT INTO types (id) VALUES (2);
-- 3: the smallest and earliest values.
INSERT INTO types VALUES (3, false, -32768, -2147483648, -9223372036854775808, '-3.4028235e38', '-1.7976931348623157e308',
    -9999999999.99, -9999999999999999999999999999.9999999999, -0.00000000000000000001, -999.99, '-92233720368547758.08', '',
    '', '', '', '', '4713-01-01 BC', '00:00:00', '00:00:00', '00:00:00+14', '4713-01-01 00:00:00 BC', '0001-01-01 00:00:00',
    '4713-01-02 00:00:00+00 BC', '-178000000 years', '00000000-0000-0000-0000-000000000000', 'null', 'null', '<a/>', '0.0.0.0/0', '0.0.0.0/0',
    '00:00:00:00:00:00', B'0', B'00000000', B'', '{}', '{}', '{}', '{}', '{}', '', '', 'open', '', 'empty', 'empty', '(0,0)');
-- 4: the largest and latest values; 24:00:00; years of five and six digits.
INSERT INTO types VALUES (4, true, 32767, 2147483647, 9223372036854775807, '3.4028235e38', '1.7976931348623157e308',
    9999999999.99, 9999999999999999999999999999.9999999999, 123456789012345678901234567890.123456789012345678901234567890, 999.99,
    '92233720368547758.07', E'line\nbreak\ttab "quote" \\ back', repeat('x', 20), 'padded', 'X', '\xffffffffffffffffff', '12345-06-07',
    '24:00:00', '24:00:00', '24:00:00-14', '12345-06-07 08:09:10.111213', '12345-06-07 08:09:10.111', '12345-06-07 08:09:10.111213+00',
    '178000000 years', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '123456789012345678901234567890.5', '{"deep": {"er": [[[]]]}, "n": 123456789012345678901234567890.50}',
    '<?xml version="1.0"?><a>é</a>', '2001:db8::ff00:42:8329', '2001:db8::/32', 'ff:ff:ff:ff:ff:ff', B'1', B'11111111', B'1111111111111111',
    '{{1,2},{3,4}}', '{"{","}"}', '{99999999.99}', '{12345-06-07 08:09:10+00}', '{ffffffff-ffff-ffff-ffff-ffffffffffff}',
    '"key with space"=>"v\"q"', 'a.b.c.d', 'closed', 'x:1A y:2,3B', '(,)', '(,)', '(1e300,-1e-300)');
-- 5: dates before Christ, and the limits of each type.
INSERT INTO types (id, a_date, a_timestamp, a_timestamptz, a_float4, a_float8, a_numeric_12_2, a_time)
VALUES (5, '5874897-12-31', '294276-12-31 23:59:59.999999', '294276-12-31 23:59:59.999999+00', '1e-45', '5e-324', 0.01, '23:59:59.999999');
-- 6 and 7: infinities, and NaN in types other than numeric.
INSERT INTO types (id, a_float4, a_float8, a_date, a_timestamp, a_timestamp_3, a_timestamptz, a_timestamptz_array, a_tstzrange)
VALUES (6, 'NaN', 'NaN', 'infinity', 'infinity', 'infinity', 'infinity', '{infinity}', '[2024-01-01 00:00+00,infinity]'),
    (7, '-Infinity', 'Infinity', '-infinity', '-infinity', '-infinity', '-infinity', '{-infinity}', '(-infinity,)');

-- Values too large for a page are stored separately (TOAST). An update that does not change them does not carry them.
CREATE TABLE toasted (
    id integer PRIMARY KEY,
    counter integer NOT NULL,
    a_text text,
    a_bytea bytea,
    a_jsonb jsonb,
    an_int_array integer[],
    a_text_array text[],
    a_uuid_array uuid[],
    an_hstore hstore,
    a_numeric numeric
);
ALTER TABLE toasted ALTER a_text SET STORAGE EXTERNAL, ALTER a_bytea SET STORAGE EXTERNAL, ALTER a_jsonb SET STORAGE EXTERNAL,
    ALTER an_int_array SET STORAGE EXTERNAL, ALTER a_text_array SET STORAGE EXTERNAL, ALTER a_uuid_array SET STORAGE EXTERNAL,
    ALTER an_hstore SET STORAGE EXTERNAL;
-- The same table, with the whole old row in every event.
CREATE TABLE toasted_full (LIKE toasted INCLUDING ALL);
ALTER TABLE toasted_full REPLICA IDENTITY FULL;

-- Special numerics, in a table of their own: a connector in precise mode may refuse them.
CREATE TABLE numerics (id integer PRIMARY KEY, plain numeric, fixed numeric(12, 2));
