-- previews: the small pictures of receipts, and why there is none. Rows are added and never changed.

-- name: preview_find_source
-- purpose: The bytes a message brought, and whether this round of their picture was judged before.
-- locks: none
-- replay: reads only
SELECT
    media.sha256,
    media.mime_type,
    media.content,
    EXISTS (
        SELECT 1
        FROM payments.preview AS preview
        WHERE
            preview.sha256 = media.sha256
            AND preview.round >= %(round)s
    ) AS judged
FROM payments.receipt AS receipt
INNER JOIN payments.receipt_media AS media ON media.sha256 = receipt.sha256
WHERE receipt.message_id = %(message_id)s;

-- name: preview_store
-- purpose: The verdict about one file: its picture, or why there is none.
-- locks: waits for another transaction judging the same file and round
-- replay: writes nothing new
INSERT INTO payments.preview (
    sha256, round, verdict, failure, mime_type, content, width, height, pages, judged_at
)
VALUES (
    %(sha256)s, %(round)s, %(verdict)s, %(failure)s, %(mime_type)s, %(content)s, %(width)s, %(height)s,
    %(pages)s, %(now)s
)
ON CONFLICT ON CONSTRAINT preview_pkey DO NOTHING;

-- name: preview_find
-- purpose: The newest verdict about the file a message brought.
-- locks: none
-- replay: reads only
SELECT
    preview.failure,
    preview.mime_type,
    preview.content,
    preview.width,
    preview.height,
    preview.pages
FROM payments.receipt AS receipt
INNER JOIN payments.preview AS preview ON preview.sha256 = receipt.sha256
WHERE receipt.message_id = %(message_id)s
ORDER BY preview.round DESC
LIMIT 1;

-- name: preview_list_rounds
-- purpose: The captured receipts of a claim, each with the last round its picture was judged in; zero for never.
-- locks: none
-- replay: reads only
SELECT
    receipt.message_id,
    COALESCE(MAX(preview.round), 0) AS last_round
FROM payments.receipt AS receipt
LEFT JOIN payments.preview AS preview ON preview.sha256 = receipt.sha256
WHERE
    receipt.claim_id = %(claim_id)s
    AND receipt.sha256 IS NOT NULL
GROUP BY receipt.id, receipt.message_id
ORDER BY receipt.id
LIMIT 200;
