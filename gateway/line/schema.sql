-- The journal: everything acknowledged to the broker is in here before the broker hears of it.
-- One writer (the line's thread); delivery, API and commands read.

CREATE TABLE sender (          -- who was heard: a device's name, or '?<topic root>' for unknown ones
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE batch (           -- one group commit
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    committed_at INTEGER NOT NULL,   -- ns UTC
    line_count   INTEGER NOT NULL,
    lines        BLOB NOT NULL,      -- zlib: finished line protocol
    heard        BLOB NOT NULL       -- zlib: packed ledger deltas and identities, see ledger.HEARD
);

CREATE TABLE store (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    kept     INTEGER NOT NULL DEFAULT 0,   -- lines made while it was in the settings
    stored   INTEGER NOT NULL DEFAULT 0,   -- lines
    rejected INTEGER NOT NULL DEFAULT 0,   -- lines
    given_up INTEGER NOT NULL DEFAULT 0    -- lines: forgotten by command, or the disk has lost them
);

CREATE TABLE waiting (         -- which store has not accepted which batch yet
    store INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    PRIMARY KEY (store, batch)
) WITHOUT ROWID;

CREATE TABLE rejected_line (   -- lines a store will never take, with its words
    id          INTEGER PRIMARY KEY,
    store       INTEGER NOT NULL,
    batch       INTEGER NOT NULL,
    rejected_at INTEGER NOT NULL,
    line        BLOB NOT NULL,
    answer      TEXT NOT NULL
);

CREATE TABLE refused (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at INTEGER NOT NULL,
    topic       TEXT NOT NULL,
    device      TEXT NOT NULL,       -- '' if unknown
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    qos         INTEGER NOT NULL,
    retained    INTEGER NOT NULL,
    size        INTEGER NOT NULL,    -- bytes as received
    truncated   INTEGER NOT NULL,
    payload     BLOB NOT NULL,       -- zlib
    replayed_at INTEGER              -- ns UTC, once a replay has taken it
);
CREATE INDEX refused_by_reason ON refused (reason, id, replayed_at) WHERE replayed_at IS NULL;

CREATE TABLE raw (             -- accepted uplinks, to be decoded again
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    uplinks  INTEGER NOT NULL,
    body     BLOB NOT NULL           -- zlib, see raw_uplinks.pack_raw
);

CREATE TABLE held (            -- uplinks that came while the gateway's own clock was wrong: they wait for their time
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    boot        TEXT NOT NULL,       -- which run of the machine `monotonic` counts in
    monotonic   INTEGER NOT NULL,    -- ns since then
    received_at INTEGER NOT NULL,    -- ns by the wrong clock
    topic       TEXT NOT NULL,
    payload     BLOB NOT NULL,       -- zlib
    qos         INTEGER NOT NULL,
    retained    INTEGER NOT NULL,
    duplicate   INTEGER NOT NULL,
    message_id  INTEGER NOT NULL
);

CREATE TABLE ledger (          -- received = kept + refused + repeated, by device and hour of receipt
    hour     INTEGER NOT NULL,       -- hours since 1970 UTC
    sender   INTEGER NOT NULL,
    kept     INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    repeated INTEGER NOT NULL,
    missing  INTEGER NOT NULL DEFAULT 0,   -- sent and never arrived, by the device's own numbers
    PRIMARY KEY (hour, sender)
) WITHOUT ROWID;

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE note (            -- small texts the gateway must remember: subscribed filters, backfill positions
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- 'replayed_*': of those kept or repeated, how many were refused at first.
-- 'received' is counted with every commit, the three outcomes with every fold (and from the rows after a crash).
-- 'lost_on_disk': uplinks, 'lines_lost_on_disk': lines that were acknowledged and could not be read any more.
-- 'newest_at': the latest time of a commit [ns UTC].
INSERT INTO counter VALUES ('lines_kept', 0), ('folded_through', 0), ('received', 0), ('kept', 0), ('refused', 0),
    ('repeated', 0), ('replayed_kept', 0), ('replayed_repeated', 0), ('lost_at_broker', 0), ('raw_bytes', 0),
    ('refused_bytes', 0), ('lost_on_disk', 0), ('lines_lost_on_disk', 0), ('newest_at', 0);
INSERT INTO note VALUES ('journal_id', lower(hex(randomblob(12))));
PRAGMA user_version = 2;
