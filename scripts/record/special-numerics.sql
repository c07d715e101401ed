INSERT INTO numerics VALUES (1, 'NaN', NULL), (2, NULL, 'NaN'), (3, 'Infinity', NULL), (4, '-Infinity', NULL);
