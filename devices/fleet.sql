-- The fleet: what devices there are, where they stand, which hardware speaks for them since when.
-- Written by `village devices ...`; the gateway reads it at start and on POST /reload.

CREATE TABLE device (
    number           INTEGER PRIMARY KEY,      -- the fleet's order
    device           TEXT NOT NULL UNIQUE,
    profile          TEXT NOT NULL,
    commune          TEXT NOT NULL,
    legacy_commune   TEXT NOT NULL,
    zone             TEXT NOT NULL,
    "group"          TEXT NOT NULL,
    name             TEXT NOT NULL,
    latitude         REAL,
    longitude        REAL,
    interval_seconds INTEGER,
    powered          TEXT,
    timezone         TEXT NOT NULL,
    simulated        INTEGER NOT NULL
);

CREATE TABLE hardware_id (
    device INTEGER NOT NULL,
    place  INTEGER NOT NULL,                   -- among the device's ids, oldest first
    key    TEXT NOT NULL,                      -- the value, upper and lower case made equal
    value  TEXT NOT NULL,
    since  INTEGER NOT NULL,                   -- ns UTC
    until  INTEGER NOT NULL,
    PRIMARY KEY (device, place)
) WITHOUT ROWID;
CREATE INDEX hardware_id_by_key ON hardware_id (key);

CREATE TABLE calibration (
    device   INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    property TEXT NOT NULL,
    slope    REAL NOT NULL,
    "offset" REAL NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (device, place)
) WITHOUT ROWID;

CREATE TABLE history (                         -- outlives the device
    id     INTEGER PRIMARY KEY,
    at     INTEGER NOT NULL,                   -- ns UTC
    device TEXT NOT NULL,
    what   TEXT NOT NULL,                      -- added, adopted, changed, replaced, removed
    detail TEXT NOT NULL
);
CREATE INDEX history_by_device ON history (device);

-- Tells a fleet from any other database.
PRAGMA application_id = 1447447636;
PRAGMA user_version = 1;
