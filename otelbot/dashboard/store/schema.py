"""The tables. Times of spans and logs are ns since the epoch, those of points ms; ids are bytes.

Rows are numbered in the order in which they came, so the oldest are the smallest numbers: what eviction goes by,
because the clock of a sender may be wrong.
"""

from __future__ import annotations

#: `PRAGMA user_version`; a file of another version is kept aside like a corrupt one.
VERSION = 1

NAMES = ("spans", "traces", "links", "logs", "points", "series", "resources", "scopes", "marks")

TABLES = """
CREATE TABLE resources (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    attributes TEXT NOT NULL,  -- JSON
    service TEXT, instance TEXT, environment TEXT, bot TEXT,
    last INTEGER NOT NULL  -- ns; when something of it last came, within some minutes
);
CREATE TABLE scopes (id INTEGER PRIMARY KEY, name TEXT NOT NULL, version TEXT NOT NULL, UNIQUE (name, version));

CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL, span_id BLOB NOT NULL, parent_id BLOB,  -- NULL: a root
    start INTEGER NOT NULL, end INTEGER NOT NULL,
    name TEXT NOT NULL, kind INTEGER NOT NULL, status INTEGER NOT NULL,
    resource INTEGER NOT NULL, scope INTEGER NOT NULL,
    body BLOB NOT NULL,  -- the protobuf Span as it came: its times may be absurd, those of the columns are not
    UNIQUE (trace_id, span_id)  -- an exporter that did not hear the answer sends again
);
-- One row for each trace, which is what its spans say so far: the root may come last, or never.
CREATE TABLE traces (
    seq INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    start INTEGER NOT NULL, end INTEGER NOT NULL,
    name TEXT NOT NULL, resource INTEGER NOT NULL,  -- of the root; while that is missing, of the first that came
    root BLOB,
    handler TEXT, outcome TEXT, update_type TEXT, user_hash TEXT, error_type TEXT, state TEXT,
    spans INTEGER NOT NULL, errors INTEGER NOT NULL
);
CREATE INDEX traces_by_start ON traces (start);
CREATE INDEX traces_by_handler ON traces (handler, start) WHERE handler IS NOT NULL;
CREATE INDEX traces_by_user ON traces (user_hash, start) WHERE user_hash IS NOT NULL;
CREATE TABLE links (
    trace_id BLOB NOT NULL, span_id BLOB NOT NULL, linked_trace_id BLOB NOT NULL, linked_span_id BLOB NOT NULL,
    PRIMARY KEY (trace_id, span_id, linked_trace_id, linked_span_id)
) WITHOUT ROWID;
CREATE INDEX links_to ON links (linked_trace_id);

CREATE TABLE logs (
    id INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    severity INTEGER NOT NULL, severity_text TEXT NOT NULL,
    body TEXT NOT NULL,  -- JSON if it was no text
    event TEXT, trace_id BLOB, span_id BLOB,
    resource INTEGER NOT NULL, scope INTEGER NOT NULL,
    error_type TEXT, fingerprint TEXT, occurrences INTEGER NOT NULL,
    attributes TEXT NOT NULL  -- JSON
);
CREATE INDEX logs_by_time ON logs (time);
CREATE INDEX logs_by_trace ON logs (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_by_fingerprint ON logs (fingerprint, time) WHERE fingerprint IS NOT NULL;

-- The same labels can be in several series: bounds or a unit that changed make a new one.
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL, kind TEXT NOT NULL,  -- gauge, sum or histogram
    monotonic INTEGER NOT NULL,
    unit TEXT NOT NULL, description TEXT NOT NULL,
    resource INTEGER NOT NULL,
    attributes TEXT NOT NULL,  -- JSON
    bounds TEXT,  -- of a histogram: JSON, a list
    last INTEGER NOT NULL  -- time of its newest point
);
CREATE INDEX series_by_name ON series (name);
CREATE TABLE points (
    series INTEGER NOT NULL, time INTEGER NOT NULL,
    value REAL NOT NULL,  -- of a histogram: the count
    sum REAL, buckets BLOB,  -- of a histogram: the counts of each bucket, one more than bounds, little-endian uint64
    PRIMARY KEY (series, time)
) WITHOUT ROWID;

-- How far the numbers were at a time of our own clock (ns): what age goes by.
CREATE TABLE marks (time INTEGER PRIMARY KEY, seq INTEGER NOT NULL, log INTEGER NOT NULL) WITHOUT ROWID;
"""
