-- panel: who may enter the staff panel, and what they did there.
--
-- A link is a signed text and this row: the text says whom it was made for, the row lets it be withdrawn. What a
-- person may do is never read from either, but from tenancy.member at each request. A session is one browser that
-- entered; only a hash of what its cookie holds is here, and the key that signs both is not in this database at all:
-- who reads every row, or writes one, has no cookie and can make none.

CREATE SCHEMA panel;
COMMENT ON SCHEMA panel IS 'Links into the staff panel, the browsers that entered by them, and counts of their use.';

CREATE TABLE panel.link (
    id bigint GENERATED ALWAYS AS IDENTITY,
    member text NOT NULL,
    role text NOT NULL,
    state text NOT NULL DEFAULT 'live',
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz NOT NULL,
    entries integer NOT NULL DEFAULT 0,
    max_entries integer NOT NULL,
    last_entered_at timestamptz,
    revoked_at timestamptz,
    revoked_by text,
    CONSTRAINT link_pkey PRIMARY KEY (id),
    CONSTRAINT link_member_fkey FOREIGN KEY (member) REFERENCES tenancy.member (handle),
    CONSTRAINT link_role_known CHECK (role IN ('owner', 'ops', 'viewer')),
    CONSTRAINT link_state CHECK (state IN ('live', 'revoked')),
    CONSTRAINT link_revoked_has_time CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT link_revoked_by_someone CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT link_expires_within_bounds CHECK (
        expires_at > created_at AND expires_at <= created_at + interval '169 hours'
    ),
    CONSTRAINT link_entries_bounded CHECK (max_entries BETWEEN 1 AND 50 AND entries BETWEEN 0 AND max_entries),
    CONSTRAINT link_entered_has_time CHECK ((entries > 0) = (last_entered_at IS NOT NULL)),
    CONSTRAINT link_texts_bounded CHECK (length(created_by) BETWEEN 1 AND 200 AND length(revoked_by) BETWEEN 1 AND 200)
);
COMMENT ON TABLE panel.link IS 'A way into the panel for one member. It ends by its time, by its number of entries, or revoked.';
COMMENT ON COLUMN panel.link.role IS 'The most this link permits; what it permits is the lesser of this and the member''s role now.';
COMMENT ON COLUMN panel.link.max_entries IS
    'How often it lets somebody in. Bounded, so that a link found in an old chat or a log is soon worth nothing.';
CREATE INDEX link_by_member ON panel.link (member);

CREATE TABLE panel.session (
    id_sha256 bytea NOT NULL,
    link_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'open',
    opened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    language text,
    theme text,
    closed_at timestamptz,
    CONSTRAINT panel_session_pkey PRIMARY KEY (id_sha256),
    CONSTRAINT panel_session_link_fkey FOREIGN KEY (link_id) REFERENCES panel.link (id),
    CONSTRAINT panel_session_id_is_sha256 CHECK (octet_length(id_sha256) = 32),
    CONSTRAINT panel_session_state CHECK (state IN ('open', 'closed')),
    CONSTRAINT panel_session_closed_has_time CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT panel_session_times_in_order CHECK (seen_at >= opened_at AND expires_at > opened_at),
    CONSTRAINT panel_session_language_known CHECK (language IN ('es', 'en')),
    CONSTRAINT panel_session_theme_known CHECK (theme IN ('auto', 'light', 'dark'))
);
COMMENT ON TABLE panel.session IS 'One browser that entered. It ends when left, when idle for two hours, or with its link.';
COMMENT ON COLUMN panel.session.id_sha256 IS 'Of what the cookie holds; the cookie itself is stored nowhere.';
COMMENT ON COLUMN panel.session.language IS 'What the person chose; NULL until they did.';
COMMENT ON COLUMN panel.session.theme IS 'Light or dark, as the person chose; NULL until they did.';
CREATE INDEX panel_session_by_link ON panel.session (link_id);

CREATE TABLE panel.use (
    link_id bigint NOT NULL,
    day date NOT NULL,
    what text NOT NULL,
    count bigint NOT NULL DEFAULT 1,
    CONSTRAINT use_pkey PRIMARY KEY (link_id, day, what),
    CONSTRAINT use_link_fkey FOREIGN KEY (link_id) REFERENCES panel.link (id),
    CONSTRAINT use_what_is_a_word CHECK (what ~ '^[a-z][a-z_]*(\.[a-z_]+)?$' AND length(what) <= 60),
    CONSTRAINT use_counted CHECK (count > 0)
);
COMMENT ON TABLE panel.use IS 'How often a link''s holder looked at which page, or was refused what, by day in UTC.';

CREATE TABLE panel.refusal (
    hour timestamptz NOT NULL,
    reason text NOT NULL,
    count bigint NOT NULL DEFAULT 1,
    CONSTRAINT panel_refusal_pkey PRIMARY KEY (hour, reason),
    CONSTRAINT panel_refusal_reason_is_a_word CHECK (reason ~ '^[a-z][a-z_]*$' AND length(reason) <= 60),
    CONSTRAINT panel_refusal_counted CHECK (count > 0)
);
COMMENT ON TABLE panel.refusal IS
    'What came without any link of this customer, by hour. Nothing of what a stranger sent is stored.';

GRANT USAGE ON SCHEMA panel TO api_tenant;
GRANT SELECT (id, member, role, state, created_at, created_by, expires_at, entries, max_entries, last_entered_at,
              revoked_at, revoked_by) ON panel.link TO api_tenant;
GRANT INSERT (member, role, created_at, created_by, expires_at, max_entries) ON panel.link TO api_tenant;
GRANT UPDATE (state, entries, last_entered_at, revoked_at, revoked_by) ON panel.link TO api_tenant;
GRANT SELECT (id_sha256, link_id, state, opened_at, seen_at, expires_at, language, theme, closed_at)
    ON panel.session TO api_tenant;
GRANT INSERT (id_sha256, link_id, opened_at, seen_at, expires_at) ON panel.session TO api_tenant;
GRANT UPDATE (state, seen_at, language, theme, closed_at) ON panel.session TO api_tenant;
GRANT SELECT (link_id, day, what, count) ON panel.use TO api_tenant;
GRANT INSERT (link_id, day, what) ON panel.use TO api_tenant;
GRANT UPDATE (count) ON panel.use TO api_tenant;
GRANT SELECT (hour, reason, count) ON panel.refusal TO api_tenant;
GRANT INSERT (hour, reason) ON panel.refusal TO api_tenant;
GRANT UPDATE (count) ON panel.refusal TO api_tenant;

-- A removed member's links end with them: who is added again later needs a new one.
CREATE FUNCTION panel.revoke_links_of_removed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE panel.link AS l
    SET state = 'revoked', revoked_at = NEW.removed_at, revoked_by = 'removal of the member'
    WHERE l.member = NEW.handle AND l.state = 'live';
    RETURN NULL;
END;
$$;
REVOKE EXECUTE ON FUNCTION panel.revoke_links_of_removed() FROM PUBLIC;

CREATE TRIGGER member_removed_revokes_links
AFTER UPDATE OF removed_at ON tenancy.member
FOR EACH ROW WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL)
EXECUTE FUNCTION panel.revoke_links_of_removed();
