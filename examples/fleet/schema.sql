-- Where consumer.py keeps events: a column for each field of an event (docs/mqtt-payloads.md).
-- PostgreSQL 12 or later: psql -d fer_edge -f schema.sql
CREATE TABLE IF NOT EXISTS face_events (
    boot_id       text        NOT NULL,
    seq           bigint      NOT NULL,
    v             smallint    NOT NULL,
    event_id      text        NOT NULL,
    event_type    text        NOT NULL CHECK (event_type IN ('start', 'update', 'enter', 'leave', 'end')),
    device_id     text        NOT NULL,
    track_id      bigint      NOT NULL,
    ts            timestamptz NOT NULL,  -- by the device's clock: off where not clock_synced
    mono_ns       bigint      NOT NULL,
    clock_synced  boolean     NOT NULL,
    replayed      boolean     NOT NULL,
    expression    text,
    confidence    real        NOT NULL,
    probabilities jsonb       NOT NULL,
    previous      text,
    dwell_s       real        NOT NULL,
    signals       jsonb,                 -- only where the device has any signal switched on
    zones         jsonb,                 -- only where the device has section zones, as are the next two
    zone          text,
    zone_dwell_s  real,
    box           jsonb       NOT NULL,
    landmarks     jsonb,
    pose          jsonb       NOT NULL,
    quality       jsonb       NOT NULL,
    reason        text,
    face_count    integer     NOT NULL,
    model         text        NOT NULL,
    received      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (boot_id, seq)  -- QoS 1 may deliver twice; the second one is ignored
);

CREATE INDEX IF NOT EXISTS face_events_device ON face_events (device_id, ts);
-- In the order of arrival, therefore small: for deleting what is old.
CREATE INDEX IF NOT EXISTS face_events_received ON face_events USING brin (received);
