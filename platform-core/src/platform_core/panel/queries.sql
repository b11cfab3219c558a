-- Statements about links into the panel and the browsers that entered by them.

-- name: link_insert
-- purpose: A new link for a member.
-- locks: the member's row, shared, through the foreign key
-- replay: another link
INSERT INTO panel.link (member, role, created_at, created_by, expires_at, max_entries)
VALUES (%(member)s, %(role)s, %(created_at)s, %(created_by)s, %(expires_at)s, %(max_entries)s)
RETURNING id;

-- name: link_find
-- purpose: One link with the role its member has now.
-- locks: none
-- replay: reads only
SELECT
    l.member,
    l.role,
    l.state,
    l.expires_at,
    l.entries,
    l.max_entries,
    (SELECT m.role FROM tenancy.member AS m WHERE m.handle = l.member AND m.removed_at IS NULL) AS role_now
FROM panel.link AS l
WHERE l.id = %(link_id)s;

-- name: link_lock
-- purpose: The same, before an entry is taken from it.
-- locks: the link's row, so that two cannot take its last entry
-- replay: reads only
SELECT
    l.member,
    l.role,
    l.state,
    l.expires_at,
    l.entries,
    l.max_entries,
    (SELECT m.role FROM tenancy.member AS m WHERE m.handle = l.member AND m.removed_at IS NULL) AS role_now
FROM panel.link AS l
WHERE l.id = %(link_id)s
FOR NO KEY UPDATE OF l;

-- name: link_exists
-- purpose: Whether there ever was such a link.
-- locks: none
-- replay: reads only
SELECT l.id FROM panel.link AS l WHERE l.id = %(link_id)s;

-- name: link_enter
-- purpose: Take one entry from a link.
-- locks: the link's row
-- replay: another entry; the CHECK refuses one too many
UPDATE panel.link AS l
SET
    entries = l.entries + 1,
    last_entered_at = %(now)s
WHERE l.id = %(link_id)s;

-- name: link_revoke
-- purpose: Withdraw a link, and with it every session by it.
-- moves: live -> revoked
-- locks: the link's row
-- replay: no row when it was revoked before
UPDATE panel.link AS l
SET
    state = 'revoked',
    revoked_at = %(now)s,
    revoked_by = %(by)s
WHERE l.id = %(link_id)s AND l.state = 'live'
RETURNING l.id;

-- name: link_list
-- purpose: Links that still let somebody in, or all, with what their holders did; newest first.
-- locks: none
-- replay: reads only
SELECT
    l.id,
    l.member,
    l.role,
    l.state,
    l.created_at,
    l.created_by,
    l.expires_at,
    l.entries,
    l.max_entries,
    l.last_entered_at,
    l.revoked_at,
    l.revoked_by,
    (
        SELECT coalesce(sum(u.count), 0)::bigint
        FROM panel.use AS u
        WHERE u.link_id = l.id AND u.what NOT LIKE 'refused.%%' AND u.what NOT LIKE 'denied.%%'
    ) AS uses,
    (
        SELECT coalesce(sum(u.count), 0)::bigint
        FROM panel.use AS u
        WHERE u.link_id = l.id AND (u.what LIKE 'refused.%%' OR u.what LIKE 'denied.%%')
    ) AS refusals
FROM panel.link AS l
WHERE %(ended_too)s OR (l.state = 'live' AND l.expires_at > %(now)s)
ORDER BY l.id DESC
LIMIT %(limit)s;

-- name: session_insert
-- purpose: A browser entered.
-- locks: the link's row, shared, through the foreign key
-- replay: refused by the primary key; the id is random
INSERT INTO panel.session (id_sha256, link_id, opened_at, seen_at, expires_at)
VALUES (%(id_sha256)s, %(link_id)s, %(now)s, %(now)s, %(expires_at)s);

-- name: session_find
-- purpose: A session with its link, and the role its member has now.
-- locks: none
-- replay: reads only
SELECT
    s.link_id,
    s.state AS session_state,
    s.seen_at,
    s.language,
    s.theme,
    l.member,
    l.role,
    l.state,
    l.expires_at,
    l.entries,
    l.max_entries,
    (SELECT m.role FROM tenancy.member AS m WHERE m.handle = l.member AND m.removed_at IS NULL) AS role_now
FROM panel.session AS s
INNER JOIN panel.link AS l ON l.id = s.link_id
WHERE s.id_sha256 = %(id_sha256)s;

-- name: session_touch
-- purpose: Remember that a session is in use, at most once a minute.
-- locks: the session's row
-- replay: no row within the minute
UPDATE panel.session AS s
SET seen_at = %(now)s
WHERE s.id_sha256 = %(id_sha256)s AND s.state = 'open' AND s.seen_at < %(seen_before)s;

-- name: session_close
-- purpose: The person left.
-- moves: open -> closed
-- locks: the session's row
-- replay: no row when it was closed before
UPDATE panel.session AS s
SET
    state = 'closed',
    closed_at = %(now)s
WHERE s.id_sha256 = %(id_sha256)s AND s.state = 'open'
RETURNING s.link_id;

-- name: session_set_looks
-- purpose: Remember the language and the colours a person chose for their visit.
-- locks: the session's row
-- replay: the same values again
UPDATE panel.session AS s
SET
    language = coalesce(%(language)s, s.language),
    theme = coalesce(%(theme)s, s.theme)
WHERE s.id_sha256 = %(id_sha256)s AND s.state = 'open';

-- name: use_count
-- purpose: Count one look at a page, or one refusal, of a link's holder.
-- locks: the counter's row
-- replay: counted again
INSERT INTO panel.use AS u (link_id, day, what)
VALUES (%(link_id)s, %(day)s, %(what)s)
ON CONFLICT ON CONSTRAINT use_pkey DO UPDATE SET count = u.count + 1
RETURNING u.count;

-- name: refusal_count
-- purpose: Count one knock without any genuine link, in its hour.
-- locks: the counter's row
-- replay: counted again
INSERT INTO panel.refusal AS r (hour, reason)
VALUES (date_trunc('hour', %(now)s::timestamptz, 'UTC'), %(reason)s)
ON CONFLICT ON CONSTRAINT panel_refusal_pkey DO UPDATE SET count = r.count + 1;
