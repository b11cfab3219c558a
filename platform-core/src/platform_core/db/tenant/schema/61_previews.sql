-- previews: what staff see of a receipt. One row is one verdict about one file, made by the process that draws.
-- Rows only grow: the customer's login may add and read them, never change or remove them, so that what staff
-- were shown when they decided can be looked at afterwards. The newest round counts.
CREATE TABLE payments.preview (
    sha256    bytea       NOT NULL CONSTRAINT preview_media_fkey REFERENCES payments.receipt_media (sha256),
    round     integer     NOT NULL,
    verdict   text        NOT NULL,
    failure   text        NOT NULL DEFAULT '',
    mime_type text,
    content   bytea,
    width     integer,
    height    integer,
    pages     integer,
    judged_at timestamptz NOT NULL,
    CONSTRAINT preview_pkey PRIMARY KEY (sha256, round),
    CONSTRAINT preview_round_counts CHECK (round > 0),
    CONSTRAINT preview_verdict CHECK (verdict IN ('made', 'failed')),
    CONSTRAINT preview_failure CHECK (failure IN (
        '', 'damaged', 'protected', 'empty', 'too_many_pixels', 'too_costly', 'too_slow', 'broke', 'wrong_type'
    )),
    CONSTRAINT preview_failed_says_why CHECK ((verdict = 'failed') = (failure <> '')),
    CONSTRAINT preview_made_has_picture CHECK (
        (verdict = 'made') = (num_nonnulls(mime_type, content, width, height, pages) = 5)
        AND (verdict = 'failed') = (num_nonnulls(mime_type, content, width, height, pages) = 0)
    ),
    CONSTRAINT preview_is_webp CHECK (
        mime_type = 'image/webp'
        AND substring(content FROM 1 FOR 4) = 'RIFF'::bytea AND substring(content FROM 9 FOR 4) = 'WEBP'::bytea
    ),
    CONSTRAINT preview_is_small CHECK (
        octet_length(content) <= 40960 AND width BETWEEN 1 AND 3000 AND height BETWEEN 1 AND 3000
        AND pages BETWEEN 1 AND 1000000
    )
);
COMMENT ON CONSTRAINT preview_pkey ON payments.preview IS
    'A file is judged once a round, whichever messages brought it and however often the job runs.';

GRANT SELECT (sha256, round, verdict, failure, mime_type, content, width, height, pages, judged_at),
    INSERT (sha256, round, verdict, failure, mime_type, content, width, height, pages, judged_at)
    ON payments.preview TO api_tenant;
